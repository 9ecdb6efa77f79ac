"""`llama.wasm` with a model of ours: found in the weave, read through WeaveDrive, computed inside linear memory."""

import asyncio
from pathlib import Path

import pytest
from vm.published import samples
from vm.published.samples import Bench
from vm.published.test_weavedrive import Weave

from puna.models import DEMO_MODEL
from puna.vm.evaluators import Evaluators
from puna.vm.extensions import Host
from puna.vm.program import Program

PROMPT = r"'<|user|>\nWhat is the meaning of life?<|end|>\n<|assistant|>\n'"
LOAD = "Llama = require('.Llama') Llama.logLevel = 2 Llama.load('/data/%s') return 'loaded'"
GAS = 10**13


@pytest.fixture
def weave(tmp_path):
    weave = Weave(tmp_path / "store")
    yield weave
    asyncio.run(weave.store.close())


def llama(weave: Weave, model: str, snapshot: bytes | None = None) -> Bench:
    host = Host(archive=lambda: weave.store)
    return Bench("llama", host=host, environment=environment(weave, model), gas=GAS, snapshot=snapshot)


def environment(weave: Weave, model: str) -> dict:
    tags = [{"name": "On-Boot", "value": model}, {"name": "Scheduler", "value": weave.scheduler.address}]
    process = samples.ENVIRONMENT["Process"]
    return samples.ENVIRONMENT | {"Process": process | {"Tags": process["Tags"] + tags}}


def test_llama_loads_our_model_from_the_weave_and_says_the_same_twice(weave):
    model = asyncio.run(weave.store.append_file(weave.stranger, Path(DEMO_MODEL), [("Type", "Model")])).id
    first = llama(weave, model)
    assert first.data(LOAD % model) == "loaded"
    first.data(f"Llama.setPrompt({PROMPT}) return 1")
    second = llama(weave, model, snapshot=first.process.snapshot())  # in the middle of its thought
    second.number = first.number
    said = first.data("return Llama.run(24)")
    assert len(said.split()) > 3
    assert second.data("return Llama.run(24)") == said
    assert second.process.state_root == first.process.state_root


async def test_an_evaluator_opens_the_nodes_store_for_its_processes(tmp_path):
    weave = await asyncio.to_thread(Weave, tmp_path / "store")
    evaluators = Evaluators(weave=tmp_path / "store", cache=samples.CACHE / "compiled")
    await evaluators.start(1)
    try:
        encoded = samples.compact(environment(weave, weave.small))
        module = samples.module("aos2_0_6")
        program = Program(module, "m", samples.MEMORY, samples.GAS, (), encoded, {}, samples.WIDE)
        await evaluators.attach("p", program)
        await evaluators.apply("p", samples.compact(samples.boot()), message_id="0")
        code = f"local f = io.open('/data/{weave.small}') return f:read(f:seek('end'))"
        message = samples.compact(samples.message(1, code, Action="Eval"))
        evaluation = await evaluators.apply("p", message, message_id="1")
        assert evaluation.output["data"].startswith("Llamas graze")
    finally:
        await evaluators.stop()
        await weave.store.close()

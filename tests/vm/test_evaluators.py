"""Stories of evaluators: real processes of the operating system, shared by many AO processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest
from vm.bench import BUILT, ROOT, Bench, bare_module, message, program

from puna.arweave.store.sqlite import open_store
from puna.arweave.tags import Tag
from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid, Missing, NotYet
from puna.llm.client import spawn_engine, stop_engine
from puna.vm import frames
from puna.vm.checkpoint import Checkpoint, digest_of, is_increment
from puna.vm.evaluator import Out
from puna.vm.evaluators import Evaluators, taken_from
from puna.vm.program import Lost

LONG = 60_000_000_000  # gas for a minute of an endless loop


@pytest.fixture
async def two():
    bare_module()
    evaluators = Evaluators(cache=BUILT / "compiled")
    await evaluators.start(2)
    yield evaluators
    await evaluators.stop()


@pytest.fixture
async def one():
    bare_module()
    evaluators = Evaluators(cache=BUILT / "compiled")
    await evaluators.start(1)
    yield evaluators
    await evaluators.stop()


async def run(evaluators: Evaluators, process: str, code: str):
    return await evaluators.apply(process, message(code), message_id="m")


async def test_an_evaluator_tells_what_a_process_in_this_test_tells(two):
    bench = Bench()
    await two.attach("a", program())
    for code in ("N = 1 return {Output = {x = N}, Messages = {{Target = 't'}}}", "error('no')", "return N"):
        assert await run(two, "a", code) == bench.run(code)
    assert await two.preview("a", message("N = 2 return N")) == bench.preview("N = 2 return N")
    assert await run(two, "a", "return N") == bench.run("return N")


async def test_others_go_on_while_one_loops(one):
    for process in "abc":
        await one.attach(process, program(gas=LONG))
    looping = asyncio.create_task(run(one, "a", "while true do end"))
    for number in range(1, 4):
        for process in "bc":
            assert (await run(one, process, "N = (N or 0) + 1 return N")).output == str(number)
    assert not looping.done()
    looping.cancel()


async def test_messages_of_one_process_are_evaluated_in_order(one):
    await one.attach("a", program())
    calls = [run(one, "a", f"L = (L or '') .. '{number}' return L") for number in range(8)]
    assert [each.output for each in await asyncio.gather(*calls)] == ["01234567"[: n + 1] for n in range(8)]


async def evaluate_all(evaluators: Evaluators, process: str, codes) -> list:
    messages = ((message(code), f"m{number}") for number, code in enumerate(codes))
    return [each async for each in evaluators.apply_all(process, taken_from(messages))]


async def test_a_run_of_messages_gives_what_one_by_one_gives(two):
    codes = [f"L = (L or '') .. '{n}' {'error(L)' if n % 7 == 3 else 'return L'}" for n in range(30)]
    for process in "ab":
        await two.attach(process, program())
    assert await evaluate_all(two, "a", codes) == [await run(two, "b", code) for code in codes]


async def test_what_stops_the_giver_of_a_run_is_raised_when_the_messages_before_it_are_evaluated(one):
    given = [(message("N = 1 return N"), "m1"), (message("N = N + 1 return N"), "m2")]

    async def take(count):
        if not given:
            raise Missing("the third is not here")
        return [given.pop(0)]

    await one.attach("a", program())
    outputs = []
    with pytest.raises(Missing, match="third"):
        async for evaluation in one.apply_all("a", take):
            outputs.append(evaluation.output)
    assert outputs == ["1", "2"]
    assert (await run(one, "a", "return N")).output == "2"


async def test_no_message_is_evaluated_after_one_of_its_run_that_could_not_be(tmp_path):
    bare_module()
    store = open_store(tmp_path / "weave")
    tags = [Tag("Content-Type", "application/octet-stream")]
    model = await store.append_file(new_ed25519_wallet(), ROOT / "src/puna/models/puna-demo.gguf", tags)
    evaluators = Evaluators(weave=tmp_path / "weave", cache=BUILT / "compiled")  # and no engine
    await evaluators.start(1)
    request = json.dumps({"op": "generate", "model": model.id, "tokens": [1], "limit": 1})
    codes = ["N = 1 return N", f"N = 2 return _host('Llama', '{request}')", "N = 3 return N", "N = 4 return N"]
    outputs = []
    try:
        await evaluators.attach("a", program(extensions=["Llama"]))
        with pytest.raises(NotYet, match="engine"):
            async for evaluation in evaluators.apply_all("a", taken_from((message(code), "m") for code in codes)):
                outputs.append(evaluation.output)
        assert outputs == ["1"]
        assert (await run(evaluators, "a", "return N")).output == "1"
        assert [each.output for each in await evaluate_all(evaluators, "a", ["N = N + 1 return N"])] == ["2"]
    finally:
        await evaluators.stop()
        await store.close()


async def test_a_run_goes_on_with_what_comes_while_it_is_evaluated(one):
    await one.attach("a", program())
    waiting = [(message("N = 0 return N"), "m")]

    async def take(count):
        given = waiting[:count]
        del waiting[:count]
        return given

    outputs = []
    async for evaluation in one.apply_all("a", take):
        outputs.append(int(evaluation.output))
        if len(outputs) < 50:
            waiting += [(message("N = N + 1 return N"), "m")] * (len(outputs) % 3)
    assert outputs == list(range(len(outputs))) and len(outputs) > 48


async def test_who_leaves_a_run_leaves_the_process_detached(one):
    await one.attach("a", program())
    evaluations = one.apply_all("a", taken_from((message(f"N = {n} return N"), "m") for n in range(20)))
    assert (await anext(evaluations)).output == "0"
    await evaluations.aclose()
    assert not one.attached("a")


# Each writes more than a mebibyte, so that its state root is computed while the next one is evaluated.
BROAD = [
    "T = {} for i = 1, 40000 do T[i] = {i} end return 'made'",
    "for i = 1, 40000 do T[i][1] = i + 1 end return T[7][1]",
    "for i = 1, 40000 do T[i][1] = 0 end error('taken back')",
    "for i = 1, 40000 do T[i][1] = T[i][1] * 3 end return T[7][1]",
    "return T[40000][1]",
    "Big = ('x'):rep(3000000) error('grew for nothing')",
    "for i = 1, 40000 do T[i][1] = T[i][1] * 5 end Big = ('y'):rep(3000000) return T[7][1] .. #Big",
    "for i = 1, 40000 do T[i][1] = -i end return {Output = 'no', Error = 'no'}",
    "for i = 1, 40000 do T[i][1] = T[i][1] - 1 end return T[7][1]",
]


async def test_messages_in_a_row_have_the_results_and_state_roots_of_messages_one_by_one(one):
    bench = Bench(program(memory=32 << 20))
    expected = [bench.run(code) for code in BROAD]
    assert len({each.state_root for each in expected}) > 5
    await one.attach("a", program(memory=32 << 20))
    assert await evaluate_all(one, "a", BROAD) == expected
    assert (await run(one, "a", "return T[7][1]")).output == bench.output("return T[7][1]")


async def test_whatever_waits_behind_a_message_meets_the_memory_it_left(one):
    bench = Bench(program(memory=32 << 20))
    await one.attach("a", program(memory=32 << 20))
    waiting = []
    for code in BROAD:
        waiting += [run(one, "a", code), one.preview("a", message("Big = nil return T[7][1]")), one.snapshot("a")]
    found = await asyncio.gather(*waiting)
    for code, applied, previewed, snapshot in zip(BROAD, found[::3], found[1::3], found[2::3], strict=True):
        assert applied == bench.run(code)
        assert previewed == bench.preview("Big = nil return T[7][1]")
        assert snapshot == bench.process.snapshot()


async def test_a_process_moves_to_another_evaluator_by_its_snapshot(two):
    await two.attach("a", program())
    await run(two, "a", "N = 41")
    snapshot = await two.snapshot("a")
    await two.detach("a")
    assert not two.attached("a")
    await two.attach("a", program(), snapshot)
    assert two.attached("a")
    assert (await run(two, "a", "N = N + 1 return N")).output == "42"


async def test_processes_are_spread(two):
    for process in "abcd":
        await two.attach(process, program())
    assert sorted(sum(home is worker for home in two._homes.values()) for worker in two._workers) == [2, 2]


async def test_a_killed_evaluator_loses_nothing_that_cannot_be_made_again(two):
    await two.attach("a", program(gas=LONG))
    await two.attach("b", program())
    await run(two, "a", "N = 1")
    await run(two, "b", "N = 10")
    snapshot = await two.snapshot("a")
    home = two._homes["a"]
    looping = asyncio.create_task(run(two, "a", "N = 2 while true do end"))
    await run_until_busy(two)
    os.kill(home._process.pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    with pytest.raises(Lost):
        await looping
    assert not two.attached("a")
    assert two.attached("b")
    with pytest.raises(NotYet):
        await run(two, "a", "return N")
    await two.attach("a", program(), snapshot)
    assert (await run(two, "a", "return N")).output == "1"
    assert (await run(two, "b", "return N")).output == "10"


async def run_until_busy(evaluators: Evaluators) -> None:
    """Return once the evaluators have had time to take up what was sent to them before."""
    await evaluators.attach("other", program())
    await evaluators.detach("other")


async def test_the_only_evaluator_is_started_again(one):
    await one.attach("a", program())
    one._workers[0]._process.stdin.close()  # as if the node were gone
    with pytest.raises(Lost):
        while True:
            await run(one, "a", "return 1")
    await one.attach("a", program())
    assert (await run(one, "a", "return 1")).output == "1"


async def test_a_caller_who_stops_waiting_leaves_the_process_detached(one):
    await one.attach("a", program(gas=LONG))
    waiting = asyncio.create_task(run(one, "a", "while true do end"))
    await run_until_busy(one)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not one.attached("a")
    await one.attach("a", program())
    assert (await run(one, "a", "return 'anew'")).output == "anew"


async def test_stopping_ends_what_is_under_way():
    bare_module()
    evaluators = Evaluators(cache=BUILT / "compiled")
    await evaluators.start(1)
    await evaluators.attach("a", program(gas=LONG))
    looping = asyncio.create_task(run(evaluators, "a", "while true do end"))
    await run_until_busy(evaluators)
    await evaluators.stop()
    with pytest.raises(Lost):
        await looping
    assert not evaluators.attached("a")
    with pytest.raises(NotYet):
        await evaluators.attach("a", program())


async def test_what_cannot_be_attached_is_refused_with_a_reason(one, tmp_path):
    with pytest.raises(Missing, match="nowhere.wasm"):
        await one.attach("a", program(module=tmp_path / "nowhere.wasm"))
    with pytest.raises(Invalid, match="not a snapshot"):
        await one.attach("a", program(), b"hello")
    with pytest.raises(Invalid):
        await one.attach("a", program(memory=65536))
    assert not one.attached("a")
    await one.attach("a", program())


async def test_without_an_engine_an_evaluation_that_needs_it_waits_outside(one, tmp_path):
    await one.attach("a", program(extensions=["Llama"]))
    answer = await run(one, "a", 'return select(2, _host(\'Llama\', \'{"op":"info","model":"x"}\'))')
    assert "is not on this node" in answer.output


async def test_a_message_of_many_megabytes_passes(one):
    await one.attach("a", program(memory=128 << 20, gas=LONG))
    got = await one.apply("a", message("return #(...).Padding", Padding="x" * 5_000_000), message_id="m")
    assert got.output == "5000000"
    assert len((await run(one, "a", "return ('y'):rep(5000000)")).output) == 5_000_000


NODE = """
import asyncio, sys
from puna.vm.checkpoint import Checkpoint, digest_of, is_increment
from puna.vm.evaluators import Evaluators
from vm.bench import message, program

async def main():
    evaluators = Evaluators(cache=sys.argv[1])
    await evaluators.start(1)
    await evaluators.attach("a", program(gas=10**12))
    looping = asyncio.create_task(evaluators.apply("a", message("while true do end"), message_id="m"))
    await evaluators.attach("b", program())
    print("looping", flush=True)
    await looping

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there the pipe's end is seen the same way, but not by this test")
def test_evaluators_end_with_their_node_even_in_the_middle_of_a_loop(tmp_path):
    bare_module()
    path = os.pathsep.join(each for each in sys.path if each)
    command = [sys.executable, "-c", NODE, str(BUILT / "compiled")]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as node:
        assert node.stdout.readline() == b"looping\n"
        node.kill()
        # The evaluator has the node's standard error too: that comes to its end only when both are gone.
        node.stderr.read()


async def test_a_model_in_the_weave_answers_a_process_and_an_engine_that_is_away_costs_nothing(tmp_path):
    """The whole way down: evaluator, store, engine, model."""
    demo = ROOT / "src/puna/models/puna-demo.gguf"
    if not demo.exists():
        pytest.skip("the demo model is not there")
    store = open_store(tmp_path / "weave")
    model = await store.append_file(new_ed25519_wallet(), demo, [Tag("Content-Type", "application/octet-stream")])
    engine = await asyncio.to_thread(spawn_engine, tmp_path / "engine", 1)
    events = []
    evaluators = Evaluators(weave=tmp_path / "weave", engine=tmp_path / "engine", cache=BUILT / "compiled")
    evaluators.on_event = events.append
    await evaluators.start(1)
    request = json.dumps({"op": "generate", "model": model.id, "tokens": [1, 2, 3], "limit": 8})
    ask = f"N = (N or 0) + 1 return N .. _host('Llama', '{request}')"
    try:
        await evaluators.attach("a", program(extensions=["Llama"]))
        first = await run(evaluators, "a", ask)
        told = sum(event["tokens"] for event in events)
        assert first.output.startswith("1{") and told == len(json.loads(first.output[1:])["tokens"]) > 0
        assert {event["message"] for event in events} == {"m"}
        await asyncio.to_thread(stop_engine, engine)
        with pytest.raises(NotYet):
            await run(evaluators, "a", ask)
        engine = await asyncio.to_thread(spawn_engine, tmp_path / "engine", 1)
        assert (await run(evaluators, "a", ask)).output == "2" + first.output[1:]
    finally:
        await evaluators.stop()
        await asyncio.to_thread(stop_engine, engine)
        await store.close()


async def test_a_process_begins_from_a_page_file_and_from_the_whole_snapshot_where_there_is_none(tmp_path):
    evaluators = Evaluators(cache=tmp_path)
    await evaluators.start(2)
    try:
        await evaluators.attach("a", program())
        await run(evaluators, "a", "N = 1")
        base = await evaluators.checkpoint("a")
        root = (await run(evaluators, "a", "N = N + 1 return N")).state_root
        increment = await evaluators.checkpoint("a", digest_of(base))
        assert is_increment(increment) and not is_increment(base)
        asked = []

        def read_base() -> bytes:
            asked.append(base)
            return base

        start = Checkpoint(digest_of(base), None, (increment,), root)
        await evaluators.resume("a", program(), start, read_base)
        await evaluators.resume("b", program(), start, read_base)
        assert asked == []
        for file in (tmp_path / "pages").iterdir():
            file.unlink()
        await evaluators.resume("c", program(), start, read_base)
        assert asked == [base]
        for name in "abc":
            assert (await run(evaluators, name, "N = N + 1 return N")).output == "3"
        with pytest.raises(Invalid, match="state root"):
            await evaluators.resume("d", program(), Checkpoint(digest_of(base), None, (), root), read_base)
        assert not evaluators.attached("d")
    finally:
        await evaluators.stop()


def test_events_and_replies_reach_the_node_in_the_order_in_which_they_were_told():
    readable, writable = os.pipe()
    out = Out(writable)
    told = [frames.Reply(number % 3, number) for number in range(300)]
    for reply in told:
        out.send(reply)
    with open(readable, "rb") as stream:
        heard = [msgspec.msgpack.decode(frames.read(stream), type=frames.Reply) for _ in told]
        out.send(told[0], told[3])  # nothing follows that would take them along
        heard += [msgspec.msgpack.decode(frames.read(stream), type=frames.Reply) for _ in range(2)]
    os.close(writable)
    assert heard == [*told, told[0], told[3]]

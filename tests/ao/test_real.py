"""The units over what they really stand on: the SQLite store, evaluators in processes of their own, Lua in WASM."""

import asyncio
import hashlib
import os
import signal
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from ao.fakes import ALICE, BOB, COMPUTE, MESSENGER, SCHEDULER, named, no_sleep

import puna
from puna.ao.compute.fold import message_json, result_of
from puna.ao.compute.verify import verify
from puna.ao.units import Units
from puna.arweave.dataitem import sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Query
from puna.arweave.store.sqlite import open_store
from puna.clock import HandClock
from puna.vm.evaluators import Evaluators
from puna.vm.image import image
from puna.vm.memory import PAGE_BYTES, Shadow
from puna.vm.snapshot import pack

WASM = Path(puna.__file__).parent / "vm/module/_built/puna-lua.wasm"

pytestmark = pytest.mark.skipif(not WASM.exists(), reason="the Lua module is not built")


class Net:
    """A whole network in one folder; `open` and `close` as a node does."""

    def __init__(self, folder: Path, cache: Path, **compute_options):
        self.folder, self.cache, self.compute_options = folder, cache, compute_options
        self.said = 0
        self.clock = HandClock()

    async def __aenter__(self) -> "Net":
        self.store = open_store(self.folder)
        self.evaluators = Evaluators(weave=self.folder, cache=self.cache)
        await self.evaluators.start(1)
        self.units = Units.wire(
            self.store, self.evaluators, self.clock,
            scheduler=SCHEDULER, compute=COMPUTE, messenger=MESSENGER, messenger_options={"sleep": no_sleep},
            compute_options=self.compute_options,
        )  # fmt: skip
        self.link = self.units.link
        await self.units.resume()
        return self

    async def __aexit__(self, *_) -> None:
        await self.units.stop()
        await self.evaluators.stop()
        await self.store.close()

    async def spawn(self, module, *tags) -> str:
        item = spawn_item(module, *tags)
        await self.link.submit(item)
        return item.id

    async def eval(self, process: str, code: str):
        self.said += 1  # the same words twice would be the same item
        tags = [("Action", "Eval"), ("N", f"{id(self)} {self.said}"), ("Data-Protocol", "ao"), ("Type", "Message")]
        item = sign_item(ALICE, data=code.encode(), target=process, tags=tags)
        await self.link.submit(item)
        events = [event async for event in self.link.events(item.id)]
        return await self.link.result(process, item.id), events


def module_item():
    return sign_item(
        ALICE, data=WASM.read_bytes(),
        tags=[
            ("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Module"),
            ("Module-Format", "wasm32-puna-lua-1"), ("Input-Encoding", "JSON-1"), ("Output-Encoding", "JSON-1"),
            ("Memory-Limit", "64-mb"), ("Compute-Limit", "1000000000"),
        ],
    )  # fmt: skip


def spawn_item(module, *tags):
    return sign_item(
        ALICE, data=b" ",
        tags=[
            *tags, ("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Process"), ("Module", module.id),
            ("Scheduler", SCHEDULER.address), ("Authority", MESSENGER.address),
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


async def test_lua_processes_play_spawn_fail_and_answer_and_all_of_it_verifies(tmp_path, cache):
    async with Net(tmp_path, cache) as net:
        module = module_item()
        await net.store.append([module])
        a, b = await net.spawn(module, ("Name", "a")), await net.spawn(module, ("Name", "b"))
        await net.eval(b, "Handlers.add('Ping', 'Ping', function(m) m.reply({Action = 'Pong', Data = m.Data}) end)")
        await net.eval(a, "Handlers.add('Pong', 'Pong', function(m) Got = m.From .. ' ' .. m.Data end)")
        result, events = await net.eval(a, f"Send({{Target = '{b}', Action = 'Ping', Data = 'hello'}})")
        assert result.error is None and [e["process"] for e in events if e["kind"] == "evaluated"] == [a, b, a]
        shown, _ = await net.eval(a, "return Got")
        assert shown.output["data"] == f"{b} hello"

        failed, _ = await net.eval(a, "Got = 'changed' error('boom')")
        assert "boom" in failed.error and failed.messages == ()
        looped, _ = await net.eval(a, "while true do end")
        assert looped.error
        assert (await net.eval(a, "return Got"))[0].output["data"] == f"{b} hello"

        await net.eval(a, "Child = Spawn({Name = 'child'}).receive().Process")
        child = (await net.eval(a, "return Child"))[0].output["data"]
        assert await net.units.scheduler.knows(child)

        _, events = await net.eval(a, f"Send({{Target = '{BOB.address}', Answer = 'yes', Data = 'to a wallet'}})")
        (stored,) = [event for event in events if event["kind"] == "stored"]
        assert stored["item"]["data"] == "to a wallet" and named(net.store.view(stored["message"]), "Answer") == ["yes"]

        eval_as_owner = {"Owner": ALICE.address, "Data": "return Got", "Tags": [{"name": "Action", "value": "Eval"}]}
        assert (await net.link.preview(a, eval_as_owner)).output["data"] == f"{b} hello"

        for process, nonce in await net.units.scheduler.heads():
            report = await verify(net.store, net.evaluators, process)
            assert report.agrees, report.first
            assert report.replayed == nonce + 1
            assert report.state_root == net.units.compute.evaluated(process).root


async def test_56_a_lua_process_is_woken_by_its_cron_keeps_what_it_did_and_verifies(tmp_path, cache):
    async with Net(tmp_path, cache) as net:
        module = module_item()
        await net.store.append([module])
        a = await net.spawn(module, ("Cron-Interval", "10-seconds"), ("Cron-Tag-Action", "Cron"))
        await net.eval(a, "N = 0 Handlers.add('Cron', 'Cron', function(m) N = N + 1; Last = tostring(m.Cron) end)")
        net.clock.pass_ms(35_000)
        page, _ = await net.units.compute.crons(a)
        assert [kept.cron for kept, _ in page] == ["0-10-seconds"] * 3
        assert (await net.eval(a, "return N .. Last"))[0].output["data"] == "3true"
        report = await verify(net.store, net.evaluators, a)
        assert report.agrees and report.replayed == 6, report.first
        state = await net.units.compute.state(a)
        assert len(image(state.snapshot)) % 65536 == 0


async def test_memory_goes_on_after_a_stop_and_after_its_evaluator_was_killed(tmp_path, cache):
    async with Net(tmp_path, cache) as net:
        module = module_item()
        await net.store.append([module])
        a = await net.spawn(module)
        await net.eval(a, "N = 1")
    async with Net(tmp_path, cache) as net:
        assert (await net.eval(a, "N = N + 1 return N"))[0].output["data"] == "2"
        net.evaluators._workers[0]._process.kill()
        assert (await net.eval(a, "N = N + 1 return N"))[0].output["data"] == "3"
        assert (await verify(net.store, net.evaluators, a)).agrees


async def test_memory_goes_on_from_a_chain_of_checkpoints_with_page_files_and_without(tmp_path):
    cache, options = tmp_path / "cache", {"checkpoint_evaluations": 2, "checkpoint_gas": 1}
    async with Net(tmp_path / "home", cache, **options) as net:
        module = module_item()
        await net.store.append([module])
        a = await net.spawn(module)
        for _ in range(6):
            await net.eval(a, "N = (N or 0) + 1 T = T or {} T[N] = ('t'):rep(5000)")
    for n in range(7, 11):
        if n % 2:
            for file in (cache / "pages").iterdir():
                file.unlink()
        async with Net(tmp_path / "home", cache, **options) as net:
            assert (await net.eval(a, "N = N + 1 return N"))[0].output["data"] == str(n)
            checkpoints = net.store.find(Query(tags=(("Type", ("Checkpoint",)), ("Process", (a,)))))
            assert any(named(entry.item, "Parent") for entry in checkpoints)
            if n == 10:
                assert (await verify(net.store, net.evaluators, a)).agrees


async def test_60_the_memory_of_state_and_the_schedule_from_there_on_give_a_fresh_unit_the_same_results(
    tmp_path, cache
):
    async with Net(tmp_path / "home", cache) as net:
        module = module_item()
        await net.store.append([module])
        a = await net.spawn(module)
        for _ in range(3):
            await net.eval(a, "N = (N or 0) + 1 T = T or {} T[N] = ('t'):rep(5000)")
        memory = image((await net.units.compute.state(a)).snapshot)  # as /state gives it
        later = [await net.eval(a, code) for code in ("N = N + 1 return N", "error('no')", "return #T .. #T[3]")]
        program = await net.units.compute._program_of(a)
        shadow = Shadow(len(memory))
        shadow.write_pages(np.arange(len(memory) // PAGE_BYTES), memory)
        fresh = Evaluators(weave=net.folder, cache=tmp_path / "fresh")
        await fresh.start(1)
        try:
            await fresh.attach(
                a, program, pack(shadow, hashlib.sha256(Path(program.module_path).read_bytes()).digest())
            )
            for (result, _), (item, assignment) in zip(later, (await net.link.assignments(a))[4:], strict=True):
                evaluation = await fresh.apply(a, message_json(item, assignment), message_id=item.id)
                assert result_of(evaluation) == result
            assert b64url_encode(evaluation.state_root) == net.units.compute.evaluated(a).root
        finally:
            await fresh.stop()


KILLED_NODE = """
    import asyncio, sys
    from pathlib import Path
    from ao.fakes import BOB, FakeEvaluators, Town, MODULE, message_item, process_item
    from puna.arweave.store.sqlite import open_store

    async def main():
        town = Town(store=open_store(Path(sys.argv[1])))
        await town.store.append([MODULE])
        a, b = process_item(("Name", "a")), process_item(("Name", "b"))
        for item in (a, b):
            await town.link.submit(item)
        n = 0
        while True:
            item = message_item(a.id, ["send", b.id, {"Ball": "3"}, ""], tags=[("N", str(n))])
            await town.link.submit(item)
            print(item.id, flush=True)
            n += 1

    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_a_node_killed_by_the_system_while_busy_finishes_what_it_acknowledged(tmp_path):
    from ao.fakes import Town, process_item

    here = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(Path(puna.__file__).parents[1])])}
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(KILLED_NODE), str(tmp_path)),
        stdout=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    acknowledged = [(await node.stdout.readline()).decode().strip() for _ in range(25)]
    node.send_signal(signal.SIGKILL)
    acknowledged += (await node.stdout.read()).decode().split("\n")[:-1]
    await node.wait()

    store = open_store(tmp_path)
    town = Town(store=store)
    await town.units.resume()
    await town.quiet()
    a, b = (process_item(("Name", name)).id for name in "ab")
    for message in acknowledged:
        assert (await town.link.result(a, message)).error is None
    scheduled = [item.id for item, _ in await town.schedule(a)]
    assert len(set(scheduled)) == len(scheduled)
    served = len([item for item, _ in await town.schedule(a) if item.target == a and not named(item, "From-Process")])
    # Each message of the user makes exactly two hops to b and two back, whether the node was killed between or not.
    assert served in (len(acknowledged), len(acknowledged) + 1)
    assert len(await town.schedule(b)) == 1 + 2 * served
    assert len(scheduled) == 1 + served + 2 * served
    await town.units.stop()
    await store.close()

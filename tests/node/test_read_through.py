"""A node whose gateway reads through to another: its units, too, find what only the other has, keep it, and need the
other no more. Source: protocol reference 1.7, 3.2, 3.4, 4.6, 5.9.
"""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from ao.fakes import ALICE, COMPUTE, MESSENGER, MODULE, SCHEDULER, FakeEvaluators, Town, no_sleep
from ao.served import served
from gateway.serving import OPERATOR, gateway
from vm.published import samples

from puna.ao.compute.program import Limits
from puna.ao.compute.unit import ComputeUnit
from puna.ao.compute.verify import verify
from puna.ao.scheduler.remote import RemoteSchedules
from puna.ao.units import Units
from puna.arweave.archive import Archive
from puna.arweave.dataitem import sign_item
from puna.arweave.gateway.upstream import Upstream
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import load_wallet
from puna.arweave.weave import Weave
from puna.clock import HandClock
from puna.errors import Invalid, Missing, NotYet
from puna.vm.evaluators import Evaluators

RSA = load_wallet(Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json")
NOBODY = "C" * 42 + "A"
NOWHERE = "http://127.0.0.1:9"
SET_X = b'[["set","x",7],["get","x"]]'


@pytest.fixture
async def far(tmp_path):
    async with gateway(tmp_path / "far", RSA) as served_far:
        yield served_far


@asynccontextmanager
async def town_before(url: str, folder: Path):
    """A town with a store of its own, whose upstream is at `url`."""
    store = open_store(folder)
    weave = await Weave.open(store, OPERATOR, lambda: RSA)
    upstream = Upstream(weave, url)
    try:
        yield Town(store=store, archive=Archive(store, weave, upstream))
    finally:
        await upstream.close()
        await store.close()


async def test_a_module_that_only_the_other_has_is_brought_and_evaluation_goes_on_without_it(far, tmp_path):
    await far.weave.upload(MODULE)
    await far.weave.mine()
    async with town_before(far.url, tmp_path / "near") as town:
        process = await town.spawn()
        message = await town.do(process, ["set", "x", 7], ["get", "x"])
        assert (await town.link.result(process, message)).output == "7"
        assert town.store.view(MODULE.id) == MODULE
        await town.quiet()
    async with town_before(NOWHERE, tmp_path / "near") as town:
        assert (await verify(town.store, FakeEvaluators(), process)).agrees
        message = await town.do(process, ["get", "x"])
        assert (await town.link.result(process, message)).output == "7"
        await town.quiet()


async def test_assigned_items_and_transactions_and_boot_items_are_found_upstream(far, tmp_path):
    note, fresh = (sign_item(ALICE, SET_X, [("Action", "Note"), ("N", number)], NOBODY) for number in "12")
    tx = far.signed(RSA, SET_X, tags=[("Action", "Note")])
    boot = sign_item(ALICE, b"print('booted')")
    for item in (note, boot, MODULE):
        await far.weave.upload(item)
    await far.weave.post(tx)
    await far.weave.mine()
    await far.weave.upload(fresh)  # in no block yet, and not less signed for that
    async with town_before(far.url, tmp_path / "near") as town:
        process = await town.spawn(("On-Boot", boot.id))
        assert bytes(town.store.view(boot.id).data) == b"print('booted')"
        for id in (note.id, tx.id, fresh.id):
            await town.link.assign(process, id)
            assert (await town.link.result(process, id)).output == "7"
        with pytest.raises(Invalid, match="Invalid tx id for On-Boot tag"):
            await town.spawn(("On-Boot", NOBODY))
        with pytest.raises(Missing, match="Transaction not found"):
            await town.link.assign(process, NOBODY)
        # A process may assign what only the other has.
        share = {"Processes": [process], "Message": (await town.spawn(("Name", "b"))), "Exclude": ["Data"]}
        await town.do(process, ["raw", "Assignments", share])
        await town.quiet()
        report = await verify(town.store, FakeEvaluators(), process)
        assert report.agrees and report.replayed == 6, report.first


async def test_confirmations_of_what_the_other_keeps_are_counted_in_its_blocks(far, tmp_path):
    await far.weave.upload(MODULE)
    tx = far.signed(RSA, SET_X)
    await far.weave.post(tx)
    await far.weave.mine()
    async with town_before(far.url, tmp_path / "near") as town, served(town) as wire:
        process = await town.spawn(("Settlement-Depth", "3"))
        for depth in (1, 2):
            reply = await wire("POST", "su", "/", process_id=process, assign=tx.id, base_layer="")
            assert f"it has {depth}, the process asks for 3" in reply.json["error"]
            await far.weave.mine(even_empty=True)
        assert (await wire("POST", "su", "/", process_id=process, assign=tx.id, base_layer="")).status == 200
        await town.quiet()


async def test_while_the_other_is_away_nothing_is_concluded_from_it_and_later_all_goes_on(far, tmp_path):
    note = sign_item(ALICE, SET_X)
    for item in (note, MODULE):
        await far.weave.upload(item)
    asleep, woken = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await woken.wait()

    async with town_before(NOWHERE, tmp_path / "near") as town:
        upstream = town.units.compute._archive._upstream
        town.units.compute._sleep = sleep
        process = await town.spawn()
        message = await town.do(process, ["get", "x"])
        with pytest.raises(NotYet, match="127.0.0.1:9 does not answer"):
            await town.link.assign(process, note.id)
        async with served(town) as wire:
            reply = await wire("POST", "mu", "/", process_id=process, assign=note.id)
            assert reply.status == 503
        await asleep.wait()  # the compute unit has looked for the module, and waits
        assert len(await town.schedule(process)) == 2 and town.units.compute.evaluated(process).nonce == -1
        upstream._url = far.url
        woken.set()
        assert (await town.link.result(process, message)).error is None
        await town.link.assign(process, note.id)
        assert (await town.link.result(process, note.id)).output == "7"
        await town.quiet()


async def test_nobody_waits_for_what_another_process_needs_of_the_other(far, tmp_path):
    """A gateway that takes its time keeps the processes waiting that need it, and no others."""
    asked, answer = asyncio.Event(), asyncio.Event()

    class Slow:
        async def fetch(self, id: str) -> bool:
            asked.set()
            await answer.wait()
            return False

    store = open_store(tmp_path / "near")
    weave = await Weave.open(store, OPERATOR, lambda: RSA)
    town = Town(store=store, archive=Archive(store, weave, Slow()))
    await store.append([MODULE])
    process = await town.spawn()
    waiting = asyncio.create_task(town.link.assign(process, NOBODY))
    await asked.wait()
    for n in range(5):
        message = await town.do(process, ["set", "n", n], ["get", "n"])
        assert (await town.link.result(process, message)).output == str(n)
    assert not waiting.done()
    answer.set()
    with pytest.raises(Missing, match="Transaction not found"):
        await waiting
    await town.units.stop()
    await store.close()


async def test_a_compute_unit_by_itself_reads_what_was_assigned_from_the_gateway_it_was_told_of(far, tmp_path):
    """The feed only names what was assigned: an item comes from the scheduler or the gateway, a transaction from the
    latter.
    """
    town = Town(store=far.weave.store, archive=Archive(far.weave.store, far.weave))
    note, tx = sign_item(ALICE, SET_X), far.signed(RSA, SET_X)
    for item in (note, MODULE):
        await far.weave.upload(item)
    await far.weave.post(tx)
    await far.weave.mine()
    process = await town.spawn()
    for id in (note.id, tx.id):
        await town.link.assign(process, id)
    await town.quiet()
    store = open_store(tmp_path / "near")
    weave = await Weave.open(store, OPERATOR, lambda: RSA)
    async with served(town) as wire, aiohttp.ClientSession() as web:
        schedules = RemoteSchedules(store, wire.urls["su"], web)
        upstream = Upstream(weave, far.url)
        archive = Archive(store, weave, upstream)
        unit = ComputeUnit(store, COMPUTE, schedules, FakeEvaluators(), archive, sleep=no_sleep)
        for id in (tx.id, note.id):
            assert (await unit.result(process, id)).encode() == (await town.link.result(process, id)).encode()
        assert unit.evaluated(process).root == town.units.compute.evaluated(process).root
        assert [item.id for item, _ in await schedules.assignments(process)] == [process, note.id, tx.id]
        await unit.stop()
        await upstream.close()
    assert (await verify(store, FakeEvaluators(), process)).agrees
    await store.close()


READ = "local f = io.open('%s') local n = f:seek('end') local s = f:read(n) f:close() return s"


async def test_65_weavedrive_reads_what_only_the_other_has(far, tmp_path):
    """A real module opens an item, its attestation, a transaction and an item to boot from, none of which is here."""
    module = sign_item(ALICE, samples.module("aos2_0_6").read_bytes(), [
        ("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Module"), ("Module-Format", samples.WIDE),
        ("Input-Encoding", "JSON-1"), ("Output-Encoding", "JSON-1"), ("Memory-Limit", "1-gb"),
    ])  # fmt: skip
    text = "Llamas graze on the puna."
    item = sign_item(ALICE, text.encode())
    tx = far.signed(RSA, text[::-1].encode() * 20_000)
    attested = [sign_item(SCHEDULER, b"a", [("Data-Protocol", "ao"), ("Type", "Attestation"), ("Message", id)])
                for id in (item.id, tx.id)]  # fmt: skip
    for each in (module, item, *attested):
        await far.weave.upload(each)
    await far.weave.post(tx)
    await far.weave.mine()
    store = open_store(tmp_path / "near")
    weave = await Weave.open(store, OPERATOR, lambda: RSA)
    upstream = Upstream(weave, far.url)
    evaluators = Evaluators(weave=tmp_path / "near", cache=samples.CACHE / "compiled")
    await evaluators.start(1)
    units = Units.wire(
        store, evaluators, HandClock(), scheduler=SCHEDULER, compute=COMPUTE, messenger=MESSENGER,
        archive=Archive(store, weave, upstream),
        compute_options={"sleep": no_sleep, "limits": Limits(gas_default=samples.GAS)},
    )  # fmt: skip
    process = sign_item(ALICE, b" ", [
        ("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Process"), ("Module", module.id),
        ("Scheduler", SCHEDULER.address), ("Extension", "WeaveDrive"),
    ])  # fmt: skip
    try:
        await units.link.submit(process)

        async def eval(code: str) -> str:
            tags = [("Action", "Eval"), ("Data-Protocol", "ao"), ("Type", "Message"), ("Variant", "ao.TN.1")]
            message = sign_item(ALICE, code.encode(), tags, process.id)
            await units.link.submit(message)
            result = await units.link.result(process.id, message.id)
            assert result.error is None, result.error
            return result.output["data"]

        both = f"local a = (function() {READ % f'/data/{item.id}'} end)() "
        both += f"local b = (function() {READ % f'/data/{tx.id}'} end)() return a .. #b .. b:sub(-25)"
        assert await eval(both) == text + str(25 * 20_000) + text[::-1]
        assert f'"id":"{tx.id}"' in await eval(READ % f"/tx/{tx.id}")
        await upstream.close()
        upstream._url = NOWHERE
        assert (await verify(store, evaluators, process.id, limits=Limits(gas_default=samples.GAS))).agrees
    finally:
        await units.stop()
        await evaluators.stop()
        await upstream.close()
        await store.close()

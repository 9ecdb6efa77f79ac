"""Layer-1 transactions, and items of the weave, assigned to processes: what is found, when it is deep enough, and what
the process is told. Source: protocol reference 2.3, 3.4, 4.7.
"""

import json
from pathlib import Path

import pytest
from ao.fakes import ALICE, MODULE, SCHEDULER, FakeEvaluators, MemoryStore, Town, message_item, process_item
from ao.served import served

from puna.ao.compute.fold import message_of
from puna.ao.compute.verify import verify
from puna.arweave.archive import Archive, BaseTransaction, verify_found
from puna.arweave.dataitem import sign_item
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.transaction import Transaction, sign_transaction
from puna.arweave.wallet import load_wallet
from puna.arweave.weave import Weave
from puna.errors import Invalid, Missing

RSA = load_wallet(Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json")
BIG = b"0123456789abcdef" * 40_000  # three chunks


class Land:
    """A town with a weave, whose blocks are mined by hand."""

    @classmethod
    async def founded(cls) -> "Land":
        land = cls()
        land.store = MemoryStore()
        land.weave = await Weave.open(land.store, SCHEDULER, lambda: RSA)
        await land.weave.endow(RSA.address)
        land.town = await land.again()
        await land.store.append([MODULE])
        return land

    async def again(self) -> Town:
        """The town after a restart, with memories of nothing."""
        return Town(store=self.store, archive=Archive(self.store, self.weave))

    async def post(self, data: bytes, tags=(("Action", "Note"),), **fields) -> Transaction:
        known = {"last_tx": b64url_decode(self.weave.tip.indep_hash), "reward": self.weave.price(len(data))}
        tx = sign_transaction(RSA, data=data, tags=tags, **known | fields)
        await self.weave.post(tx)
        return tx

    async def mine(self, count: int = 1) -> None:
        for _ in range(count):
            await self.weave.mine(even_empty=True)

    async def told(self, process: str, item_id: str) -> dict:
        """The message as the process got it: the program of the town's module answers with it when asked to show."""
        item, assignment = await self.town.units.scheduler.place(process, item_id)
        return message_of(item, assignment)


async def test_24_59_a_transaction_of_layer_1_reaches_a_process_in_the_words_of_a_message():
    land = await Land.founded()
    process = await land.town.spawn()
    tx = await land.post(b'[["set","x",7],["show"]]', tags=[("Action", "Note"), ("From", "nobody"), ("A", "b")])
    with pytest.raises(Missing, match="Transaction not found"):
        await land.town.link.assign(process, tx.id)
    await land.mine()
    assignment = await land.town.link.assign(process, tx.id)
    result = await land.town.link.result(process, assignment)
    shown = json.loads(result.output["data"])
    assert list(shown) == [
        "Id", "Signature", "Data", "Owner", "Target", "Anchor", "From", "Tags", "Epoch", "Nonce", "Timestamp",
        "Block-Height", "Hash-Chain", "Cron", "Read-Only",
    ]  # fmt: skip
    known = {name: shown[name] for name in list(shown)[:8]}
    assert known == {
        "Id": tx.id,
        "Signature": b64url_encode(tx.signature),
        "Data": '[["set","x",7],["show"]]',
        "Owner": RSA.address,
        "Target": "",
        "Anchor": b64url_encode(tx.last_tx),
        "From": RSA.address,
        "Tags": [{"name": "Action", "value": "Note"}, {"name": "A", "value": "b"}],
    }
    assert (shown["Nonce"], shown["Cron"], shown["Read-Only"]) == (1, False, False)
    assert await land.town.link.result(process, tx.id) == result, "it is found by its own id, too"
    # Another wallet's address as the target is shown as it is, and no message of a user's becomes of it.
    gift = await land.post(b"[]", target=b64url_decode(ALICE.address), quantity=1, reward=2 * 10**9)
    await land.mine()
    await land.town.link.assign(process, gift.id)
    assert (await land.told(process, gift.id))["Target"] == ALICE.address


async def test_a_schedule_with_a_transaction_is_replayed_from_the_store_alone_and_verifies():
    land = await Land.founded()
    process = await land.town.spawn()
    tx = await land.post(BIG)
    await land.mine()
    await land.town.link.assign(process, tx.id)
    before = await land.town.link.result(process, tx.id)
    await land.town.do(process, ["get", "x"])
    await land.town.quiet()
    report = await verify(land.store, FakeEvaluators(), process)
    assert report.agrees and report.replayed == 3, report.first
    assert (await land.told(process, tx.id))["Data"].encode() == BIG
    town = await land.again()
    await town.units.scheduler.rebuild()
    item = await town.do(process, ["get", "y"])
    assert (await town.link.result(process, item)).error is None
    assert await town.link.result(process, tx.id) == before


async def test_verification_finds_a_transaction_whose_data_is_not_what_was_signed():
    land = await Land.founded()
    tx = await land.post(BIG)
    await land.mine()
    found = Archive(land.store, land.weave).view(tx.id)
    assert isinstance(found, BaseTransaction)
    verify_found(found)
    other = await land.post(BIG[::-1])
    await land.mine()
    with pytest.raises(Invalid, match="not what was signed"):
        verify_found(BaseTransaction(found.transaction, land.weave.transaction_body(other.id)))


@pytest.mark.parametrize(
    "tags, depth", [((), 20), ((("Settlement-Depth", "3"),), 3), ((("Settlement-Depth", "x"),), 20)]
)
async def test_24_from_the_base_layer_only_what_is_deep_enough_for_the_process_is_assigned(tags, depth):
    land = await Land.founded()
    process = await land.town.spawn(*tags)
    tx, item = await land.post(b"[]"), sign_item(ALICE, b"[]", [("Action", "Note")])
    await land.weave.upload(item)
    await land.mine(depth - 1)
    async with served(land.town) as wire:
        for id in (tx.id, item.id):
            for unit in ("su", "mu"):
                reply = await wire("POST", unit, "/", process_id=process, assign=id, base_layer="")
                assert reply.status == 400
                words = f"Not enough confirmations to assign (it has {depth - 1}, the process asks for {depth})"
                assert reply.json["error"].startswith(words)
        await land.mine()
        settled = await wire("POST", "mu", "/", process_id=process, assign=tx.id, base_layer="")
        assert settled.status == 202
        settled = await wire("POST", "su", "/", process_id=process, assign=item.id, base_layer="")
        assert settled.status == 200
        entry = (await wire("GET", "su", f"/{tx.id}", process_id=process)).json
        assert entry["message"] is None, "a reader takes it from a gateway"
        assert (await wire("GET", "su", f"/raw/{process}/{tx.id}")).status == 400
        again = await wire("POST", "su", "/", process_id=process, assign=tx.id, base_layer="")
        assert again.status == 400 and "MessageExists" in again.json["error"]


async def test_32_a_process_assigns_from_the_base_layer_and_is_refused_what_is_too_fresh():
    land = await Land.founded()
    process = await land.town.spawn()
    other = await land.town.spawn(("Settlement-Depth", "2"))
    tx = await land.post(b'[["set","x",7]]')
    await land.mine()
    share = {"Processes": [other], "Message": tx.id, "BaseLayer": True, "Exclude": ["Signature"]}
    first = await land.town.do(process, ["raw", "Assignments", share])
    (failed,) = [event for event in await land.town.ended(first) if event["kind"] == "failed"]
    assert failed["error"].startswith("Not enough confirmations to assign")
    await land.mine()
    second = await land.town.do(process, ["raw", "Assignments", share], tags=[("Again", "yes")])
    assert "failed" not in [event["kind"] for event in await land.town.ended(second)]
    assert [item.id for item, _ in await land.town.schedule(other)] == [other, tx.id]
    assert "Signature" not in await land.told(other, tx.id)


async def test_what_is_too_large_to_be_told_is_assigned_without_its_data(monkeypatch):
    monkeypatch.setattr("puna.ao.scheduler.schedule.ITEM_BYTES_MAX", 100_000)
    land = await Land.founded()
    process = await land.town.spawn()
    tx = await land.post(BIG)
    await land.mine()
    with pytest.raises(Invalid, match="Message size exceeds maximum of 100000 bytes.*WeaveDrive"):
        await land.town.link.assign(process, tx.id)
    await land.town.link.assign(process, tx.id, ("Data",))
    assert "Data" not in await land.told(process, tx.id)


async def test_42_a_process_boots_from_a_transaction_that_is_in_a_block():
    land = await Land.founded()
    tx = await land.post(b"print('hello')")
    with pytest.raises(Invalid, match="Invalid tx id for On-Boot tag"):
        await land.town.link.submit(process_item(("On-Boot", tx.id)))
    await land.mine()
    process = await land.town.spawn(("On-Boot", tx.id))
    assert (await land.town.link.result(process, process)).error is None


async def test_a_module_may_be_a_transaction():
    land = await Land.founded()
    tx = await land.post(b"\0asm" + bytes(range(256)), tags=MODULE.tags)
    await land.mine()
    process = sign_item(ALICE, b" ", [
        ("Data-Protocol", "ao"), ("Type", "Process"), ("Module", tx.id), ("Scheduler", SCHEDULER.address),
    ])  # fmt: skip
    await land.town.link.submit(process)
    await land.town.link.submit(message_item(process.id, ["get", "x"]))
    await land.town.quiet()
    program, _ = land.town.evaluators.memories[process.id]
    assert Path(program.module_path).read_bytes() == b"\0asm" + bytes(range(256))
    environment = json.loads(program.environment)
    assert environment["Module"]["Id"] == tx.id and environment["Module"]["Owner"] == RSA.address

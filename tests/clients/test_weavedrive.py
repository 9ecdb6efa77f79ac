"""@permaweb/weavedrive, unmodified, in the reference loader: it reads from our gateway what our own WeaveDrive reads
from the store, and the same messages on the same published module give the same results.
"""

import asyncio
import json
from pathlib import Path

import pytest
from clients.driving import drive
from gateway.serving import OCTETS, gateway
from vm.published import samples

from puna.arweave.dataitem import encode_item, sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.wallet import load_wallet, new_ed25519_wallet
from puna.errors import NotYet
from puna.vm.extensions import Host

WALLET = Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json"
MODULE = "aos2_0_6"
TEXT = "Llamas graze on the puna. " * 20
LARGE = bytes(range(256)) * 1024
WHOLE = "local f = io.open('{}') local n = f:seek('end') local s = f:read(n) f:close() "
PARTS = (
    "local f = io.open('{}') f:setvbuf('no') local s = f:read(6) f:seek('set', 13) s = s .. '|' .. f:read(2) "
    "s = s .. '|' .. f:seek('cur', -8) .. f:read(6) .. '|' .. f:seek('set', 510) .. f:read(10) .. f:seek('cur') "
    "f:close() return s"
)


class Town:
    """A gateway with a text that the scheduler attested, one that it did not, and a process that may read."""

    def __init__(self, at):
        self.at, self.scheduler, self.stranger = at, new_ed25519_wallet(), new_ed25519_wallet()

    async def add(self, wallet, data: bytes, **tags: str) -> str:
        item = sign_item(wallet, data, tuple((name.replace("_", "-"), value) for name, value in tags.items()))
        assert (await self.at.post("/tx", data=encode_item(item), headers=OCTETS))[0] == 200
        return item.id

    async def attest(self, item_id: str, wallet=None) -> None:
        await self.add(wallet or self.scheduler, b"a", Type="Attestation", Message=item_id, Data_Protocol="ao")

    def environment(self, **tags: str) -> dict:
        tags = {"Extension": "WeaveDrive", "Scheduler": self.scheduler.address} | tags
        more = [{"name": name.replace("_", "-"), "value": value} for name, value in tags.items()]
        process = samples.ENVIRONMENT["Process"]
        return samples.ENVIRONMENT | {"Process": process | {"Tags": process["Tags"] + more}}

    async def theirs(self, codes: list[str], environment: dict) -> dict:
        job = {
            "loader": str(samples.loader()), "module": str(samples.module(MODULE)), "format": samples.ALL[MODULE],
            "gas": samples.GAS, "environment": environment, "gateway": self.at.url, "messages": messages(codes),
        }  # fmt: skip
        return await drive("weavedrive.mjs", json.dumps(job))

    def ours(self, codes: list[str], environment: dict) -> list[dict]:
        bench = samples.Bench(MODULE, host=Host(archive=lambda: self.at.weave.store), environment=environment)
        return [answered(bench.booted), *(answered(bench.send(message)) for message in messages(codes)[1:])]


def messages(codes: list[str]) -> list[dict]:
    evals = [samples.message(number, code, Action="Eval") for number, code in enumerate(codes, 1)]
    return [samples.boot(), *evals]


def answered(evaluation) -> dict:
    assert evaluation.error is None, evaluation.error
    return {"Output": evaluation.output, "Messages": evaluation.messages, "Spawns": evaluation.spawns,
            "Assignments": evaluation.assignments}  # fmt: skip


def shown(result: dict) -> str:
    data = result["Output"]["data"]
    return data["output"] if isinstance(data, dict) else data


@pytest.fixture
async def town(tmp_path):
    async with gateway(tmp_path / "weave", load_wallet(WALLET)) as at:
        yield Town(at)


async def test_65_the_client_reads_from_our_gateway_what_our_own_weavedrive_reads(town):
    text = await town.add(town.stranger, TEXT.encode())
    large = await town.add(town.stranger, LARGE)
    await town.attest(text)
    await town.attest(large)
    transaction = town.at.signed(load_wallet(WALLET), b"of layer 1", tags=[("Kind", "ñandú")])
    await town.at.post_tx(transaction)
    await town.at.weave.mine()
    checksum = "local sum = #s for i = 1, #s do sum = (sum * 31 + s:byte(i)) % 4294967296 end return tostring(sum)"
    codes = [
        (WHOLE + "return s").format(f"/data/{text}"),
        PARTS.format(f"/data/{text}"),
        (WHOLE + checksum).format(f"/data/{large}"),
        (WHOLE + "return s").format(f"/tx/{transaction.id}"),
        (WHOLE + "return s").format("/block/1"),
        "return tostring(io.open('/elsewhere/x')) .. tostring(select(2, io.open('/tmp/x')))",
    ]
    environment = town.environment()
    theirs = await town.theirs(codes, environment)
    ours = await asyncio.to_thread(town.ours, codes, environment)
    assert shown(theirs["results"][1]) == TEXT
    for code, here, there in zip(["boot", *codes], ours, theirs["results"], strict=True):
        assert {name: there[name] for name in here} == here, code
    assert json.loads(shown(theirs["results"][4]))["data"] == b64url_encode(b"of layer 1")
    asked = {path: [] for path in (f"/{text}", f"/{large}", f"/tx/{transaction.id}", "/block/height/1", "/graphql")}
    for method, path, part, status in theirs["requests"]:
        asked[path].append((method, part, status))
    assert asked == {
        "/graphql": [("POST", None, 200)] * 2,
        f"/{text}": [
            ("HEAD", None, 200),
            # After a seek to the end: backwards, so the file comes whole, from its start.
            ("GET", "bytes=005200-520", 200),
            # One byte too many at the end, each time.
            *(("GET", f"bytes={start}-520", 206) for start in (0, 13, 7, 510)),
        ],
        f"/{large}": [("HEAD", None, 200), ("GET", "bytes=002621440-262144", 200)],
        f"/tx/{transaction.id}": [("GET", None, 200)],
        "/block/height/1": [("GET", None, 200)],
    }


async def test_65_what_is_not_attested_halts_the_evaluation_there_and_here(town):
    text = await town.add(town.stranger, TEXT.encode())
    await town.attest(text, town.stranger)
    await town.at.weave.mine()
    codes = [(WHOLE + "return s").format(f"/data/{text}")]
    theirs = await town.theirs(codes, town.environment())
    assert theirs["results"][1:] == [{"halted": "HALT: FILE NOT FOUND"}]
    with pytest.raises(NotYet, match="not available"):
        await asyncio.to_thread(town.ours, codes, town.environment())

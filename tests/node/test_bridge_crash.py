"""A node killed while money crosses its bridge finishes after restart: minted once, paid once, the books agree.

The quick run takes a few points; PUNA_CRASH_POINTS=all takes every one. `services/test_bridge.py` takes every durable
step of the bridge itself.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from node.test_crash_points import copy_of

from puna.arweave.dataitem import encode_item
from puna.arweave.ids import b64url_decode, id_bytes
from puna.arweave.transaction import sign_transaction, transaction_to_json
from puna.errors import Missing
from puna.node.home import Home
from puna.node.node import Node, Options
from puna.services import letters
from puna.services.network import NETWORK_NOTE
from puna.services.token.client import balance, info

PROGRAM = Path(__file__).with_name("crashing_bridge.py")
sys.path.append(str(PROGRAM.parent))
from crashing_bridge import cross  # noqa: E402

QUICK_POINTS = 2
AR = 10**12
DEPOSITED, BURNED, FEE = 5 * AR, 2 * AR, 3 * AR // 10
START = 10 * AR
PAID = "C" * 42 + "A"


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A home with a raised network, a signed deposit and a signed burn of its user, and how many points they have."""
    folder = tmp_path_factory.mktemp("bridge-crash")
    asyncio.run(raise_network(folder))
    whole = run_to(0, folder, copy_of(folder / "home", folder / "whole"))
    assert whole.returncode == 0, whole.stderr
    return folder, int(whole.stdout)


async def raise_network(folder: Path) -> None:
    place = Home(folder / "home")
    assert place.lock()
    node = await Node.start(place, Options(serve=False))
    deposit = sign_transaction(
        node.user, last_tx=b64url_decode(node.weave.tip.indep_hash), reward=node.weave.price(0),
        target=id_bytes(node.network.vault), quantity=DEPOSITED,
    )  # fmt: skip
    (folder / "deposit").write_text(json.dumps(transaction_to_json(deposit)))
    tags = {"Action": "Burn", "Quantity": str(BURNED), "Recipient": PAID}
    (folder / "burn").write_bytes(encode_item(letters.message(node.user, node.network.token, tags)))
    await node.stop()


def run_to(point: int, folder: Path, home: Path) -> subprocess.CompletedProcess:
    words = [str(PROGRAM), str(home), str(folder / "deposit"), str(folder / "burn"), str(point)]
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


async def finish(folder: Path, home: Path) -> dict:
    """Restart the node as it was left, go on to the end, and look at every account."""
    place = Home(home)
    assert place.lock(), "a killed node holds its home no longer"
    node = await Node.start(place, Options(serve=False))
    try:
        await cross(node, folder / "deposit", folder / "burn")
        books = node.bridge.status()
        return {
            "paid": node.weave.balance(PAID),
            "holder": await balance(node.link, node.network.token, node.user.address),
            "supply": (await info(node.link, node.network.token)).supply,
            "vault": node.weave.balance(node.network.vault),
            "agree": (books["holds"], books["surplus"], books["pending"], books["trouble"]),
        }
    finally:
        await node.stop()


def chosen_points(count: int) -> list[int]:
    if os.environ.get("PUNA_CRASH_POINTS") == "all":
        return list(range(1, count + 1))
    return sorted({(n + 1) * count // (QUICK_POINTS + 1) for n in range(QUICK_POINTS)})


def test_48_a_node_killed_anywhere_mints_and_pays_once(town):
    folder, count = town
    assert count > 30
    for point in chosen_points(count):
        home = copy_of(folder / "home", folder / f"killed-{point}")
        killed = run_to(point, folder, home)
        assert killed.returncode == -9, f"point {point}: {killed.stderr}"
        ended = asyncio.run(finish(folder, home))
        assert ended["paid"] == BURNED - FEE, f"point {point} of {count}"
        assert ended["holder"] == START + DEPOSITED - BURNED, f"point {point} of {count}"
        assert ended["vault"] == ended["supply"], f"point {point} of {count}"
        assert ended["agree"] == (True, "0", "0", []), f"point {point} of {count}"
        shutil.rmtree(home)


async def test_a_home_raised_before_there_was_a_bridge_gets_one_at_its_next_start(town):
    """An older version's home: rules not loaded, no vault, and wAR that was minted by hand since."""
    folder, _ = town
    home = Home(folder / "old")
    assert home.lock()
    node = await Node.start(home, Options(serve=False, packages=False))
    assert node.bridge is None and node.network.vault == "" and not home.vault_path.exists()
    mint = {"Action": "Mint", "Recipient": node.user.address, "Quantity": str(AR)}
    item = letters.message(node.keys.operator, node.network.token, mint)
    await node.link.submit(item)
    await node.link.result(node.network.token, item.id)
    await node.stop()
    assert home.lock()
    node = await Node.start(home, Options(serve=False))
    try:
        assert node.weave.balance(node.network.vault) == START + AR
        await node.bridge.step()
        assert node.bridge.status()["holds"] and node.bridge.status()["surplus"] == "0"
        assert json.loads(node.store.note(NETWORK_NOTE))["vault"] == node.network.vault
    finally:
        await node.stop()
    home.vault_path.rename(home.folder / "elsewhere.json")
    assert home.lock()
    with pytest.raises(Missing, match="Put it back"):
        await Node.start(home, Options(serve=False))
    assert not home.vault_path.exists()

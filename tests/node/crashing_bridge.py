"""A node that dies on request while money crosses its bridge: run as a program by test_bridge_crash.py.

    python crashing_bridge.py HOME DEPOSIT BURN KILL_AT

Starts a node on HOME, hands over the signed transaction in DEPOSIT and the signed message in BURN, and leads both to
their end, block by block; kills itself at the KILL_AT-th point, as crashing_node.py does. With KILL_AT 0 it lives on
and prints how many points there were.
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

import crashing_node
from crashing_node import with_points, with_points_between

from puna.arweave.dataitem import decode_item
from puna.arweave.store.sqlite import SqliteStore
from puna.arweave.transaction import transaction_from_json
from puna.arweave.weave import AlreadyHere
from puna.node.home import Home
from puna.node.node import Node, Options
from puna.services.bridge.raising import CONFIRMATIONS_LOCAL
from puna.vm.evaluators import Evaluators


async def cross(node: Node, deposit: Path, burn: Path) -> None:
    """Hand both over, as a client that was never answered does again, and mine until nothing waits any more."""
    with suppress(AlreadyHere):
        await node.weave.post(transaction_from_json(json.loads(deposit.read_bytes())))
    item = decode_item(burn.read_bytes())
    await node.link.submit(item)
    await node.link.result(node.network.token, item.id)
    for _ in range(CONFIRMATIONS_LOCAL + 2):
        while await node.bridge.step():
            pass
        await node.weave.mine(even_empty=True)
    while await node.bridge.step():
        pass


async def main(home: Path, deposit: Path, burn: Path, kill_at: int) -> None:
    place = Home(home)
    assert place.lock()
    node = await Node.start(place, Options(serve=False))
    with_points(SqliteStore, "append", kill_at)
    with_points(Evaluators, "apply", kill_at)
    with_points_between(Evaluators, "apply_all", kill_at)
    await cross(node, deposit, burn)
    print(crashing_node.passed, flush=True)
    await node.stop()


if __name__ == "__main__":
    asyncio.run(main(*(Path(word) for word in sys.argv[1:4]), int(sys.argv[4])))

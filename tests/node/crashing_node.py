"""A node that dies on request: run as a program by test_crash_points.py.

    python crashing_node.py HOME ITEM KILL_AT

Starts a node on HOME, hands over the signed item in the file ITEM, and kills itself (SIGKILL, nothing is cleaned up)
at the KILL_AT-th point of the request. Points lie before and after every durable append, before and after every
evaluation, and at every token. With KILL_AT 0 it lives on to the end and prints how many points there were.
"""

import asyncio
import functools
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path

from puna.ao.events import Hub
from puna.arweave.dataitem import decode_item
from puna.arweave.store.sqlite import SqliteStore
from puna.node.home import Home
from puna.node.node import Node, Options
from puna.vm.evaluators import Evaluators

passed = 0


def point(kill_at: int) -> None:
    global passed
    passed += 1
    if passed == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)


def with_points(owner: type, name: str, kill_at: int) -> None:
    inner = getattr(owner, name)

    @functools.wraps(inner)
    async def outer(*arguments, **options):
        point(kill_at)
        answer = await inner(*arguments, **options)
        point(kill_at)
        return answer

    setattr(owner, name, outer)


def with_points_between(owner: type, name: str, kill_at: int) -> None:
    """The same for a call that gives its answers one by one: before each message it takes, and after each answer."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    async def outer(self, process, take):
        async def taken(count):
            messages = await take(count)
            for _ in messages:
                point(kill_at)
            return messages

        async with aclosing(inner(self, process, taken)) as answers:
            async for answer in answers:
                point(kill_at)
                yield answer

    setattr(owner, name, outer)


async def main(home: Path, item_file: Path, kill_at: int) -> None:
    place = Home(home)
    assert place.lock()
    node = await Node.start(place, Options(serve=False))
    with_points(SqliteStore, "append", kill_at)
    with_points(Evaluators, "apply", kill_at)
    with_points_between(Evaluators, "apply_all", kill_at)
    publish = Hub.publish

    def publish_with_point(hub, event):
        if event["kind"] == "token":
            point(kill_at)
        publish(hub, event)

    Hub.publish = publish_with_point
    item = decode_item(item_file.read_bytes())
    await node.link.submit(item)
    async with node.link.events(item.id) as events:
        async for _ in events:
            pass
    print(passed, flush=True)
    await node.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))

"""A node killed in the middle of a request finishes it after restart: one answer, paid once.

The quick run takes a few points spread over the whole request; PUNA_CRASH_POINTS=all takes every one.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from puna.arweave.dataitem import encode_item
from puna.arweave.store.port import Query
from puna.arweave.tags import first
from puna.node.home import Home
from puna.node.node import Node, Options
from puna.services import letters
from puna.services.token.client import balance

PROGRAM = Path(__file__).with_name("crashing_node.py")
QUICK_POINTS = 6
PAID_WINSTON = 1000
REFERENCE = "crash-test"


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A home with a raised network, a signed request of its user, and the number of points the request has."""
    folder = tmp_path_factory.mktemp("crash")
    asyncio.run(raise_network(folder / "home", folder / "item"))
    whole = run_to(0, copy_of(folder / "home", folder / "whole"), folder / "item")
    return folder, int(whole.stdout)


async def raise_network(home: Path, item_file: Path) -> None:
    place = Home(home)
    assert place.lock()
    node = await Node.start(place, Options(serve=False))
    tags = {
        "Action": "Transfer", "Recipient": node.network.herder, "Quantity": str(PAID_WINSTON),
        "X-Prompt": "What is the meaning of life?", "X-Tokens": "20", "X-Reference": REFERENCE,
    }  # fmt: skip
    item_file.write_bytes(encode_item(letters.message(node.user, node.network.token, tags)))
    await node.stop()


def copy_of(home: Path, copy: Path) -> Path:
    """A home of its own; large payload files never change and are shared."""

    def take(source: str, target: str) -> None:
        (os.link if "payloads" in source else shutil.copy2)(source, target)

    return Path(shutil.copytree(home, copy, copy_function=take, ignore=shutil.ignore_patterns("*.sock", "lock")))


def run_to(point: int, home: Path, item_file: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(home), str(item_file), str(point)], capture_output=True, text=True
    )


async def finish(home: Path, item_file: Path) -> tuple[list, int, str]:
    """Restart the node as it was left; the answers to our request, what the user has, and the token's words."""
    from puna.arweave.dataitem import decode_item

    place = Home(home)
    assert place.lock(), "a killed node holds its home no longer"
    node = await Node.start(place, Options(serve=False))
    try:
        item = decode_item(item_file.read_bytes())
        # The client was never answered, so it sends the same item again; that must change nothing.
        await node.link.submit(item)
        async with node.link.events(item.id) as events:
            async for _ in events:
                pass
        answers = [
            entry.item
            for entry in node.store.find(Query(recipients=(node.user.address,), tags=(("X-Reference", (REFERENCE,)),)))
            if first(entry.item.tags, "Action") in ("Inference-Response", "Inference-Error")
        ]
        return answers, await balance(node.link, node.network.token, node.user.address), node.network.token
    finally:
        await node.stop()


def chosen_points(count: int) -> list[int]:
    if os.environ.get("PUNA_CRASH_POINTS") == "all":
        return list(range(1, count + 1))
    return sorted({1 + n * (count - 1) // (QUICK_POINTS - 1) for n in range(QUICK_POINTS)})


def test_a_request_has_at_least_50_points_to_be_killed_at(town):
    assert town[1] >= 50


def test_a_node_killed_anywhere_finishes_the_request_once(town):
    folder, count = town
    untouched = asyncio.run(finish(copy_of(folder / "home", folder / "reference"), folder / "item"))
    (answer,) = untouched[0]
    for point in chosen_points(count):
        home = copy_of(folder / "home", folder / f"killed-{point}")
        killed = run_to(point, home, folder / "item")
        assert killed.returncode == -9, f"point {point}: {killed.stderr}"
        answers, balance_after, _ = asyncio.run(finish(home, folder / "item"))
        assert [bytes(each.data) for each in answers] == [bytes(answer.data)], f"point {point} of {count}"
        assert balance_after == untouched[1], f"point {point} of {count}"
        shutil.rmtree(home)

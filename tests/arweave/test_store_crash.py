"""A writer killed again and again at random moments: what it acknowledged is there, and nothing is half there."""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from arweave import store_victim
from arweave.store_victim import pair

import puna
from puna.arweave.dataitem import verify_item
from puna.arweave.store import index
from puna.arweave.store.port import Query
from puna.arweave.store.sqlite import open_store

KILLS = 15


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SEGMENT_BITS", store_victim.SEGMENT_BITS)
    chance = random.Random(20)
    for round_number in range(KILLS):
        acknowledged = run_and_kill(tmp_path, round_number, after=chance.randint(1, 60))
        asyncio.run(check(tmp_path, round_number, acknowledged))


def run_and_kill(folder, round_number, after):
    """The numbers that the victim printed: it is killed once it has printed some, wherever it is by then."""
    source = str(Path(puna.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, store_victim.__file__, str(folder), str(round_number)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": source},
        text=True,
    ) as victim:
        printed = [victim.stdout.readline() for _ in range(after)]
        victim.kill()
        printed += victim.stdout.readlines()
    assert printed[0], "the victim died before it wrote anything"
    return {int(line) for line in printed if line.endswith("\n")}


async def check(folder, round_number, acknowledged):
    store = open_store(folder)
    try:
        done = {int(key.rsplit("/", 1)[1]) for key, _ in store.notes(f"pair/{round_number}/")}
        assert acknowledged <= done
        for number in done:
            name = f"{round_number}/{number}"
            found = [entry.item for entry in store.find(Query(tags=(("Pair", (name,)),)))]
            assert found == pair(round_number, number)
            for item in found:
                verify_item(item)
        everything = store.find(Query(limit=1_000_000))
        assert len(everything) == 2 * len(store.notes("pair/"))
        assert [entry.sequence for entry in everything] == list(range(1, len(everything) + 1))
        large = {entry.item.id for entry in everything if store.payload_path(entry.item.id)}
        assert set(os.listdir(folder / "payloads")) == large
    finally:
        await store.close()

"""The blocks that crons count: those of the weave in a store. Called by the node and by `puna verify`."""

from bisect import bisect_left

import msgspec

from puna.ao.compute.cron import Block, Blocks
from puna.arweave.store.port import Store


def blocks_of(store: Store) -> Blocks:
    """A reader of the mined blocks, as crons need it. It sees what is mined later, too."""

    def at(height: int) -> Block:
        note = msgspec.json.decode(store.note(f"weave/block/{height:012d}"))
        return Block(height, note["timestamp"] * 1000)

    def blocks(first_second: int, end_second: int) -> list[Block]:
        tip = store.note("weave/tip")
        heights = range(int(tip) + 1 if tip else 0)
        # Blocks never go back in time, so the wanted ones are neighbours.
        low = bisect_left(heights, first_second * 1000, key=lambda height: at(height).timestamp_ms)
        high = bisect_left(heights, end_second * 1000, lo=low, key=lambda height: at(height).timestamp_ms)
        return [at(height) for height in range(low, high)]

    return blocks

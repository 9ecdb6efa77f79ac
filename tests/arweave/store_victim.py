"""A writer that is killed at a moment it does not know. Run by test_store_crash.py: FOLDER ROUND.

It appends pairs of items, one of them now and then large, with a note for each; and prints a pair's number once its
append has returned.
"""

import asyncio
import sys
from pathlib import Path

from puna.arweave.dataitem import sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store import index, notes
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import wallet_from_jwk

WALLET = wallet_from_jwk({"kty": "OKP", "crv": "Ed25519", "d": b64url_encode(b"\x07" * 32)})
LARGE = 70_000
SEGMENT_BITS = 5  # so that segments are written often, and crashes hit that too
RECENT_NOTES = (7,)  # likewise


def pair(round_number, number):
    name = f"{round_number}/{number}"
    data = name.encode().ljust(LARGE, b".") if number % 5 == 0 else name.encode()
    return [sign_item(WALLET, half, [("Pair", name)]) for half in (b"first", data)]


async def main(folder, round_number):
    store = open_store(folder)

    async def append(number):
        await store.append(pair(round_number, number), {f"pair/{round_number}/{number}": b"done"})
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    number = 0
    while True:
        await asyncio.gather(*(append(number + n) for n in range(4)))
        number += 4


if __name__ == "__main__":
    index.SEGMENT_BITS = SEGMENT_BITS
    notes.Notes.__init__.__defaults__ = RECENT_NOTES
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))

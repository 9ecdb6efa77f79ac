"""Throws mutated bytes at every parser of the arweave floor. A parser may answer or raise Invalid, nothing else.

    PYTHONPATH=src:tests python tests/arweave/fuzz.py [INPUTS] [SEED]      a million inputs by default

test_fuzz.py runs a slice of it.
"""

import json
import random
import sys
from collections.abc import Callable

from arweave.strategies import ED25519

from puna.arweave.bundle import BUNDLE_TAGS, encode_bundle, unpack
from puna.arweave.dataitem import decode_item, encode_item, sign_item
from puna.arweave.gateway.graphql import read_document
from puna.arweave.gateway.reply import range_of
from puna.arweave.gateway.selection import read_cursor
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.merkle import prove, tree_of
from puna.arweave.tags import decode_tags, encode_tags
from puna.arweave.transaction import Transaction, transaction_from_json, transaction_to_json
from puna.errors import Invalid

INTERESTING = (b"\x00", b"\x01", b"\x02", b"\x7f", b"\x80", b"\xff", b"\xff" * 8, b"\x00" * 8, b"{", b"}", b'"', b"[")


def seeds() -> dict[str, tuple[Callable[[bytes], object], list[bytes]]]:
    """Every parser, by name, with sound inputs to begin from."""
    tags = [("Data-Protocol", "ao"), ("Type", "Message"), ("Ünicode", "x" * 100)]
    items = [sign_item(ED25519, b"data", tags, "B" * 42 + "A", b"a" * 32), sign_item(ED25519, b"x" * 50)]
    inner = encode_bundle(items)
    nested = encode_bundle([sign_item(ED25519, inner, BUNDLE_TAGS), *items])
    tx = Transaction(2, b"l" * 48, b"o" * 512, ((b"a", b"b"),), b"t" * 32, 5, 6, 7, b"r" * 32, b"s" * 512)
    tree = tree_of(3_000_000, lambda start, end: b"%d" % start)
    query = '{ transactions(first: 2, tags: [{name: "a", values: ["b"]}]) { edges { cursor node { id ...F } } } }'
    query += " fragment F on Transaction { owner { key } block { height } }"
    return {
        "item": (decode_item, [encode_item(item) for item in items]),
        "tags": (decode_tags, [encode_tags(tags), bytes.fromhex("0108") + bytes.fromhex("0241026200")]),
        "bundle": (lambda data: list(unpack("A" * 43, data)), [inner, nested]),
        "transaction": (_transaction, [json.dumps(transaction_to_json(tx)).encode()]),
        "proof": (lambda path: prove(tree.root, 1_000_000, 3_000_000, path), [tree.proof(3), tree.proof(0)]),
        "graphql": (lambda data: read_document.__wrapped__(data.decode(errors="replace")), [query.encode()]),
        "range": (_range, [b"bytes=0-9", b"bytes=-5", b"bytes=7-"]),
        "cursor": (lambda data: read_cursor(data.decode(errors="replace")), [b64url_encode(b"12.0").encode()]),
        "base64url": (lambda data: b64url_decode(data.decode(errors="replace")), [b"QUJD-_8"]),
    }


def mutated(data: bytes, dice: random.Random) -> bytes:
    """`data` with a few bytes changed, cut, doubled or put in."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at, size = dice.randint(0, len(out)), dice.choice((1, 1, 2, 8, 64))
        match dice.randrange(5):
            case 0:
                out[at : at + size] = dice.randbytes(size)
            case 1:
                del out[at : at + size]
            case 2:
                out[at:at] = dice.choice(INTERESTING)
            case 3:
                out[at:at] = out[max(at - size, 0) : at]
            case _:
                out[at : at + 1] = dice.choice(INTERESTING)
    return bytes(out)


def run(inputs: int, seed: int) -> dict[str, list[int]]:
    """How many of the inputs each parser took and refused. Any other error comes through, with its input in a note."""
    dice, parsers = random.Random(seed), seeds()
    counts = {name: [0, 0] for name in parsers}
    for _ in range(inputs):
        name = dice.choice(list(parsers))
        parse, sound = parsers[name]
        data = mutated(dice.choice(sound), dice)
        try:
            parse(data)
            counts[name][0] += 1
        except Invalid:
            counts[name][1] += 1
        except Exception as error:
            error.add_note(f"parser {name}, input {data.hex()}")
            raise
    return counts


def _transaction(data: bytes) -> object:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise Invalid("no JSON") from None
    return transaction_from_json(value)


def _range(data: bytes) -> object:
    try:
        return range_of(data.decode(errors="replace"), 100)
    except ValueError:
        raise Invalid("past the end") from None


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    for parser, (taken, refused) in run(*(numbers + [1_000_000, 1][len(numbers) :])).items():
        print(f"{parser:<12} took {taken:>8}, refused {refused:>8}")

"""Throws mutated bytes at every parser that strangers reach: items, tags, bundles, transactions, proofs, GraphQL,
ranges, cursors, messages as JSON, results of modules and the outboxes in them. A parser may answer or raise Invalid,
nothing else.

    PYTHONPATH=src:tests python tests/arweave/fuzz.py [INPUTS] [SEED]      a million inputs for each, by default

test_fuzz.py runs a slice of it.
"""

import json
import random
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator

from arweave.strategies import ED25519

from puna.ao.compute.cursor import read_cursor as read_place
from puna.ao.compute.fold import preview_json, result_of
from puna.ao.compute.routes import read_dry_run
from puna.ao.message import ProcessId
from puna.ao.messenger.address import Sender, address
from puna.ao.result import Result
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
from puna.vm.program import Evaluation
from puna.vm.result import read_answer

PROCESS = ProcessId("B" * 42 + "A")
INPUTS = 1_000_000  # for each parser
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
    message = {
        "Id": "1234", "Owner": "1234", "Anchor": "0", "Data": "1234", "Timestamp": "12", "Block-Height": 7,
        "Tags": [{"name": "Data-Protocol", "value": "ao"}, {"name": "From-Process", "value": PROCESS}],
    }  # fmt: skip
    entry = {"Target": PROCESS, "Anchor": "0" * 32, "Data": "hi", "Tags": [{"name": "Assignments", "value": [PROCESS]}]}
    spawn = {"Tags": [{"name": "Module", "value": "m"}, {"name": "Reference", "value": 7}], "Data": "", "Anchor": "1"}
    share = {"Processes": [PROCESS], "Message": PROCESS, "BaseLayer": True, "Exclude": ["Data"]}
    result = {"Messages": [entry], "Spawns": [spawn], "Assignments": [share], "Output": {"data": "x"}, "GasUsed": 3}
    answer = {"ok": True, "response": result | {"Output": 1.5}}
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
        "message": (_message, [json.dumps(message).encode(), b"{}"]),
        "result": (_result, [json.dumps(result).encode()]),
        "answer": (_answer, [json.dumps(answer).encode(), b'{"ok":false,"response":"no"}']),
        "place": (
            lambda data: read_place(data.decode(errors="replace")),
            [b64encode(b'{"timestamp":12,"ordinate":"3","cron":"0-10-seconds","sort":"ASC"}'), b"1700000000000"],
        ),
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


def run(inputs: int, seed: int) -> Iterator[tuple[str, list[int]]]:
    """Parser by parser, how many of `inputs` it took and refused. Any other error comes through, its input noted."""
    for name, parser in seeds().items():
        yield name, _run(name, *parser, inputs, random.Random(f"{seed} {name}"))


def _run(name: str, parse: Callable, sound: list[bytes], inputs: int, dice: random.Random) -> list[int]:
    counts = [0, 0]
    for _ in range(inputs):
        data = mutated(dice.choice(sound), dice)
        try:
            parse(data)
            counts[0] += 1
        except Invalid:
            counts[1] += 1
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


def _message(data: bytes) -> object:
    return preview_json(PROCESS, read_dry_run(data), 1, 1)


def _result(data: bytes) -> object:
    """A result as a compute unit elsewhere gives it, and what its outbox becomes."""
    return address(Result.decode(data), Sender(PROCESS, "m", "s"), None)


def _answer(data: bytes) -> object:
    """What a module answers; nothing in it is an error of ours, so nothing is refused."""
    reading = read_answer(data, None)
    boxes = reading.messages, reading.spawns, reading.assignments
    result = result_of(Evaluation(reading.output, *boxes, reading.error, 1, b"", 0))
    return address(Result.decode(result.encode()), Sender(PROCESS, "m", "s"), PROCESS)


def _range(data: bytes) -> object:
    try:
        return range_of(data.decode(errors="replace"), 100)
    except ValueError:
        raise Invalid("past the end") from None


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    total = 0
    for parser, (taken, refused) in run(*(numbers + [INPUTS, 1][len(numbers) :])):
        total += taken + refused
        print(f"{parser:<12} took {taken:>8}, refused {refused:>8}", flush=True)
    print(f"{total} inputs, and no other error")

"""`WeaveDrive`: permanent data as files, opened by processes and read at any position.

Published modules reach it through their imports (`../emscripten/imports.py`), one `Drive` for each instance. A file is
`/data/<id>`, `/tx/<id>` or `/block/<height>`. What is not on this node, or may not be read yet, ends the evaluation
without a result: it is no fact about the process. Source: protocol reference 5.9.
"""

import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from puna.arweave.block import decode_block
from puna.arweave.body import Body, body_of
from puna.arweave.dataitem import DataItem
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Entry, Query
from puna.arweave.transaction import transaction_to_json
from puna.arweave.transactions import Transactions
from puna.errors import NotYet

from ..program import Wanted
from .host import Host

EXTENSION = "WeaveDrive"
GAS_OPEN = 1_000_000
GAS_READ_BYTE = 10
FIRST_FILE = 16  # below lie the standard files
FILES_MAX = 256

PATH = re.compile(r"/(data|tx)/([A-Za-z0-9_-]{43})|/(block)/(\d{1,12})")


class Archive(Protocol):
    """What this node has of the weave: the part of the Store that is read here."""

    def view(self, id: str) -> DataItem | None: ...
    def find(self, query: Query) -> list[Entry]: ...
    def note(self, key: str) -> bytes | None: ...
    def notes(self, prefix: str) -> list[tuple[str, bytes]]: ...
    def payload_path(self, id: str) -> Path | None: ...


@dataclass
class File:
    """An open file: its bytes, where reading goes on, and whether it has positions at all."""

    content: Body
    position: int = 0
    seeks: bool = True


class Party(msgspec.Struct, rename="pascal"):
    """The process or its module, as the environment JSON has it."""

    id: str = ""
    owner: str = ""
    tags: list[dict[str, Any]] = []

    def values(self, name: str) -> list[str]:
        return [tag.get("value", "") for tag in self.tags if tag.get("name") == name]


class Environment(msgspec.Struct, rename="pascal"):
    process: Party = msgspec.field(default_factory=Party)
    module: Party = msgspec.field(default_factory=Party)

    def values(self, name: str) -> list[str]:
        """The values of a tag, the process's before the module's."""
        return self.process.values(name) + self.module.values(name)


class Drive:
    """The files of one process. They are closed at the end of each evaluation."""

    def __init__(self, host: Host, environment: bytes):
        self._host = host
        self._environment_json = environment
        self._message = b"{}"
        self._files: dict[int, File] = {}
        self._next = FIRST_FILE

    def begin(self, message: bytes) -> None:
        """`message` is the JSON about to be evaluated."""
        self._message = message

    def end(self) -> None:
        self._files.clear()
        self._next = FIRST_FILE

    def is_open(self, file: int) -> bool:
        return file in self._files

    def open(self, path: str) -> int:
        """The number of the opened file; 0 when there can be none of that name.

        Raises NotYet when it is not here or not admitted, so that the evaluation ends without a result.
        """
        match = PATH.fullmatch(path)
        if match is None:
            return 0  # as when `require` looks for a file
        self._host.charge(GAS_OPEN)
        if len(self._files) >= FILES_MAX:
            return 0
        room, name = match[1] or match[3], match[2] or match[4]
        number, self._next = self._next, self._next + 1
        self._files[number] = ROOMS[room](self, name)
        return number

    def read(self, file: int, size: int) -> bytes | memoryview:
        """Up to `size` bytes from where the file stands. A file read to its end begins anew."""
        opened = self._files.get(file)
        if opened is None:
            return b""
        if not opened.seeks or opened.position >= opened.content.size:
            opened.position = 0
        end = min(opened.position + size, opened.content.size)
        self._host.charge(GAS_READ_BYTE * (end - opened.position))
        content = opened.content.read(opened.position, end)
        opened.position = end
        return content

    def seek(self, file: int, distance: int, whence: int) -> int | None:
        """The new position, from the start, where it was, or the end (`whence` 0, 1, 2); None when there is none."""
        opened = self._files[file]
        if whence not in (0, 1, 2):
            return None
        position = (0, opened.position, opened.content.size)[whence] + distance
        if position < 0:
            return None
        opened.position = position
        return position

    def close(self, file: int) -> None:
        self._files.pop(file, None)

    # --- the three rooms ------------------------------------------------------------------------------------

    def data(self, item_id: str) -> File:
        archive = self._archive()
        self._check_admitted(archive, item_id)
        path = archive.payload_path(item_id)
        if path is not None:
            return File(body_of(_mapped(path)))
        transactions = Transactions(archive)
        if transactions.is_mined(item_id):
            return File(transactions.body(item_id))  # chunk by chunk: it may be larger than memory
        return File(body_of(bytes(self._item(archive, item_id).data)))

    def transaction(self, item_id: str) -> File:
        archive = self._archive()
        transactions = Transactions(archive)
        if not transactions.is_mined(item_id):
            return File(body_of(item_json(self._item(archive, item_id))), seeks=False)
        transaction = transactions.get(item_id)
        content = transaction_to_json(transaction) | {"ownerAddress": transaction.address}
        return File(body_of(msgspec.json.encode(content)), seeks=False)

    def block(self, height: str) -> File:
        note = self._archive().note(f"weave/block/{int(height):012d}")
        if note is None:
            raise NotYet(f"WeaveDrive: /block/{height} is not on this node", "Evaluation goes on when it is.")
        return File(body_of(msgspec.json.encode(decode_block(note).to_json())), seeks=False)

    def _item(self, archive: Archive, item_id: str) -> DataItem:
        item = archive.view(item_id)
        if item is None:
            why = f"WeaveDrive: item {item_id} is not on this node"
            raise Wanted(why, "Evaluation goes on when it is.", (Query(ids=(item_id,)),))
        return item

    def _archive(self) -> Archive:
        archive = self._host.archive()
        if archive is None:
            raise NotYet("WeaveDrive: this node has no store to read from.")
        return archive

    # --- admission ------------------------------------------------------------------------------------------

    def _check_admitted(self, archive: Archive, item_id: str) -> None:
        """Raises NotYet unless this process may read an item now: Wanted where a record of somebody would admit it."""
        environment = self._environment()
        if item_id in environment.process.values("On-Boot"):
            return
        why = f"WeaveDrive: /data/{item_id} is not available to process {environment.process.id}"
        owners = (*environment.process.values("Scheduler"), *environment.values("Attestor"))
        if EXTENSION not in environment.values("Extension") or not owners:
            raise NotYet(why, "The process needs the tag Extension=WeaveDrive and a Scheduler.")
        kind = next(iter(environment.values("Availability-Type")), "Assignments")
        if kind not in AVAILABILITY:
            raise NotYet(f"WeaveDrive: Availability-Type={kind} is not supported.")
        queries = tuple(record(owners, item_id) for record in AVAILABILITY[kind])
        if not any(map(archive.find, queries)):
            todo = "It needs an attestation by the process's scheduler or an attestor; evaluation goes on then."
            raise Wanted(why, todo, queries)

    def _environment(self) -> Environment:
        try:
            return msgspec.json.decode(self._environment_json, type=Environment)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return Environment()


def _attestation(owners: tuple[str, ...], item_id: str) -> Query:
    tags = (("Type", ("Attestation",)), ("Message", (item_id,)), ("Data-Protocol", ("ao",)))
    return Query(owners=owners, tags=tags, limit=1)


def _available(owners: tuple[str, ...], item_id: str) -> Query:
    tags = (("Type", ("Available",)), ("ID", (item_id,)), ("Data-Protocol", ("WeaveDrive",)))
    return Query(owners=owners, tags=tags, limit=1)


# By Availability-Type: the records, signed by any of some owners, of which one must be there.
AVAILABILITY: dict[str, tuple[Callable[[tuple[str, ...], str], Query], ...]] = {
    "Assignments": (_attestation,),
    "Individual": (_attestation, _available),
}
ROOMS: dict[str, Callable[[Drive, str], File]] = {"data": Drive.data, "tx": Drive.transaction, "block": Drive.block}


def item_json(item: DataItem) -> bytes:
    """An item in the shape of a transaction's JSON, its data left out, with the owner's address added."""
    return msgspec.json.encode(
        {
            "format": 2,
            "id": item.id,
            "last_tx": b64url_encode(item.anchor),
            "owner": b64url_encode(item.owner),
            "tags": [
                {"name": b64url_encode(name.encode()), "value": b64url_encode(value.encode())}
                for name, value in item.tags
            ],
            "target": item.target,
            "quantity": "0",
            "data": "",
            "data_size": str(len(item.data)),
            "data_root": "",
            "reward": "0",
            "signature": b64url_encode(item.signature),
            "ownerAddress": item.address,
        }
    )


def _mapped(path: Path) -> memoryview:
    """A file's bytes, read when touched."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")

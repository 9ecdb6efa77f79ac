"""Signed messages to processes, as clients of this floor write them. Used by the clients and by genesis."""

import secrets
from collections.abc import Iterable, Mapping

from puna.ao.message import PROTOCOL, VARIANT
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet

MESSAGE = Tag("Type", "Message")
PROCESS = Tag("Type", "Process")

Tags = Mapping[str, str] | Iterable[tuple[str, str]]  # pairs where a name may come twice


def new_anchor() -> bytes:
    """32 random bytes of ASCII. Ed25519 signs the same message to the same id; the anchor makes two of them two."""
    return secrets.token_hex(16).encode()


def message(wallet: Wallet, process: str, tags: Tags, data: bytes = b"", anchor: bytes | None = None) -> DataItem:
    """A signed message to `process`. `anchor` None means a fresh one. Raises Invalid over the tag limits."""
    named = (PROTOCOL, VARIANT, MESSAGE, *pairs(tags))
    return sign_item(wallet, data=data or b" ", tags=named, target=process, anchor=anchor or new_anchor())


def process(wallet: Wallet, tags: Tags, data: bytes = b"", anchor: bytes | None = None) -> DataItem:
    """A signed process; `tags` name its Module and its Scheduler. Else as `message`."""
    named = (PROTOCOL, VARIANT, PROCESS, *pairs(tags))
    return sign_item(wallet, data=data or b" ", tags=named, anchor=anchor or new_anchor())


def pairs(tags: Tags) -> list[Tag]:
    return [Tag(name, value) for name, value in (tags.items() if isinstance(tags, Mapping) else tags)]

"""The Store port: one append-only log of data items, with notes that are derived from them.

Everything above reads and writes through this protocol and knows no store by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from puna.arweave.dataitem import DataItem, Signer


@dataclass(frozen=True, slots=True)
class Query:
    """What to find: every field that is given must hold (AND), by any one of its values (OR).

    `owners` and `recipients` are addresses; `tags` pairs a name with the values it may have. `after` is the sequence
    number of the last entry already seen: what follows it comes, in the order asked for. At most `limit` entries.
    """

    ids: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    limit: int = 100
    after: int | None = None
    newest_first: bool = False

    @property
    def is_everything(self) -> bool:
        return not (self.ids or self.owners or self.recipients or self.tags)

    def matches(self, item: DataItem) -> bool:
        """Whether `item` is meant, `after` and `limit` aside. The plain rule that every index answers to."""
        return (
            (not self.ids or item.id in self.ids)
            and (not self.owners or item.address in self.owners)
            and (not self.recipients or item.target in self.recipients)
            and all(any(tag[0] == name and tag[1] in wanted for tag in item.tags) for name, wanted in self.tags)
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """An item at its place in the store: `sequence` counts appended items from 1, without holes."""

    sequence: int
    item: DataItem


class Store(Protocol):
    """Items once appended are there for ever and never change. Reads may come from any thread."""

    async def append(self, items: Sequence[DataItem], notes: Mapping[str, bytes | None] = {}) -> None:
        """Stores all of `items` and `notes`, or nothing; durable when it returns.

        An item already present is left as it is. A note of None is deleted. Items are stored as given: whoever took
        them from a stranger has verified them. Raises NodeError when they cannot be written.
        """
        ...

    async def append_file(self, wallet: Signer, path: Path, tags: Sequence[tuple[str, str]]) -> DataItem:
        """Signs a file's bytes as a new item's data and stores it, however large, in constant memory."""
        ...

    def view(self, id: str) -> DataItem | None:
        """The item called `id`; None when it is not here."""
        ...

    def view_all(self, ids: Sequence[str]) -> list[DataItem | None]:
        """What `view` says to each of `ids`: many for little more than the price of one."""
        ...

    def find(self, query: Query) -> list[Entry]:
        """The items that `query` means, in the order it asks for."""
        ...

    def note(self, key: str) -> bytes | None: ...

    def notes(self, prefix: str) -> list[tuple[str, bytes]]:
        """All notes whose key begins with `prefix`, ordered by key."""
        ...

    def payload_path(self, id: str) -> Path | None:
        """Where a large item's data lies as a file by itself, to be mapped as it is; None when it does not."""
        ...

    async def close(self) -> None: ...

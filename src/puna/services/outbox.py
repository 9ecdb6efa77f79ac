"""Reading what a process sent: the entries of a result's outbox. Used by the clients.

An entry is `{"Target", "Anchor", "Tags": [{"name", "value"}], "Data"}` as the module gave it, so nothing in it is
believed to be there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from puna.ao.message import tag_list

from . import letters


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of an outbox; the first of several tags with the same name counts."""

    target: str
    tags: Mapping[str, str]
    data: str

    @property
    def action(self) -> str:
        return self.tags.get("Action", "")


def sent(entries: Iterable[Any]) -> list[Sent]:
    """The entries of an outbox, those that are no messages left out."""
    return [_sent(entry) for entry in entries if isinstance(entry, dict)]


def first(entries: Iterable[Any], action: str) -> Sent | None:
    """The first message with that Action."""
    return next((message for message in sent(entries) if message.action == action), None)


def _sent(entry: dict[str, Any]) -> Sent:
    data = entry.get("Data")
    return Sent(str(entry.get("Target") or ""), _named(entry.get("Tags")), data if isinstance(data, str) else "")


def sent_item(target: str, item: dict[str, Any]) -> Sent:
    """A message to a wallet as an event tells of it: its item in the shape of a scheduler's feed."""
    return Sent(target, _named(item.get("tags")), item.get("data") or "")


def _named(tags: Any) -> dict[str, str]:
    named: dict[str, str] = {}
    for tag in tags or ():
        if isinstance(tag, dict) and isinstance(tag.get("name"), str):
            named.setdefault(tag["name"], str(tag.get("value", "")))
    return named


def question(process: str, asker: str, tags: letters.Tags, data: str = "") -> dict[str, Any]:
    """The message of a dry-run, in the shape compute units take. Source: protocol reference 4.5."""
    return {
        "Id": "1234",
        "Target": process,
        "Owner": asker,
        "From": asker,
        "Anchor": "0",
        "Data": data or "1234",
        "Tags": tag_list(letters.pairs(tags)),
    }

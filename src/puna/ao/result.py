"""The result of one evaluation, in the shape the compute unit serves and attests.

Written by `compute/fold.py`, read by the messenger and by clients. Source: protocol reference 4.2.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from puna.errors import Invalid

_EXPONENT_ZEROS = re.compile(r"e([+-])0+")
_EXACT_FLOAT_MAX = 1e21  # above this JavaScript, and so every client, writes whole numbers with an exponent


@dataclass(frozen=True, slots=True)
class Result:
    """What a message did: the outbox, what is shown, what went wrong.

    The entries of `messages`, `spawns` and `assignments` are JSON values exactly as the module gave them;
    `error` None means success; `gas_used` None means unknown.
    """

    messages: tuple[Any, ...] = ()
    spawns: tuple[Any, ...] = ()
    assignments: tuple[Any, ...] = ()
    output: Any = ""
    error: Any = None
    gas_used: int | None = None
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)  # kept once asked for

    def to_json(self) -> dict[str, Any]:
        """The JSON object of the wire: absent values are left out, not null."""
        wire: dict[str, Any] = {
            "Messages": list(self.messages),
            "Spawns": list(self.spawns),
            "Assignments": list(self.assignments),
            "Output": self.output,
        }
        if self.error is not None:
            wire["Error"] = self.error
        if self.gas_used is not None:
            wire["GasUsed"] = self.gas_used
        return wire

    @classmethod
    def from_json(cls, wire: dict[str, Any]) -> "Result":
        """Read the object of the wire. Raises Invalid when an outbox field is no array."""
        return cls(
            messages=_entries(wire, "Messages"),
            spawns=_entries(wire, "Spawns"),
            assignments=_entries(wire, "Assignments"),
            output=wire.get("Output", ""),
            error=wire.get("Error"),
            gas_used=wire.get("GasUsed"),
        )

    def encode(self) -> bytes:
        """The bytes that are attested: two equal results have equal bytes."""
        if self._encoded is None:
            object.__setattr__(self, "_encoded", msgspec.json.encode(self.to_json()))
        return self._encoded

    @classmethod
    def decode(cls, data: bytes | memoryview) -> "Result":
        """Undo `encode`. Raises Invalid when it is not a JSON object."""
        try:
            wire = msgspec.json.decode(bytes(data))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Invalid(f"a result is not JSON: {error}") from error
        if not isinstance(wire, dict):
            raise Invalid("a result is not a JSON object")
        return cls.from_json(wire)


@dataclass(frozen=True, slots=True)
class Page:
    """Some results of a process, each with the cursor of its place; `more` says whether others follow. Source: 4.3."""

    edges: tuple[tuple[str, Result], ...]
    more: bool


def _entries(wire: dict[str, Any], name: str) -> tuple[Any, ...]:
    entries = wire.get(name) or []
    if not isinstance(entries, list):
        raise Invalid(f"{name} of a result is not an array")
    return tuple(entries)


def number_text(number: int | float) -> str:
    """A number as clients write it: no decimal point on whole ones, no zeros before an exponent."""
    if isinstance(number, float) and number.is_integer() and abs(number) < _EXACT_FLOAT_MAX:
        return str(int(number))
    return _EXPONENT_ZEROS.sub(r"e\1", str(number))

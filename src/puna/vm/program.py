"""What goes into an evaluation and what comes out of it. Called by every file of this floor and by the compute unit."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from puna.arweave.store.port import Query
from puna.errors import NotYet

# Gives at most so many messages, each JSON and an id, that follow those it gave before.
Take = Callable[[int], Awaitable[Sequence[tuple[bytes, str]]]]


class Lost(NotYet):
    """The operating system's process that held the memory is gone, and the memory with it. Attach again and replay."""


class Wanted(NotYet):
    """Something of the weave is not on this node; any of `queries` finds it. Bring it and evaluate again."""

    def __init__(self, what: str, todo: str, queries: tuple[Query, ...]):
        super().__init__(what, todo)
        self.queries = queries


@dataclass(frozen=True)
class Program:
    """What a process runs.

    `memory_limit` is in bytes, `gas_limit` per message; `environment` is the environment JSON of the module ABI.
    `options` are the options of its extensions; `module_format` is a row of `formats.py`.
    """

    module_path: Path | str
    module_id: str
    memory_limit: int
    gas_limit: int
    extensions: tuple[str, ...] = ()
    environment: bytes = b"{}"
    options: dict[str, str] = field(default_factory=dict)
    module_format: str = "wasm32-puna-lua-1"


@dataclass(frozen=True)
class Evaluation:
    """The result of one message, and the state after it.

    `output`, `messages`, `spawns` and `assignments` are what the module's JSON holds. With `error` set, memory is
    as it was before the message. `state_root` is 32 bytes (`stateroot.py`).
    """

    output: Any
    messages: list[Any]
    spawns: list[Any]
    assignments: list[Any]
    error: str | None
    gas_used: int
    state_root: bytes
    memory_bytes: int
    held_bytes: int = field(default=0, compare=False)  # about what the process keeps of this machine's memory

"""What the compute unit needs of the floor below: somebody who holds process memories and evaluates on them.

`puna.vm` provides it; tests provide a module of plain Python.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Program:
    module_path: Path
    module_id: str
    memory_limit: int
    gas_limit: int
    extensions: tuple[str, ...]
    environment: bytes
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    output: Any
    messages: list
    spawns: list
    assignments: list
    error: str | None
    gas_used: int
    state_root: bytes
    memory_bytes: int


class Evaluators(Protocol):
    """Memories of many processes. A method that raises NotYet has changed no memory; after a loss the process is
    not attached any more."""

    async def attach(self, process_id: str, program: Program, snapshot: bytes | None = None) -> None: ...

    def attached(self, process_id: str) -> bool: ...

    async def apply(self, process_id: str, message_json: bytes, *, message_id: str) -> Evaluation: ...

    async def preview(self, process_id: str, message_json: bytes) -> Evaluation: ...

    async def snapshot(self, process_id: str) -> bytes: ...

    async def detach(self, process_id: str) -> None: ...

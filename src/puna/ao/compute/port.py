"""What the compute unit needs of the floor below: somebody who holds process memories and evaluates on them.

`puna.vm.evaluators` provides it; tests provide a module of plain Python.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

from puna.vm.checkpoint import Checkpoint
from puna.vm.program import Evaluation, Program, Take

__all__ = ["Checkpoint", "Evaluation", "Evaluators", "Program", "Take"]


class Evaluators(Protocol):
    """The memories of many processes.

    A method that raises NotYet has changed no memory; when the memory itself was lost, `attached` is false after it.
    `on_event` is told what an evaluation says while it runs, on the thread of the event loop.
    """

    on_event: Callable[[dict[str, Any]], None]

    async def attach(self, process_id: str, program: Program, snapshot: bytes | None = None) -> None: ...

    async def resume(self, process_id: str, program: Program, start: Checkpoint, base: Callable[[], bytes]) -> None: ...

    def attached(self, process_id: str) -> bool: ...

    async def apply(self, process_id: str, message_json: bytes, *, message_id: str) -> Evaluation: ...

    def apply_all(self, process_id: str, take: Take) -> AsyncGenerator[Evaluation]: ...

    async def preview(self, process_id: str, message_json: bytes) -> Evaluation: ...

    async def snapshot(self, process_id: str) -> bytes: ...

    async def checkpoint(self, process_id: str, before: bytes | None = None) -> bytes: ...

    async def detach(self, process_id: str) -> None: ...

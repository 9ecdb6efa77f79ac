"""What the node gives an extension. `process.py` makes one for each process; extensions keep nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from puna.errors import NotYet


def _no_gas(gas: int) -> None:
    raise RuntimeError("no evaluation is under way")


def _no_engine() -> Any:
    raise NotYet("This node has no inference engine.", "Start it with `puna up`.")


@dataclass
class Host:
    """One process's way to its node.

    `weave(id)` is the file with the data of an item, None when it is not on this node. `engine()` is the client of
    the inference engine, connected at the first call; it raises NotYet when there is none. `charge(gas)` takes gas
    from the message, and ends its evaluation when there is too little. `emit(events)` tells those who watch; nothing
    of it enters the result. `archive()` is the node's store, to read from (`weavedrive.py` says what of it).
    """

    process_id: str = ""
    weave: Callable[[str], Path | None] = lambda item: None
    engine: Callable[[], Any] = _no_engine
    emit: Callable[[list[dict[str, Any]]], None] = lambda events: None
    options: Mapping[str, str] = field(default_factory=dict)
    environment: bytes = b"{}"  # the environment JSON of the process
    message_id: str = ""  # of the message under evaluation; "" during a preview
    charge: Callable[[int], None] = _no_gas
    gas_left: Callable[[], int] = lambda: 0
    archive: Callable[[], Any] = lambda: None

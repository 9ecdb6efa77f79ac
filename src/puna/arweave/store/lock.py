"""The lock that lets one process at a time write to a folder. The system drops it when its holder dies."""

import os
from pathlib import Path

from puna.errors import NodeError

if os.name == "nt":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_folder(folder: Path) -> int:
    """Takes the lock of `folder`; closing the returned descriptor gives it back. Raises NodeError if it is held."""
    descriptor = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _try_lock(descriptor)
    except OSError:
        os.close(descriptor)
        raise NodeError(
            f"Another program is writing to the store in {folder}.", "Stop it first, or open the store read only."
        ) from None
    return descriptor

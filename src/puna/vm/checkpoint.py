"""Where a process goes on from: a whole snapshot, what was kept since, and the state root all of it must come to.

Made by the compute unit from what it stored; read by `process.py`.
"""

import hashlib
from dataclasses import dataclass

INCREMENT_MAGIC = b"PUNAINC1"


def digest_of(snapshot: bytes) -> bytes:
    """What an increment calls the snapshot before it."""
    return hashlib.sha256(snapshot).digest()


def is_increment(snapshot: bytes) -> bool:
    return snapshot.startswith(INCREMENT_MAGIC)


@dataclass(frozen=True)
class Checkpoint:
    """`base_digest` is the SHA-256 of the whole snapshot, `base` its bytes: None tries without them first, from a
    page file. `increments` are snapshots too, each to the one before it. `state_root` None is not compared.
    """

    base_digest: bytes
    base: bytes | None
    increments: tuple[bytes, ...] = ()
    state_root: bytes | None = None

    @classmethod
    def of(cls, snapshot: bytes) -> "Checkpoint":
        """A whole snapshot alone."""
        return cls(digest_of(snapshot), snapshot)


class NoPages(Exception):
    """There is no page file of the base: give its bytes."""

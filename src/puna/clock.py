"""The Clock port: where time and block height come from. Tests pass a clock they own."""

import time
from dataclasses import dataclass
from typing import NamedTuple, Protocol

BLOCK_MS = 120_000  # two minutes, as between Arweave's blocks


class Tip(NamedTuple):
    """The present: milliseconds since 1970, and the height of the newest block."""

    timestamp_ms: int
    height: int


class Clock(Protocol):
    def tip(self) -> Tip: ...


def wall_ms() -> int:
    """Milliseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass
class HandClock:
    """A clock that stands still until it is moved: for tests and simulations."""

    now_ms: int = 1_700_000_000_000
    height: int = 1

    def tip(self) -> Tip:
        return Tip(self.now_ms, self.height)

    def pass_ms(self, ms: int) -> None:
        self.now_ms += ms
        self.height += ms // BLOCK_MS

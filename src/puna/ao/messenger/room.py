"""Room for journeys: how many of them may run at once, shared fairly among the roots they began from. Pure.

Called by `unit.py`. A journey without room rests: it is a note in the store and nothing else, until others of its
root have ended. So a message that begets ever more messages takes no room from anybody else.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Room:
    """Counts of journeys by root. `journeys_max` in all; `root_journeys_max` for one root even when it is alone."""

    journeys_max: int
    root_journeys_max: int
    _alive: Counter[str] = field(default_factory=Counter)
    _running: Counter[str] = field(default_factory=Counter)
    _waiting: set[str] = field(default_factory=set)  # roots with journeys at rest: a few among thousands

    @property
    def full(self) -> bool:
        """Whether there are so many roots that another would get no share."""
        return len(self._alive) >= self.journeys_max

    @property
    def roots(self) -> int:
        return len(self._alive)

    def share(self) -> int:
        """How many journeys of one root may run now."""
        return max(1, min(self.root_journeys_max, self.journeys_max // max(1, len(self._alive))))

    def has_room(self, root: str) -> bool:
        return self._running[root] < self.share()

    def resting(self, root: str) -> int:
        return self._alive[root] - self._running[root]

    def arrive(self, root: str) -> bool:
        """Count a new journey; whether it may run at once. Those that rest already go before it."""
        waited_for = self.resting(root)
        self._alive[root] += 1
        self._waiting.add(root)
        return waited_for == 0 and self.has_room(root)

    def run(self, root: str) -> None:
        self._running[root] += 1
        if not self.resting(root):
            self._waiting.discard(root)

    def leave(self, root: str) -> bool:
        """Uncount a journey that ran; whether it was the last of its root."""
        self._running[root] -= 1
        self._alive[root] -= 1
        if self._alive[root] > 0:
            return False
        del self._alive[root], self._running[root]
        self._waiting.discard(root)
        return True

    def alive(self, root: str) -> bool:
        return self._alive[root] > 0

    def hungry(self) -> bool:
        """Whether some root has journeys at rest and has used up half of its share. Half: not for every single one."""
        half = self.share() // 2
        return any(self._running[root] <= half for root in self._waiting)

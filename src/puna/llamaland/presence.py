"""Who is where in one world, faster than its process says it: what is shown at once, and what of it is sent on.

Called by the node's live door, which verifies, waits and sends; here are the rules, over a state in memory. The world
process stays the truth: what is shown keeps its bounds and its speed, and of each who walks a sample reaches it.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from puna.arweave.dataitem import DataItem
from puna.errors import Invalid, Missing, NotYet

Place = tuple[float, ...]

SPEED = 7.5  # tiles a second; the world allows 8, and its clock is not ours
STRIDE = 38.0  # tiles that may be saved up; the world: 40
PATH_MAX = 64
SAMPLES_MAX = 4  # of one walker that wait for the messenger
SAMPLE_MS = 4000  # of somebody who keeps walking, the world hears this often, or every STRIDE tiles
STILL_MS = 700  # who sent no move for so long stands, and the world hears where
TRUST_MS = 5000  # so long after a move the world's word on a place is older than ours
IDLE_MS = 30 * 60000  # then somebody is forgotten, as the world does it
FAR = 1e9  # tiles from the origin, where a world has no bounds
LINES_MAX = 500  # of chat, as many as the world keeps
LINES_A_FRAME = 100
DIRECTIONS = {"up", "down", "left", "right"}
HIDDEN = 0

_encode = msgspec.json.Encoder().encode


def _regained(reach: float, since_ms: float, now: float) -> float:
    return min(STRIDE, reach + max(0.0, now - since_ms) * SPEED / 1000)


class TooFast(Invalid):
    """The step is longer than anybody walks in that time."""


class NoWorld(Missing):
    """A process does not answer as worlds do."""

    def __init__(self):
        super().__init__("This process is no world.", "Name one that speaks the Reality protocol.")


@dataclass(frozen=True)
class Rules:
    """What a world says of itself: how many numbers a place has, and the least and the most of each."""

    dimensions: int = 2
    lower: Place = ()
    upper: Place = ()

    @classmethod
    def of(cls, info: Mapping[str, Any], parameters: Mapping[str, Any]) -> "Rules":
        """From the answers to Reality.Info and Reality.Parameters. Raises Invalid when they are no world's."""
        try:
            bounds = parameters.get("Bounds") or {}
            lower, upper = tuple(map(float, bounds.get("Lower", ()))), tuple(map(float, bounds.get("Upper", ())))
            rules = cls(int(info["Dimensions"]), lower, upper)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NoWorld() from error
        if not 1 <= rules.dimensions <= 8 or {len(lower), len(upper)} - {0, rules.dimensions}:
            raise NoWorld()
        return rules

    def place(self, value: Any) -> Place:
        """A position as a player gives it, in thousandths of a tile. Raises Invalid."""
        if not isinstance(value, list) or len(value) != self.dimensions:
            raise Invalid(f"A position is a list of {self.dimensions} numbers.", "Give it in tiles.")
        for axis, number in enumerate(value):
            if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < FAR:
                raise Invalid("A position is made of numbers.", "Give it in tiles.")
            if self.lower and not self.lower[axis] <= number <= self.upper[axis]:
                raise Invalid(
                    "Position outside the world.", f"It reaches from {list(self.lower)} to {list(self.upper)}."
                )
        return tuple(round(number, 3) for number in value)


@dataclass(frozen=True)
class Move:
    """Places to go to, one after the other, and the direction to face then, if any."""

    path: tuple[Place, ...]
    direction: str | None = None

    def way(self, start: Place) -> float:
        """Its length in tiles."""
        return sum(map(math.dist, (start, *self.path), self.path))


def read_move(data: bytes | memoryview, rules: Rules) -> Move:
    """The data of a Reality.EntityUpdatePosition. Raises Invalid saying what is wrong with it."""
    try:
        wanted = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid('A move is JSON such as {"Position": [3, 4]}.', "Sign one that is.") from error
    if not isinstance(wanted, dict):
        raise Invalid('A move is a JSON object such as {"Position": [3, 4]}.', "Sign one that is.")
    path = wanted.get("Path")
    if path is None:
        path = [wanted.get("Position")]
    if not isinstance(path, list) or not 1 <= len(path) <= PATH_MAX:
        raise Invalid(f"A Path is a list of 1 to {PATH_MAX} positions.", "Send a longer way in pieces.")
    direction = wanted.get("Direction")
    return Move(tuple(map(rules.place, path)), direction if direction in DIRECTIONS else None)


@dataclass(slots=True)
class Walker:
    """Somebody in the world. `position_version` and `version` number the last changes of place and of the rest."""

    id: str
    position: Place
    entity: Mapping[str, Any]  # Type, Metadata, StateCode, as the world tells them
    at: int  # ms, when the world last heard of it
    position_version: int = 0
    version: int = 0
    direction: str | None = None
    reach: float = STRIDE  # tiles it may go at once
    moved_ms: float = -math.inf  # its last move through the door
    # What the world has not heard yet: samples it must hear, then the newest move; each with the way since the last.
    samples: deque[tuple[DataItem, float]] = field(default_factory=deque)
    newest: tuple[DataItem, float] | None = None
    is_sending: bool = False
    # What the world lets it go, as far as we can tell: so many tiles at that time.
    allowed: float = STRIDE
    allowed_ms: float = -math.inf

    @property
    def is_unheard(self) -> bool:
        return bool(self.samples or self.newest or self.is_sending)

    @property
    def is_hidden(self) -> bool:
        return self.entity.get("StateCode") == HIDDEN or self.entity.get("Type") == "Hidden"


class Presence:
    """One world as everybody who watches sees it. Times are milliseconds of one steady clock, `now`."""

    def __init__(self, rules: Rules):
        self.rules = rules
        self.walkers: dict[str, Walker] = {}
        self.version = 0
        self.lines: deque[dict[str, Any]] = deque(maxlen=LINES_MAX)
        self.line = 0  # the number of the last one

    # Moves through the door

    def move(self, id: str, move: Move, item: DataItem, now: float) -> None:
        """Show a verified move of `id`, and keep what the world has to hear of it.

        Raises Invalid when nobody of that name is here, TooFast when nobody walks so, NotYet when the world is behind.
        """
        walker = self.walkers.get(id)
        if walker is None:
            raise Invalid("You are not in this world.", "Enter it with Reality.EntityCreate.")
        way = move.way(walker.position)
        reach = _regained(walker.reach, walker.moved_ms, now)
        if way > reach:
            raise TooFast("Too fast.", f"Nobody goes further than {SPEED:g} tiles a second.")
        if len(walker.samples) >= SAMPLES_MAX:
            raise NotYet("The world is busy and has not heard of your last steps.", "Stand still for a moment.")
        walker.reach, walker.moved_ms = reach - way, now
        walker.position, walker.direction = move.path[-1], move.direction
        _, since = walker.newest or (None, 0.0)
        # The world sees a straight line from sample to sample: it must be one that it takes for walked.
        if walker.newest is not None and since + way > STRIDE:
            walker.samples.append(walker.newest)
            since = 0.0
        walker.newest = item, since + way
        walker.position_version = self._next()
        if walker.is_hidden:
            walker.entity = {**walker.entity, "StateCode": 2}
            walker.version = walker.position_version

    @property
    def is_restless(self) -> bool:
        """Whether the world has still to hear something."""
        return any(walker.is_unheard for walker in self.walkers.values())

    def due(self, now: float) -> list[Walker]:
        """Of whom the world should hear now: who has stopped, and who has walked for long."""
        return [walker for walker in self.walkers.values() if not walker.is_sending and self._is_due(walker, now)]

    def _is_due(self, walker: Walker, now: float) -> bool:
        if walker.samples:
            way = walker.samples[0][1]
        elif walker.newest and (now - walker.moved_ms >= STILL_MS or now - walker.allowed_ms >= SAMPLE_MS):
            way = walker.newest[1]
        else:
            return False
        return way <= _regained(walker.allowed, walker.allowed_ms, now)

    def take(self, walker: Walker) -> tuple[DataItem, float]:
        """The oldest sample of a walker and its way; until `heard` or `unheard`, no other is taken."""
        walker.is_sending = True
        if walker.samples:
            return walker.samples.popleft()
        sample, walker.newest = walker.newest, None
        return sample

    def heard(self, walker: Walker, way: float, now: float) -> None:
        """The world has a sample."""
        walker.is_sending = False
        walker.allowed, walker.allowed_ms = max(0.0, _regained(walker.allowed, walker.allowed_ms, now) - way), now

    def unheard(self, walker: Walker, sample: tuple[DataItem, float]) -> None:
        """The sample could not be sent now; it stays the next."""
        walker.is_sending = False
        walker.samples.appendleft(sample)

    def forget_moves(self, id: str) -> None:
        """`id` hides: a move that was made before must not come after it."""
        walker = self.walkers.get(id)
        if walker is not None:
            walker.newest = None
            walker.samples.clear()

    # What the world says

    def hear_people(self, told: Mapping[str, Any], now: float) -> None:
        """Entities as Reality.EntitiesDynamic tells them. Where we know better where somebody is, that stays."""
        for id, entity in told.items():
            position = self._position(entity)
            if position is None:
                continue
            shown = {key: entity.get(key) for key in ("Type", "Metadata", "StateCode")}
            walker = self.walkers.get(id)
            if walker is None:
                walker = self.walkers[id] = Walker(id, position, shown, int(entity.get("At") or 0))
                walker.version = walker.position_version = self._next()
                continue
            walker.at = int(entity.get("At") or 0)
            if walker.entity != shown:
                walker.entity, walker.version = shown, self._next()
            is_ours = walker.is_unheard or now - walker.moved_ms < TRUST_MS
            if position != walker.position and not is_ours:
                self.put(walker, position)

    def put(self, walker: Walker, position: Place) -> None:
        """The world says that somebody is there, wherever we took it to be."""
        walker.position, walker.position_version = position, self._next()
        walker.reach = STRIDE

    def doubt(self, id: str) -> None:
        """`id` moved by another way than ours: where it is, the world knows better."""
        walker = self.walkers.get(id)
        if walker is not None:
            walker.moved_ms = -math.inf

    def correct(self, told: Mapping[str, Any]) -> None:
        """The world refused a sample and says where its walker really is; what was walked since then is void."""
        for id, entity in told.items():
            walker, position = self.walkers.get(id), self._position(entity)
            if walker is not None and position is not None:
                self.forget_moves(id)
                self.put(walker, position)

    def hear_lines(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Lines of ChatHistory in any order; those that are known are left out."""
        for line in sorted(lines, key=lambda line: line["Id"]):
            if line["Id"] > self.line:
                self.lines.append(dict(line))
                self.line = line["Id"]

    def tidy(self, wall_ms: int, now: float) -> None:
        """Forget whom the world forgets."""
        for id, walker in list(self.walkers.items()):
            is_over = max(walker.at - wall_ms, walker.moved_ms - now) < -IDLE_MS and walker.entity.get("StateCode") != 1
            if is_over and not walker.is_unheard:
                del self.walkers[id]

    def _position(self, entity: Any) -> Place | None:
        position = entity.get("Position") if isinstance(entity, Mapping) else None
        is_place = isinstance(position, list) and len(position) == self.rules.dimensions
        return tuple(position) if is_place and all(isinstance(each, int | float) for each in position) else None

    # What is shown

    def frame(self, version: int, line: int, t: int, **more: Any) -> tuple[str, int]:
        """All news since that version and that line as JSON, and the last line in it.

        {t, moves: [[entity, x, y, direction?]], people: {entity: {Position, Type, Metadata, StateCode}}, lines: [...]};
        what is empty is left out.
        """
        frame: dict[str, Any] = {"t": t, **more}
        walkers = self.walkers.values()
        moves = [
            [each.id, *each.position, each.direction] if each.direction else [each.id, *each.position]
            for each in walkers if each.position_version > version and not each.is_hidden
        ]  # fmt: skip
        people = {
            each.id: {"Position": each.position, **each.entity} for each in walkers if each.version > version
        }  # fmt: skip
        lines = self._lines_after(line)
        for name, news in (("people", people), ("moves", moves), ("lines", lines)):
            if news:
                frame[name] = news
        return _encode(frame).decode(), lines[-1]["Id"] if lines else max(line, self.line)

    def _lines_after(self, line: int) -> Sequence[dict[str, Any]]:
        if line >= self.line:
            return ()
        return [each for each in self.lines if each["Id"] > line][:LINES_A_FRAME]

    def _next(self) -> int:
        self.version += 1
        return self.version

"""How a corpus is told: chapters of lines, each line a message, and whether its answer may differ and why."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vm.lua.stories import BOB, MESSENGER, OTHER, PROCESS, Process, tag_list

Line = Callable[[Process], dict]


@dataclass(frozen=True)
class Differs:
    """A line whose answers differ on purpose, in exactly these fields, for the reason of that name."""

    line: "Line | str"
    why: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """Messages to one fresh process, its spawn item (with `data`) first. `how` are its tags, owner and name."""

    name: str
    lines: tuple["Line | str | Differs", ...]
    how: tuple[tuple[str, object], ...] = ()
    data: str | None = None

    def story(self) -> Process:
        return Process(None, **dict(self.how))


def wallet(data=None, *, action: str | None = None, tags=(), sender: str = BOB, **node_fields) -> Line:
    """A message signed by a wallet, Bob's unless said."""
    tags = [("Action", action), *tags] if action else tags
    return lambda story: story.message(data, signer=sender, tags=tags) | node_fields


def process(data=None, *, action: str | None = None, tags=(), sender: str = OTHER, carried_by: str = MESSENGER) -> Line:
    """A message of another process, carried by the messenger."""
    tags = [("Action", action), *tags] if action else tags
    return lambda story: story.message(data, sender=sender, signer=carried_by, tags=tags)


def owner(data=None, *, tags=(), **node_fields) -> Line:
    """A message of the owner that is no plain Eval."""
    return lambda story: story.message(data, tags=tags) | node_fields


def evaluation(code: str) -> Line:
    return lambda story: story.message(code, tags=[("Action", "Eval")])


def differs(why: str, line: "Line | str", *fields: str) -> Differs:
    """A declared difference; without fields, in the text that an Eval shows."""
    return Differs(line, why, fields or ("Output.data", "Output.test"))


def messages(chapter: Chapter) -> Iterator[tuple[dict, Differs | None]]:
    """The chapter's messages in order, each with its declared difference."""
    story = chapter.story()
    yield spawn(story, chapter.data), None
    for line in chapter.lines:
        declared = line if isinstance(line, Differs) else None
        line = line.line if declared else line
        tell = evaluation(line) if isinstance(line, str) else line
        yield tell(story), declared


def spawn(story: Process, data: str | None) -> dict:
    item = story.message(data, sender=dict(story.tags).get("From-Process"), signer=story.owner)
    return item | {"Id": PROCESS, "Nonce": 0, "Tags": tag_list(story.tags)}

"""The console's rules: what a line means, what is shown, which mode it is in. Pure: `advance(session, event)`.

A session is a value. An event is something that happened (a person typed, a result came, the network went away); the
commands that come back are what the shell around it must do (say, evaluate, read a file), and what they come to is the
next event. `console.py` is that shell; tests are another.
"""

import difflib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from puna.ao.result import Result
from puna.errors import NodeError

from . import inquiry
from .lua import is_complete
from .present import (
    BLUE,
    GRAY,
    GREEN,
    RED,
    RESET,
    Branch,
    Entry,
    clean,
    error_text,
    history,
    profile,
    short,
    shown,
    tree,
)

PROMPT = "aos> "  # until the process has told its own
HELD_MAX = 500  # news kept while the feed is paused; past it the oldest are forgotten
HISTORY_DEFAULT = 20
TYPED = "aos"  # the name Lua gives to a chunk that came in an Eval
LOADED_MAX = 200  # files whose text is kept, to show the line of an error


# What happens ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    """The person entered a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An `Ask` was answered; `message` is the id of the message, "" when it was a dry-run."""

    ask: "Ask"
    message: str
    result: Result


@dataclass(frozen=True, slots=True)
class Refused:
    """A command could not be done; `kept` is a line that was not sent and is given back."""

    error: NodeError
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """The process evaluated somebody's message."""

    result: Result


@dataclass(frozen=True, slots=True)
class Broke:
    """The process failed on somebody's message."""

    message: str
    error: Any


@dataclass(frozen=True, slots=True)
class Away:
    """The network is out of reach."""

    error: NodeError


@dataclass(frozen=True, slots=True)
class Back:
    """The network is within reach again."""


@dataclass(frozen=True, slots=True)
class Read:
    """Code came from a file, the weave or the pad. `name` is what a person calls it."""

    name: str
    code: str
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looked:
    """The moment after a place of the schedule."""

    nonce: int
    message: str


@dataclass(frozen=True, slots=True)
class Listed:
    """Places of the schedule, oldest first."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """A message and everything it caused; `names` are those of processes that are known by one."""

    root: Branch
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Profiled:
    """Code was run under the profile's hook; `gas` is what it costs without (None: unknown)."""

    code: str
    answer: Result
    gas: int | None


@dataclass(frozen=True, slots=True)
class Done:
    """Something is done that needs no more than a word."""

    text: str


Event = Typed | Answered | Refused | Heard | Broke | Away | Back | Read | Looked | Listed | Traced | Profiled | Done


# What to do -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Show a text (with colours)."""

    text: str


LINE, FILE, PROBE = "line", "file", "probe"


@dataclass(frozen=True, slots=True)
class Ask:
    """Evaluate `code`: as a signed message, or (`dry`) as a dry-run, right after the message `after` where it is given.

    `of` says what it is: a LINE, a FILE, or a PROBE, of which only the prompt counts.
    """

    code: str
    of: str = LINE
    dry: bool = False
    after: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadFile:
    path: str


@dataclass(frozen=True, slots=True)
class ReadBlueprint:
    name: str


@dataclass(frozen=True, slots=True)
class OpenPad:
    pass


@dataclass(frozen=True, slots=True)
class Monitor:
    on: bool


@dataclass(frozen=True, slots=True)
class Look:
    nonce: int


@dataclass(frozen=True, slots=True)
class History:
    """`count` places of the schedule, the last of them before nonce `before` (None: the newest)."""

    count: int
    before: int | None


@dataclass(frozen=True, slots=True)
class Fork:
    """A new process from the memory after `nonce`; None: as it is now."""

    nonce: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Trace:
    message: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Run `code` as a dry-run, right after the message `after` where it is given, and count."""

    code: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    pass


@dataclass(frozen=True, slots=True)
class Leave:
    pass


Command = (
    Say | Ask | ReadFile | ReadBlueprint | OpenPad | Monitor | Look | History | Fork | Trace | Profile | Update
    | Leave
)  # fmt: skip


# The session ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Session:
    """A console at one process.

    `owner` is the address the person signs with. `at` is a past moment one looks at; `draft` the lines of an
    `.editor` (None: none is open); `held` are news while the feed is paused; `loaded` the texts of files, by the
    names their errors bear; `failures` counts what went wrong, for the exit status; `kept` is a line to give back.
    """

    process: str
    owner: str
    owned: bool = True
    prompt: str = PROMPT
    dry: bool = False
    at: Looked | None = None
    live: bool = True
    away: bool = False
    draft: tuple[str, ...] | None = None
    held: tuple[str, ...] = ()
    loaded: Mapping[str, str] = field(default_factory=dict)
    last: str = ""
    kept: str = ""
    failures: int = 0
    as_json: bool = False

    @property
    def shown_prompt(self) -> str:
        """The process's own prompt, and before it what is different from usual."""
        if self.draft is not None:
            return f"{GRAY}{len(self.draft) + 1:>3}{RESET} "
        marks = ""
        if self.away:
            marks += f"{RED}(away) {RESET}"
        if self.at is not None:
            marks += f"{BLUE}@{self.at.nonce} {RESET}"
        elif self.dry:
            marks += f"{RED}*{RESET}"
        return marks + self.prompt


def is_finished(session: Session, text: str) -> bool:
    """Whether a text can be entered as it is: dot commands, lines of an editor, Lua that wants no more."""
    return session.draft is not None or text.lstrip().startswith(".") or is_complete(text)


Step = tuple[Session, list[Command]]


def advance(session: Session, event: Event) -> Step:
    """What an event makes of a session, and what to do about it."""
    match event:
        case Typed(text):
            return _typed(session, text)
        case Answered():
            return _answered(session, event)
        case Refused(error, kept):
            return _fail(replace(session, kept=kept), f"{RED}{clean(str(error))}{RESET}", str(error))
        case Heard(result):
            return _heard(session, result)
        case Broke(message, error):
            about = f"{GRAY}Message {short(message)} failed:{RESET}\n"
            return _news(session, about + error_text(error, session.loaded))
        case Away(error):
            said = f"{RED}The network is away.{RESET} {GRAY}{clean(error.what)} Trying to reach it again.{RESET}"
            return replace(session, away=True), [] if session.away else [Say(said)]
        case Back():
            return replace(session, away=False), [Say(f"{GREEN}The network is back.{RESET}")] if session.away else []
        case Read(name, code, sources):
            return _read(session, name, code, sources)
        case Looked(nonce):
            said = f"This is the process after message {nonce}. Nothing typed here is sent. Leave with .now"
            return replace(session, at=event), [
                Say(f"{GRAY}{said}{RESET}"),
                Ask("return nil", PROBE, True, event.message),
            ]
        case Listed(entries):
            text = history(entries, session.owner) or f"{GRAY}There is nothing before that.{RESET}"
            return session, [Say(text)]
        case Traced(root, names):
            return session, [Say(tree(root, names))]
        case Profiled(code, answer, gas):
            if answer.error is not None:
                return _fail(session, error_text(answer.error, {"profiled": code}), clean(str(answer.error)))
            rows, failure = inquiry.profile_rows(answer)
            said = profile(rows, gas)
            return session, [Say(f"{said}\n{error_text(failure, {'profiled': code})}" if failure else said)]
        case Done(text):
            return session, [Say(text)]


def _fail(session: Session, text: str, bare: str) -> Step:
    said = json.dumps({"error": bare}, ensure_ascii=False) if session.as_json else text
    return replace(session, failures=session.failures + 1), [Say(said)]


# Results


def _answered(session: Session, event: Answered) -> Step:
    ask, result = event.ask, event.result
    seen = shown(result.output)
    session = replace(session, prompt=seen.prompt or session.prompt, last=event.message or session.last)
    failed = result.error is not None
    if ask.of == PROBE:
        return session, []
    if failed:
        session = replace(session, failures=session.failures + 1)
    if session.as_json:
        told = {"message": event.message or None, "process": session.process, "result": result.to_json()}
        return session, [Say(json.dumps(told, ensure_ascii=False))]
    if failed:
        return session, [Say(error_text(result.error, {**session.loaded, TYPED: ask.code, **ask.sources}))]
    return session, [Say(seen.text)] if seen.text else []


def _heard(session: Session, result: Result) -> Step:
    seen = shown(result.output)
    if seen.prompt and session.at is None:
        session = replace(session, prompt=seen.prompt)
    if not seen.news or not seen.text:
        return session, []
    return _news(session, seen.text)


def _news(session: Session, text: str) -> Step:
    if not session.live:
        return replace(session, held=(*session.held, text)[-HELD_MAX:]), []
    if session.as_json:
        return session, [Say(json.dumps({"process": session.process, "news": text}, ensure_ascii=False))]
    return session, [Say(text)]


# Lines


def _typed(session: Session, text: str) -> Step:
    session = replace(session, kept="")
    if session.draft is not None:
        return _edited(session, text)
    if not text.strip():
        return session, []
    if text.lstrip().startswith("."):
        return _dotted(session, text.strip())
    return _ask(session, text)


def _ask(session: Session, code: str, of: str = LINE, sources: Mapping[str, str] = {}) -> Step:
    past = session.at is not None
    dry = past or session.dry or not session.owned
    return session, [Ask(code, of, dry, session.at.message if past else "", sources)]


def _dotted(session: Session, line: str) -> Step:
    name, _, rest = line.partition(" ")
    dot = DOTS.get(name) or DOTS.get(ALIASES.get(name, ""))
    if dot is None:
        near = difflib.get_close_matches(name, DOTS, 1)
        hint = f"Did you mean {near[0]}?" if near else ".help lists what there is."
        return _fail(session, f"{RED}There is no command {clean(name)}. {hint}{RESET}", f"no command {name}")
    try:
        return dot.rule(session, rest.strip())
    except _Misused as misuse:
        said = f"{misuse} Use: {dot.usage}"
        return _fail(session, f"{RED}{clean(said)}{RESET}", said)


class _Misused(Exception):
    """A dot command with words it cannot use."""


def _number(word: str, what: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 15):
        raise _Misused(f"{what} is a whole number, not {word!r}.")
    return int(word)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise _Misused(f"{error}.") from None


def _load(session: Session, rest: str) -> Step:
    words = [rest] if rest.endswith(".lua") and "'" not in rest and '"' not in rest else _words(rest)
    if len(words) != 1:
        raise _Misused("Name one Lua file.")
    return session, [ReadFile(words[0])]


def _load_blueprint(session: Session, rest: str) -> Step:
    if not rest or len(rest.split()) != 1:
        raise _Misused("Name one blueprint, such as token, chatroom or apm.")
    return session, [ReadBlueprint(rest)]


def _read(session: Session, name: str, code: str, sources: Mapping[str, str]) -> Step:
    if not code.strip():
        return session, [Say(f"{GRAY}{clean(name)} is empty: nothing was sent.{RESET}")]
    loaded = {**session.loaded, **sources}
    loaded = dict(list(loaded.items())[-LOADED_MAX:])
    return _ask(replace(session, loaded=loaded), code, FILE, sources)


def _editor(session: Session, rest: str) -> Step:
    said = f"{GRAY}Type lines of Lua. .done sends them, .cancel throws them away, .delete takes the last one back, "
    return replace(session, draft=()), [Say(said + f".print shows them.{RESET}")]


def _edited(session: Session, text: str) -> Step:
    draft = session.draft or ()
    match text.strip():
        case ".done":
            session = replace(session, draft=None)
            code = "\n".join(draft)
            return _ask(session, code) if code.strip() else (session, [Say(f"{GRAY}Nothing to send.{RESET}")])
        case ".cancel":
            return replace(session, draft=None), [Say(f"{GRAY}Thrown away.{RESET}")]
        case ".delete":
            return replace(session, draft=draft[:-1]), []
        case ".print":
            numbered = "\n".join(f"{GRAY}{number:>3}{RESET} {clean(line)}" for number, line in enumerate(draft, 1))
            return session, [Say(numbered or f"{GRAY}(empty){RESET}")]
    return replace(session, draft=(*draft, *text.split("\n"))), []


def _pad(session: Session, rest: str) -> Step:
    return session, [OpenPad()]


def _monitor(session: Session, rest: str) -> Step:
    return session, [Monitor(True)]


def _unmonitor(session: Session, rest: str) -> Step:
    return session, [Monitor(False)]


def _dryrun(session: Session, rest: str) -> Step:
    if not session.owned:
        return session, [Say(f"{GRAY}This process has another owner: all you can do here are dry-runs.{RESET}")]
    said = "Real messages again." if session.dry else "Dry-runs from now on: nothing typed here is sent."
    return replace(session, dry=not session.dry), [Say(f"{GRAY}{said}{RESET}")]


def _live(session: Session, rest: str) -> Step:
    missed = [Say(text) for text in session.held]
    session = replace(session, live=True, held=())
    return session, [*missed, Say(f"{GRAY}Messages are shown as they come.{RESET}")]


def _pause(session: Session, rest: str) -> Step:
    return replace(session, live=False), [Say(f"{GRAY}Messages are held back until .live{RESET}")]


def _dump(session: Session, rest: str) -> Step:
    return session, [Ask(inquiry.dump(rest), dry=True, after=session.at.message if session.at else "")]


def _list_history(session: Session, rest: str) -> Step:
    words = rest.split()
    if len(words) > 2:
        raise _Misused("Say how many, and before which nonce.")
    count = _number(words[0], "How many") if words else HISTORY_DEFAULT
    before = _number(words[1], "A nonce") if len(words) > 1 else session.at.nonce + 1 if session.at else None
    if count < 1:
        raise _Misused("How many must be 1 or more.")
    return session, [History(count, before)]


def _at(session: Session, rest: str) -> Step:
    if not rest:
        raise _Misused("Say after which message: .history shows their nonces.")
    return session, [Look(_number(rest, "A nonce"))]


def _now(session: Session, rest: str) -> Step:
    if session.at is None:
        return session, [Say(f"{GRAY}You are looking at the process as it is now.{RESET}")]
    return replace(session, at=None), [Ask("return nil", PROBE, dry=True)]


def _fork(session: Session, rest: str) -> Step:
    words = rest.split()
    if len(words) > 2:
        raise _Misused("Say after which message, and a name for the new process.")
    nonce = _number(words[0], "A nonce") if words else session.at.nonce if session.at else None
    return session, [Fork(nonce, words[1] if len(words) > 1 else "")]


def _trace(session: Session, rest: str) -> Step:
    if not (rest or session.last):
        raise _Misused("Nothing was sent yet; name a message by its id.")
    if len(rest.split()) > 1:
        raise _Misused("Name one message.")
    return session, [Trace(rest or session.last)]


def _profile(session: Session, rest: str) -> Step:
    if not rest:
        raise _Misused("Say what to run.")
    return session, [Profile(rest, session.at.message if session.at else "")]


def _update(session: Session, rest: str) -> Step:
    return session, [Update()]


def _help(session: Session, rest: str) -> Step:
    width = max(len(dot.usage) for dot in DOTS.values())
    lines = [f"{GREEN}{dot.usage:<{width}}{RESET}  {dot.what}" for dot in DOTS.values()]
    keys = "Enter sends a finished text, Alt-Enter any; Tab completes; Ctrl-R searches; Ctrl-D leaves."
    return session, [Say("\n".join(["Any Lua is sent to the process and evaluated there.", *lines, keys]))]


def _exit(session: Session, rest: str) -> Step:
    return session, [Leave()]


@dataclass(frozen=True, slots=True)
class Dot:
    """A command that begins with a dot: how it is written, what it does, its rule."""

    usage: str
    what: str
    rule: Callable[[Session, str], Step]


DOTS: dict[str, Dot] = {
    ".load": Dot(".load FILE.lua", "evaluate a file, and the local files it requires", _load),
    ".load-blueprint": Dot(".load-blueprint NAME", "evaluate a blueprint from the weave", _load_blueprint),
    ".editor": Dot(".editor", "type several lines; .done .cancel .delete .print", _editor),
    ".pad": Dot(".pad", "write in your own editor, evaluated when it closes", _pad),
    ".dump": Dot(".dump [EXPRESSION]", "a value as Lua text; without one, all that the program has set", _dump),
    ".dryrun": Dot(".dryrun", "evaluate without sending anything; again to stop", _dryrun),
    ".live": Dot(".live", "show messages as they come", _live),
    ".pause": Dot(".pause", "hold messages back", _pause),
    ".monitor": Dot(".monitor", "have what the process's crons send delivered", _monitor),
    ".unmonitor": Dot(".unmonitor", "stop that", _unmonitor),
    ".history": Dot(".history [COUNT [BEFORE]]", "the messages of the process, with their nonces", _list_history),
    ".at": Dot(".at NONCE", "look at the process as it was after that message", _at),
    ".now": Dot(".now", "look at it as it is", _now),
    ".fork": Dot(".fork [NONCE [NAME]]", "a new process that goes on from that state", _fork),
    ".trace": Dot(".trace [MESSAGE]", "what a message caused (the last one you sent)", _trace),
    ".profile": Dot(".profile CODE", "run code as a dry-run; show where its gas goes", _profile),
    ".update": Dot(".update", "say whether the process runs the newest aos", _update),
    ".help": Dot(".help", "this list", _help),
    ".exit": Dot(".exit", "leave; the process goes on", _exit),
}
ALIASES = {".quit": ".exit", ".bye": ".exit"}

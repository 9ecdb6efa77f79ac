"""What a person is shown: outputs in the shapes that processes give them, errors with their line, lists and trees.

Pure; texts may hold colours (SGR sequences) and nothing else that a terminal obeys. What processes say is cleaned of
every other control character, for a stranger's message must not clear the screen or rename the window.
Source of the shapes: aos reference 1.10 to 1.12 and 1.22.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from puna.ao.result import Result

from .lua import NAME, tokens

RED, GREEN, BLUE, GRAY, BOLD, RESET = "\x1b[31m", "\x1b[32m", "\x1b[34m", "\x1b[90m", "\x1b[1m", "\x1b[0m"

TAB_COLUMNS = 4
PROFILE_ROWS = 25
OUTCOME_COLUMNS = 60  # what a tree shows of a result
DATA_COLUMNS = 36  # what a history shows of a message's data

_SGR = re.compile(r"\x1b\[[0-9;]*m")
_NOT_TEXT = re.compile(
    r"\x1b\[[0-9;]*m|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]",
    re.DOTALL,
)
_PLACE = re.compile(r'(?:\[string "(?P<string>[^"\n]*)"\]|(?P<file>[^\s:"\[\]]+\.lua)):(?P<line>\d+): (?P<text>[^\n]*)')
_NEAR = re.compile(r"near (?:'([^\n]*)'|(<eof>))")
_NAMED = re.compile(r"\((?:global|local|field|method|upvalue|constant) '([^'\n]*)'\)")


def clean(text: str) -> str:
    """The text with colours, line ends and tabs, without anything else that a terminal obeys."""
    return _NOT_TEXT.sub(lambda match: match[0] if _SGR.fullmatch(match[0]) else "", text.replace("\r\n", "\n"))


def plain(text: str) -> str:
    """The text without colours."""
    return _SGR.sub("", text)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a result has for a person: `text`, the next `prompt` ("" when none is given), and whether it is news."""

    text: str
    prompt: str
    news: bool


def shown(output: Any) -> Shown:
    """Read an `Output` in any of its shapes: text, `{data}`, or `{data = {output, prompt}}` of older processes."""
    if not isinstance(output, dict):
        return Shown(_text(output), "", False)
    data, prompt = output.get("data", ""), output.get("prompt", "")
    if isinstance(data, dict) and "output" in data:
        prompt = prompt or data.get("prompt", "")
        data = data["output"]
    return Shown(_text(data), clean(prompt) if isinstance(prompt, str) else "", output.get("print") is True)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


# Errors -------------------------------------------------------------------------------------------------------------


def error_text(error: Any, sources: Mapping[str, str]) -> str:
    """An error in red, and under it the line of the program it names, the culprit underlined.

    `sources` are the texts of chunks by name: `aos` for what was typed, file names for what was loaded.
    """
    text = _text(error).strip("\n")
    lines = [text if "\x1b" in text else f"{RED}{text}{RESET}"]
    if place := _place_of(plain(text), sources):
        lines.append(excerpt(sources[place.chunk], place.line, place.text))
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Place:
    chunk: str
    line: int
    text: str


def _place_of(error: str, sources: Mapping[str, str]) -> _Place | None:
    """The last place the error names whose text is known: the ones before it are of whoever passed it on."""
    found = None
    for match in _PLACE.finditer(error):
        # A place may stand in the text of another: `[string ".handlers"]:3: [string "aos"]:1: boom`.
        inner = _place_of(match["text"], sources)
        chunk, line = match["string"] or match["file"], int(match["line"])
        if inner is not None:
            found = inner
        elif chunk in sources and 1 <= line <= sources[chunk].count("\n") + 1:
            found = _Place(chunk, line, match["text"])
    return found


def excerpt(source: str, number: int, message: str) -> str:
    """Line `number` of the source, counted from 1, with a mark under what the message is about."""
    raw = source.split("\n")[number - 1]
    line = clean(raw).expandtabs(TAB_COLUMNS)
    start, end = _culprit(line, message)
    margin = f"{GRAY}{number:>4} |{RESET} "
    blank = f"{GRAY}     |{RESET} "
    under = " " * _columns(line[:start]) + "^" * max(1, _columns(line[start:end]))
    return f"{margin}{line}\n{blank}{RED}{under}{RESET}"


def _culprit(line: str, message: str) -> tuple[int, int]:
    """Where in the line the thing is that the message names; the whole line when that is not to be told."""
    whole = len(line) - len(line.lstrip()), len(line.rstrip())
    near = _NEAR.search(message)
    if near and near[2]:
        return whole[1], whole[1] + 1
    if near:
        places = [token for token in tokens(line, comments=True) if token.text.startswith(near[1])]
        return (places[-1].start, places[-1].end) if len(places) == 1 else _only(line, near[1], whole)
    if named := _NAMED.search(message):
        places = [token for token in tokens(line) if token.kind == NAME and token.text == named[1]]
        if len(places) == 1:
            return places[0].start, places[0].end
    return whole


def _only(line: str, text: str, otherwise: tuple[int, int]) -> tuple[int, int]:
    at = line.find(text)
    return (at, at + len(text)) if text and line.count(text) == 1 else otherwise


def _columns(text: str) -> int:
    """Columns of a terminal: wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def _last_line(text: str) -> str:
    """The line of an error that says what it was: what was printed before it, and a traceback, come first."""
    return text.strip().rsplit("\n", 1)[-1]


# Lists --------------------------------------------------------------------------------------------------------------


def short(id: str) -> str:
    """An id as people can tell it from another."""
    return id if len(id) <= 12 else f"{id[:5]}…{id[-4:]}"


def first_words(text: str, columns: int) -> str:
    """The beginning of a text on one line."""
    line = " ".join(plain(clean(text)).split())
    return line if len(line) <= columns else line[: columns - 1] + "…"


@dataclass(frozen=True, slots=True)
class Entry:
    """One place of a schedule as a list shows it. `sender` is a process or a wallet; `message` the message's id."""

    nonce: int
    timestamp_ms: int
    message: str
    sender: str
    action: str
    data: str


def history(entries: Iterable[Entry], owner: str) -> str:
    """One line for each place: nonce, time, who, what."""
    rows = []
    for entry in entries:
        who = "you" if entry.sender == owner else short(clean(entry.sender))
        what = first_words(entry.action or "(no action)", 24)
        data = first_words(entry.data, DATA_COLUMNS)
        rows.append(
            f"{BLUE}{entry.nonce:>6}{RESET}  {GRAY}{time_of(entry.timestamp_ms)}  {short(entry.message)}{RESET}  "
            f"{GREEN}{who:<10}{RESET}  {what}  {GRAY}{data}{RESET}".rstrip()
        )
    return "\n".join(rows)


def time_of(timestamp_ms: int) -> str:
    """A time in the reader's own zone, to the second."""
    from datetime import datetime

    return datetime.fromtimestamp(timestamp_ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class Branch:
    """A message, what it did, and the messages it caused. `result` None: nobody evaluated it (a wallet's, say).

    `note` says why nothing is known of it.
    """

    message: str
    process: str
    action: str
    result: Result | None = None
    note: str = ""
    branches: "tuple[Branch, ...]" = ()


def tree(branch: Branch, names: Mapping[str, str]) -> str:
    """The messages that one message caused, indented, with what each came to. `names` are those of known processes."""
    return "\n".join(_tree_lines(branch, names, "", ""))


def _tree_lines(branch: Branch, names: Mapping[str, str], first: str, rest: str) -> list[str]:
    target = names.get(branch.process) or short(clean(branch.process))
    action = first_words(branch.action or "(no action)", 32)
    line = (
        f"{GRAY}{first}{RESET}{action} {GRAY}->{RESET} {GREEN}{target}{RESET}  "
        f"{GRAY}{short(branch.message)}{RESET}  {_outcome(branch)}"
    )
    lines = [line.rstrip()]
    for place, child in enumerate(branch.branches):
        last = place == len(branch.branches) - 1
        lines += _tree_lines(child, names, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines


def _outcome(branch: Branch) -> str:
    result = branch.result
    if result is None:
        return f"{GRAY}{clean(branch.note)}{RESET}"
    gas = "" if result.gas_used is None else f"{GRAY}{result.gas_used} gas{RESET}  "
    if result.error is not None:
        return f"{gas}{RED}{first_words(_last_line(_text(result.error)), OUTCOME_COLUMNS)}{RESET}"
    return f"{gas}{first_words(shown(result.output).text, OUTCOME_COLUMNS)}"


@dataclass(frozen=True, slots=True)
class Row:
    """One function of a profile; `instructions` are its own, without those of the functions it called."""

    instructions: int
    calls: int
    name: str
    place: str


def profile(rows: Sequence[Row], gas: int | None) -> str:
    """Where the instructions of a run went, by function. `gas` is what the whole run costs."""
    total = sum(row.instructions for row in rows)
    lines = [f"{GRAY}instructions  share   calls  function{RESET}"]
    for row in rows[:PROFILE_ROWS]:
        share = 100 * row.instructions / total if total else 0.0
        lines.append(
            f"{row.instructions:>12}  {share:>4.1f}%  {row.calls:>6}  {BLUE}{clean(row.name)}{RESET}  "
            f"{GRAY}{clean(row.place)}{RESET}"
        )
    if len(rows) > PROFILE_ROWS:
        lines.append(f"{GRAY}and {len(rows) - PROFILE_ROWS} more functions{RESET}")
    costs = "" if gas is None else f", {gas} gas with what C functions did"
    lines.append(f"{GRAY}{total} instructions of the Lua machine in all{costs}{RESET}")
    return "\n".join(lines)


def choice(rows: Sequence[tuple[str, str]]) -> str:
    """Numbered lines to choose from: an id and what is known of it."""
    lines = (f"{BLUE}{number:>3}{RESET}  {id}  {GRAY}{about}{RESET}" for number, (id, about) in enumerate(rows, 1))
    return "\n".join(lines)

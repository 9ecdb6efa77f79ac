"""Lua as a console reads it: tokens, whether a text is complete, what it requires, what stands before the cursor.

Pure; called by the session, the bundler and the terminal. It reads texts that are still being typed, so nothing here
fails on bad Lua: whether a program is right is for the process to say. Source: Lua 5.3 reference manual, 3.1.
"""

import re
from dataclasses import dataclass

KEYWORDS = frozenset(
    "and break do else elseif end false for function goto if in local nil not or repeat return then true until while"
    .split()
)  # fmt: skip

NAME, KEYWORD, STRING, NUMBER, COMMENT, SYMBOL = "name", "keyword", "string", "number", "comment", "symbol"
OPEN = "open"  # a long string or comment without an end: more lines must come
BROKEN = "broken"  # a short string without an end: no line to come can mend it

_OPENERS = frozenset(("function", "if", "do", "repeat", "(", "{", "["))
_CLOSERS = frozenset(("end", "until", ")", "}", "]"))
_WANTS_MORE = frozenset(
    ("=", "+", "-", "*", "/", "//", "%", "^", "&", "|", "~", "<<", ">>", "..", "<", "<=", ">", ">=", "==", "~=",
     ",", "and", "or", "not", ".", ":")
)  # fmt: skip

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<long>(?:--)?\[(?P<level>=*)\[)
      | (?P<comment>--[^\n]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>0[xX][0-9a-fA-F]*(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?\d+)?
                  | \d+(?:\.(?!\.)\d*)?(?:[eE][+-]?\d+)? | \.\d+(?:[eE][+-]?\d+)?)
      | (?P<string>"(?:[^"\\\n]|\\z\s*|\\[\s\S])*" | '(?:[^'\\\n]|\\z\s*|\\[\s\S])*')
      | (?P<broken>["'][^\n]*)
      | (?P<symbol>\.\.\.|\.\.|::|//|<<|>>|<=|>=|==|~=|[\s\S])
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:z\s*|x([0-9a-fA-F]{2})|(\d{1,3})|u\{([0-9a-fA-F]+)\}|([\s\S]))", re.ASCII)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Token:
    """`start` counts characters from the beginning of the text."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def tokens(text: str, comments: bool = False) -> list[Token]:
    """The tokens of a text; comments are left out unless asked for."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match["long"] is not None:
            token = _long(text, match)
        else:
            kind = match.lastgroup
            kind = KEYWORD if kind == NAME and match[0] in KEYWORDS else kind
            token = Token(kind, match[0], position)
        position = token.end
        if token.kind != "space" and (comments or token.kind != COMMENT):
            found.append(token)
    return found


def _long(text: str, opening: re.Match[str]) -> Token:
    closing = f"]{opening['level']}]"
    end = text.find(closing, opening.end())
    if end < 0:
        return Token(OPEN, text[opening.start() :], opening.start())
    kind = COMMENT if opening["long"].startswith("--") else STRING
    return Token(kind, text[opening.start() : end + len(closing)], opening.start())


def is_complete(text: str) -> bool:
    """Whether the text could be meant as it stands; False while a block, a bracket or an operator wants more."""
    found = tokens(text)
    if any(token.kind == OPEN for token in found):
        return False
    # `while` and `for` have their `do`, `elseif` belongs to its `if`.
    depth = sum((token.text in _OPENERS) - (token.text in _CLOSERS) for token in found if token.kind != STRING)
    return depth <= 0 and not (found and found[-1].kind != STRING and found[-1].text in _WANTS_MORE)


def string_value(token: Token) -> str:
    """What a string token means."""
    text = token.text
    if text[0] == "[":
        level = text.index("[", 1) + 1
        inner = text[level:-level]
        return inner[1:] if inner.startswith("\n") else inner
    return _ESCAPE.sub(_unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    if match[1] or match[3]:
        return chr(int(match[1] or match[3], 16))
    if match[2]:
        return chr(int(match[2]))
    return _LETTERS.get(match[4], match[4]) if match[4] else ""


def requires(text: str) -> list[str]:
    """The names a program requires with a plain text, `require("a")` or `require "a"`, each once, in order."""
    found = tokens(text)
    names = []
    for index, token in enumerate(found[:-1]):
        after_dot = index > 0 and found[index - 1].text in (".", ":")
        if token.kind == NAME and token.text == "require" and not after_dot:
            argument = found[index + 1]
            if argument.text == "(" and index + 3 < len(found) and found[index + 3].text == ")":
                argument = found[index + 2]
            if argument.kind == STRING:
                names.append(string_value(argument))
    return list(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Place:
    """What is being typed: the keys that lead to a table, and the beginning of the next one.

    `steps` () are the globals. `method` says that a `:` stands before `partial`.
    """

    steps: tuple[str | int, ...]
    partial: str
    method: bool = False


def place_before(text: str) -> Place | None:
    """The place at the end of `text`; None inside strings and comments, and after calls, which nobody may run."""
    found = tokens(text, comments=True)
    if not found:
        return Place((), "")
    last = found[-1]
    if last.kind in (OPEN, BROKEN) or last.kind == COMMENT and not text.endswith("\n"):
        return None
    found = [token for token in found if token.kind != COMMENT]
    partial = ""
    if found and found[-1].kind in (NAME, KEYWORD) and found[-1].end == len(text):
        partial = found.pop().text
    if not found or found[-1].text not in (".", ":"):
        return Place((), partial)
    method = found.pop().text == ":"
    steps = _steps_before(found)
    return None if steps is None else Place(steps, partial, method)


def _steps_before(found: list[Token]) -> tuple[str | int, ...] | None:
    """The keys of a chain like `a.b["c"][1]` that ends the tokens; None when it is no such chain."""
    steps: list[str | int] = []
    while found:
        token = found.pop()
        if token.text == "]" and len(found) >= 2 and found[-2].text == "[":
            key = found.pop()
            found.pop()
            if key.kind == STRING:
                steps.insert(0, string_value(key))
            elif key.text.isdigit():
                steps.insert(0, int(key.text))
            else:
                return None
        elif token.kind == NAME:
            steps.insert(0, token.text)
            if not found or found[-1].text not in (".", ":"):
                return tuple(steps)
            found.pop()
        else:
            return None
    return None


def quoted(text: str) -> str:
    """The text as a Lua string in long brackets, so that whoever reads the message can read it."""
    level = ""
    while f"]{level}]" in text + f"]{level}":
        level += "="
    return f"[{level}[\n{text}]{level}]"

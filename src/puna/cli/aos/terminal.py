"""The console on a terminal: an edited line with history, colours and completion, undisturbed by the feed.

`prompt_toolkit` draws the line; everything decided here is which key means what.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.styles import Style

from .console import Console
from .lua import KEYWORDS, is_complete, place_before
from .plain import colours_wanted
from .present import plain
from .session import DOTS, is_finished

INDENT = "  "
COMPLETIONS_MAX = 500
SLOW_S = 2.0  # past it a person is told that the console waits, and how to stop that

STYLE = {
    "pygments.keyword": "ansimagenta", "pygments.keyword.constant": "ansicyan", "pygments.literal.string": "ansigreen",
    "pygments.literal.number": "ansiblue", "pygments.comment": "ansibrightblack", "pygments.name.builtin": "ansicyan",
    "pygments.operator.word": "ansimagenta", "pygments.name.function": "ansiyellow",
}  # fmt: skip


class Screen:
    """Where the console says things: above the line that is being edited, if there is one."""

    def __init__(self, colours: bool):
        self._colours = colours

    def say(self, text: str) -> None:
        text = text if self._colours else plain(text)
        app = get_app_or_none()
        if app is not None and app.is_running:
            print_formatted_text(ANSI(text))
        else:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def formatted(self, text: str) -> ANSI:
        return ANSI(text if self._colours else plain(text))


class Keyboard:
    """What is typed while the console works waits, unseen and untouched, for the next prompt.

    `quiet` is that; within it, `lent` gives the terminal back as it was, for a program that reads it itself.
    """

    def __init__(self) -> None:
        self._before: list | None = None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        try:
            import termios
        except ImportError:  # Windows
            yield
            return
        self._before = termios.tcgetattr(sys.stdin)
        quiet = [*self._before]
        quiet[0] &= ~termios.ICRNL
        # Not by lines either: a Ctrl-D typed ahead would be lost.
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)
            self._before = None

    @contextmanager
    def lent(self) -> Iterator[None]:
        if self._before is None:
            yield
            return
        import termios

        quiet = termios.tcgetattr(sys.stdin)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)


async def interact(console: Console, screen: Screen, keyboard: Keyboard, history: Path) -> None:
    """Read lines and have them done, until the person leaves."""
    prompts = _prompt_session(console, screen, history)
    feed = console.listen()
    with keyboard.quiet():
        await _converse(console, prompts, feed)


async def _converse(console: Console, prompts: PromptSession[str], feed: "asyncio.Task[None]") -> None:
    try:
        while not console.leaving:
            try:
                text = await prompts.prompt_async(default=console.session.kept, handle_sigint=False)
            except KeyboardInterrupt:
                continue  # Ctrl-C throws the line away
            except EOFError:
                return
            await _interruptible(console, text)
    finally:
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)


async def _interruptible(console: Console, text: str) -> None:
    """Have a line done; Ctrl-C stops waiting for it."""
    loop = asyncio.get_running_loop()
    doing = asyncio.create_task(console.typed(text))
    pressed = False

    def press() -> None:
        nonlocal pressed
        pressed = True
        doing.cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, press)
    except NotImplementedError:  # Windows
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(press))
    try:
        await asyncio.wait([doing], timeout=SLOW_S)
        if not doing.done():
            console.waits()
        await doing
    except asyncio.CancelledError:
        if not pressed:
            raise
        console.interrupted()
    finally:
        try:
            loop.remove_signal_handler(signal.SIGINT)
        except NotImplementedError:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _prompt_session(console: Console, screen: Screen, history: Path) -> PromptSession[str]:
    from pygments.lexers.scripting import LuaLexer

    coloured = colours_wanted(sys.stdout)
    return PromptSession(
        message=lambda: screen.formatted(console.session.shown_prompt),
        multiline=True,
        prompt_continuation=_continuation,
        key_bindings=_keys(console),
        lexer=PygmentsLexer(LuaLexer) if coloured else None,
        style=Style.from_dict(STYLE) if coloured else None,
        include_default_pygments_style=False,
        completer=LiveCompleter(console),
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        history=FileHistory(str(history)),
        refresh_interval=0.5,  # the inbox count may change while the line is edited
    )


def _continuation(width: int, number: int, wrapped: bool) -> str:
    return " " * max(0, width - 4) + ("    " if wrapped else "... ")[-width:]


def _keys(console: Console) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None
        elif is_finished(console.session, buffer.text) or _is_ended(buffer.text):
            buffer.validate_and_handle()
        else:
            line = buffer.document.current_line_before_cursor
            margin = line[: len(line) - len(line.lstrip())]
            opens = not is_complete(line)
            buffer.insert_text("\n" + margin + (INDENT if opens else ""))

    @keys.add("escape", "enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return keys


def _is_ended(text: str) -> bool:
    """Whether the person pressed Enter on an empty line: that sends whatever stands there."""
    return text.strip() != "" and text.rstrip(" ").endswith("\n")


class LiveCompleter(Completer):
    """Completes dot commands, file names, and whatever the process has at the place of the cursor."""

    def __init__(self, console: Console):
        self._console = console

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncIterator[Completion]:
        before = document.text_before_cursor
        if before.startswith("."):
            names = await self._console.blueprints() if before.startswith(".load-blueprint ") else ()
            for completion in complete_dot(before, names):
                yield completion
            return
        place = place_before(before)
        if place is None:
            return
        names = await self._console.keys_at(place)
        if not place.steps:
            names = {**dict.fromkeys(KEYWORDS, "keyword"), **names}
        wanted = sorted(name for name in names if name.startswith(place.partial))
        if place.method:
            wanted = [name for name in wanted if names[name] == "function"]
        for name in wanted[:COMPLETIONS_MAX]:
            yield Completion(name, start_position=-len(place.partial), display_meta=names[name])


def complete_dot(before: str, blueprints: Iterable[str] = ()) -> list[Completion]:
    """Names of dot commands; of Lua files and folders after `.load`, and of blueprints after `.load-blueprint`."""
    command, space, word = before.partition(" ")
    if not space:
        return [
            Completion(name, start_position=-len(command), display_meta=dot.what)
            for name, dot in DOTS.items()
            if name.startswith(command)
        ]
    if command == ".load-blueprint":
        return [Completion(name, start_position=-len(word)) for name in blueprints if name.startswith(word)]
    return _files(word) if command == ".load" else []


def _files(word: str) -> list[Completion]:
    folder, _, start = word.rpartition("/")
    try:
        entries = sorted(os.scandir(os.path.expanduser(folder) or ("/" if word.startswith("/") else ".")), key=_name)
    except OSError:
        return []
    return [
        Completion(entry.name + ("/" if entry.is_dir() else ""), start_position=-len(start))
        for entry in entries
        if entry.name.startswith(start) and (entry.is_dir() or entry.name.endswith(".lua"))
        and not (entry.name.startswith(".") and not start)
    ]  # fmt: skip


def _name(entry: os.DirEntry) -> str:
    return entry.name

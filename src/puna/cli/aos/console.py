"""The console at work: does what the session's rules command, and tells them what came of it.

`terminal.py` and `plain.py` bring it the person's lines; here are the network, the files and the feed. Whoever waits
here can be interrupted: what was sent goes on, what was not is given back.
"""

import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from puna.ao.result import Result
from puna.arweave.ids import is_id
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet
from puna.services.letters import message
from puna.services.outbox import question

from . import inquiry
from .blueprints import blueprint_names, blueprint_source
from .bundle import bundle
from .feed import Feed
from .fork import fork_item
from .lua import Place
from .net import PAGE, Net
from .present import GRAY, GREEN, RED, RESET, Entry, clean, first_words, short, shown
from .processes import AOS_VERSION, Found, Standing, native_owner
from .session import (
    FILE,
    Answered,
    Ask,
    Away,
    Back,
    Command,
    Done,
    Event,
    Fork,
    History,
    Leave,
    Listed,
    Look,
    Looked,
    Monitor,
    OpenPad,
    Profile,
    Profiled,
    Read,
    ReadBlueprint,
    ReadFile,
    Refused,
    Say,
    Session,
    Trace,
    Traced,
    Typed,
    Update,
    advance,
)  # fmt: skip
from .trace import trace

AGAIN_FIRST_S, AGAIN_LONGEST_S = 0.25, 2.0  # between two attempts to reach a network that is away

T = TypeVar("T")


class Console:
    """A session and everything around it but the person.

    `say` shows a text; within `lent()` the terminal is another program's. `folder` keeps the pad. `patient`: wait for a
    network that is away, and go on when it is back; else a command that needs it fails.
    """

    def __init__(
        self,
        net: Net,
        wallet: Wallet,
        process: Found,
        standing: Standing,
        session: Session,
        *,
        say: Callable[[str], None],
        lent: Callable[[], AbstractContextManager[None]] = nullcontext,
        folder: Path,
        patient: bool,
    ):
        self.net, self.wallet, self.process, self.standing, self.session = net, wallet, process, standing, session
        self.leaving = False
        self._say, self._lent, self._folder, self._patient = say, lent, folder, patient
        self._asker = process.spawner
        self._own: set[str] = set()
        self._feed = Feed(net, process, self.happened, self._own)
        self._keys: dict[tuple[str | int, ...], dict[str, str]] = {}
        self._line = ""  # what was typed and has not reached the network yet

    # Events

    def happened(self, event: Event) -> None:
        """Something that needs no more than to be told."""
        self.session, commands = advance(self.session, event)
        self._keys.clear()
        for command in commands:
            if isinstance(command, Say):
                self._say(command.text)

    async def typed(self, text: str) -> None:
        """Everything a line leads to, until it is done."""
        self._line = text
        await self.run(Typed(text))

    async def load(self, path: Path) -> None:
        """Evaluate a file, as `.load` does."""
        await self._perform([ReadFile(str(path))])

    async def run(self, event: Event) -> None:
        """Everything an event leads to."""
        self.session, commands = advance(self.session, event)
        await self._perform(commands)

    async def _perform(self, commands: list[Command]) -> None:
        waiting = list(commands)
        while waiting:
            try:
                event = await self._do(waiting.pop(0))
            except NodeError as error:
                event = Refused(error, self._unsent(error))
            if event is not None:
                self.session, further = advance(self.session, event)
                waiting = further + waiting
        self._keys.clear()

    def waits(self) -> None:
        """Something takes its time."""
        unsent = self.session.away and self._line and not self._line.startswith(".")
        said = "It is sent when the network is back" if unsent else "Waiting for an answer"
        self.happened(Done(f"{GRAY}{said}; Ctrl-C stops waiting.{RESET}"))

    def interrupted(self) -> None:
        """The person stopped waiting; a line that the network may not have is given back."""
        kept, self._line = self._line, ""
        said = "Stopped before the network said it has it." if kept else "Stopped waiting. What was sent goes on."
        said = "Stopped." if kept.startswith(".") else said
        self.happened(Done(f"{GRAY}{said}{RESET}"))
        self.session = replace(self.session, kept=kept)

    def _unsent(self, error: NodeError) -> str:
        """The line to give back: what failed because the network is away was not wrong."""
        return self._line if isinstance(error, NotYet) else ""

    # The process

    async def born(self) -> None:
        """Wait for a new process, and show what its boot code says."""
        result = await self.net.link.result(self.process.id, self.process.id)
        if result.error is not None or shown(result.output).text and not self.session.as_json:
            await self.run(Answered(Ask("", FILE), self.process.id, result))

    def greet(self, new: bool) -> None:
        """Say where the person is."""
        name = self.process.tag("Name") or "without a name"
        self._say(f"{GRAY}{'New process' if new else 'Process'} {clean(name)}  {RESET}{self.process.id}")
        if not self.session.owned:
            self._say(
                f"{RED}It belongs to {clean(self.process.spawner)}, not to your wallet:{RESET} "
                "you can look at everything; nothing you type is sent."
            )
        if self._patient:
            self._say(f"{GRAY}.help lists what there is, .exit leaves.{RESET}")

    async def connect(self) -> None:
        """See that an aos answers, whom it takes for its owner, and its prompt. Raises Invalid when none does."""
        why = "it gives no prompt"
        me = native_owner(self.wallet)
        for asker in dict.fromkeys((self.process.spawner, me, "")):
            self._asker = asker
            result = await self._preview("return require('.process')._version", "")
            seen = shown(result.output)
            if result.error is None and seen.prompt and seen.text and not seen.news:
                owned = asker == me
                self.session = replace(self.session, prompt=seen.prompt, owned=owned)
                return
            if result.error is not None:
                why = first_words(str(result.error), 200)
            elif seen.news:
                why = "its owner is neither who spawned it nor your wallet"
        raise Invalid(
            f"Process {self.process.id} is not an aos that evaluates what is typed: {why}.",
            "Its output can be followed: puna aos --watch ID",
        )

    def listen(self) -> "asyncio.Task[None]":
        """Begin to show what others make the process say; cancel the task to end it."""
        task = asyncio.create_task(self._feed.follow(), name="feed")
        task.add_done_callback(self._feed_ended)
        return task

    def _feed_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._say(f"{RED}The feed stopped, which is a defect in Puna: {bug!r}. Enter the process again.{RESET}")

    async def prepare(self) -> None:
        """Remember where the process stands, so that the feed begins now."""
        await self._feed.begin()

    async def keys_at(self, place: Place) -> dict[str, str]:
        """Names that can be typed at a place, with the types of what they name. Never fails; empty when unknown."""
        if place.steps not in self._keys:
            after = self.session.at.message if self.session.at else ""
            try:
                self._keys[place.steps] = inquiry.read_keys(await self._preview(inquiry.keys(place), after))
            except NodeError:
                return {}
        return self._keys[place.steps]

    async def blueprints(self) -> list[str]:
        """The names after `.load-blueprint`. Never fails; empty when unknown."""
        try:
            return await blueprint_names(self.net, self._shelves())
        except NodeError:
            return []

    def _shelves(self) -> tuple[str, str]:
        """Whose blueprints are loaded by name: the person's own, then the network's."""
        return self.wallet.address, self.standing.operator

    async def _preview(self, code: str, after: str) -> Result:
        return await self.net.link.preview(self.process.id, self._question(code), after or None)

    def _question(self, code: str) -> dict[str, Any]:
        # Nobody signs a dry-run: as its owner one may look at any process.
        return question(self.process.id, self._asker, {"Action": "Eval"}, code)

    # Commands

    async def _do(self, command: Command) -> Event | None:
        match command:
            case Say(text):
                self._say(text)
                return None
            case Ask():
                return await self._ask(command)
            case ReadFile(path):
                made = bundle(Path(path).expanduser())
                return Read(path, made.code, made.sources)
            case ReadBlueprint(name):
                return Read(name, await blueprint_source(self.net, self._shelves(), name))
            case OpenPad():
                return await self._pad()
            case Monitor(on):
                return await self._monitor(on)
            case Look(nonce):
                return Looked(nonce, await self._message_at(nonce))
            case History(count, before):
                return Listed(await self._history(count, before))
            case Fork(nonce, name):
                return await self._fork(nonce, name)
            case Trace(id):
                return Traced(await trace(self.net, await self._full_id(id)), self._names())
            case Profile(code, after):
                return await self._profile(code, after)
            case Update():
                return await self._update()
            case Leave():
                self.leaving = True
                return None

    async def _ask(self, ask: Ask) -> Event:
        if ask.dry:
            try:
                result = await self._reached(lambda: self._preview(ask.code, ask.after))
            except NodeError as error:
                return Refused(error, self._unsent(error))
            self._line = ""
            return Answered(ask, "", result)
        item = await asyncio.to_thread(
            message, self.wallet, self.process.id, {"Action": "Eval"}, ask.code.encode("utf-8", "replace")
        )
        self._own.add(item.id)
        try:
            # The same signed item again and again: however often it arrives, it is evaluated once.
            await self._reached(lambda: self.net.link.submit(item))
        except NodeError as error:
            return Refused(error, self._unsent(error))
        self._line = ""
        return Answered(ask, item.id, await self._reached(lambda: self.net.link.result(self.process.id, item.id)))

    async def _reached(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The attempt's answer; while the network is away, tried again for as long as the person waits."""
        pause_s = AGAIN_FIRST_S
        while True:
            try:
                answer = await attempt()
            except NotYet as error:
                if not self._patient:
                    raise
                self.happened(Away(error))
            else:
                self.happened(Back())
                return answer
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_LONGEST_S)
            await self.net.relocate()

    async def _pad(self) -> Event:
        path = self._folder / f"{self.process.id}.pad.lua"
        if not path.exists():
            path.write_text("-- evaluated when you leave the editor; save it empty to send nothing\n")
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
        with self._lent():
            try:
                running = await asyncio.create_subprocess_exec(*shlex.split(editor), str(path))
            except (OSError, ValueError) as error:
                what = f"The editor {editor!r} does not start: {error}."
                raise Invalid(what, "Name another one in EDITOR.") from error
            status = await running.wait()
        if status:
            raise Invalid(f"The editor {editor!r} ended with status {status}; nothing was sent.")
        code = path.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in code.splitlines() if line.strip() and not line.lstrip().startswith("--")]
        return Read("The pad", code if lines else "")

    async def _monitor(self, on: bool) -> Event:
        item = await asyncio.to_thread(message, self.wallet, self.process.id, {})
        await (self.net.link.monitor(item) if on else self.net.link.unmonitor(item))
        said = "What its crons send is delivered from now on." if on else "What its crons send is no longer delivered."
        return Done(f"{GRAY}{said}{RESET}")

    # The past

    async def _place_at(self, nonce: int) -> dict[str, Any]:
        places = await self.net.schedule(self.process.id, nonce - 1, 1)
        if not places or _nonce(places[0]) != nonce:
            newest = _nonce(await self.net.newest(self.process.id))
            raise Missing(f"This process has no message {nonce}: its newest is {newest}.", ".history shows them.")
        return places[0]

    async def _message_at(self, nonce: int) -> str:
        return _message(await self._place_at(nonce), self.process.id)

    async def _history(self, count: int, before: int | None) -> tuple[Entry, ...]:
        end = before if before is not None else _nonce(await self.net.newest(self.process.id)) + 1
        found: list[Entry] = []
        after = max(-1, end - count - 1)
        while after < end - 1:
            page = await self.net.schedule(self.process.id, after, min(PAGE, end - 1 - after))
            if not page:
                break
            found += [_entry(place, self.process.id, self._names()) for place in page]
            after = found[-1].nonce
        return tuple(found)

    async def _fork(self, nonce: int | None, name: str) -> Event:
        if not self.standing.ours:
            raise Invalid(
                "The units of this network know no forks: the new process would begin empty.",
                "Fork on a network of Puna.",
            )
        if nonce is None:
            nonce = _nonce(await self.net.newest(self.process.id))
        place = await self._place_at(nonce)
        name = name or f"{self.process.tag('Name') or 'fork'}-{nonce}"
        item = await asyncio.to_thread(
            fork_item, self.wallet, self.process, _message(place, self.process.id), name, self.standing
        )
        await self.net.link.submit(item)
        result = await self.net.link.result(item.id, item.id)
        if result.error is not None:
            raise Invalid(f"The fork {item.id} does not begin: {clean(str(result.error))[:300]}")
        return Done(
            f"{GREEN}{item.id}{RESET} ({clean(name)}) goes on from message {nonce} of this process.\n"
            f"{GRAY}Enter it with: puna aos {item.id}{RESET}"
        )

    async def _full_id(self, text: str) -> str:
        """A message's id, from itself, from its nonce here, or from the beginning of it as `.history` shows it."""
        if is_id(text):
            return text
        if text.isdigit():
            return await self._message_at(int(text))
        start = text.split("…")[0]
        matching = [entry.message for entry in await self._history(500, None) if entry.message.startswith(start)]
        if len(matching) == 1:
            return matching[0]
        what = f"{len(matching)} messages begin" if matching else "No message of this process begins"
        raise Missing(f"{what} with {text!r}.", "Name it by its id, its nonce, or the beginning of its id.")

    def _names(self) -> dict[str, str]:
        return {**self.standing.names, self.process.id: self.process.tag("Name") or short(self.process.id)}

    async def _profile(self, code: str, after: str) -> Event:
        answer = await self._preview(inquiry.profile(code), after)
        whole, nothing = await self._preview(code, after), await self._preview("return nil", after)
        known = whole.gas_used is not None and nothing.gas_used is not None and whole.error is None
        return Profiled(code, answer, whole.gas_used - nothing.gas_used if known else None)

    async def _update(self) -> Event:
        version = shown((await self._preview("return require('.process')._version", "")).output).text
        runs = f"This process runs aos {version or '(unknown)'}"
        module = self.process.tag("Module")
        if version == AOS_VERSION and module in ("", self.standing.module, self.standing.sqlite_module):
            return Done(f"{GRAY}{runs}, which is the newest here: nothing to load.{RESET}")
        said = f"{runs} of module {module}; new processes here get {AOS_VERSION} of {self.standing.module or '?'}."
        return Done(f"{GRAY}{said} The module of a process cannot change: spawn a new one to have it.{RESET}")


def _nonce(place: dict[str, Any]) -> int:
    return int(_tags(place["assignment"]).get("Nonce", "-1"))


def _message(place: dict[str, Any], process: str) -> str:
    """The id of what was assigned: the message, or the process itself."""
    return _tags(place["assignment"]).get("Message") or process


def _tags(item: dict[str, Any]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in item.get("tags") or ():
        tags.setdefault(tag["name"], tag["value"])
    return tags


def _entry(place: dict[str, Any], process: str, names: Mapping[str, str]) -> Entry:
    assignment = _tags(place["assignment"])
    told = place.get("message") or {}
    tags = _tags(told)
    sender = tags.get("From-Process") or (told.get("owner") or {}).get("address", "")
    action = tags.get("Action") or ("(birth)" if tags.get("Type") == "Process" else "")
    timestamp_ms = int(assignment.get("Timestamp", "0"))
    by = names.get(sender, sender)
    return Entry(_nonce(place), timestamp_ms, _message(place, process), by, action, told.get("data") or "")

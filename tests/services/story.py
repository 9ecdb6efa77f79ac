"""A network small enough to hold in one hand: Lua processes under Lua 5.3, a messenger that carries their outboxes.

No signatures, no scheduler, no files: messages are delivered one at a time, in order, on a clock that stands still
until the story moves it. The rules that matter to programs are kept: what the messenger adds and removes, the limit
on tags, memory of a failed evaluation thrown away (here: a failed evaluation fails the test unless it is expected).
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import lupa.lua53 as lupa

import puna
from puna.arweave.tags import Tag, encode_tags
from puna.clock import HandClock
from puna.errors import Invalid
from puna.services import programs
from puna.services.outbox import Sent, sent

RUNTIME = Path(puna.__file__).parent / "vm" / "module" / "lua"


def named_id(name: str) -> str:
    """A valid id that shows its name."""
    return name.ljust(42, "-") + "A"


AUTHORITY = named_id("MU")
OPERATOR = named_id("OPERATOR")
ALICE = named_id("ALICE")
BOB = named_id("BOB")
MODEL = named_id("MODEL")

LOADER = """
local sources, host = ...
_host = function(name, request) return host(name, request) end
for name, source in pairs(sources) do
  package.preload[name] = function() return assert(load(source, name, "t", _G))(name) end
end
return require(".process").handle_json
"""


def runtime_sources() -> dict[str, str]:
    """The embedded Lua files under every name by which a program may require them."""
    found = {}
    for path in sorted(RUNTIME.rglob("*.lua")):
        found["." + ".".join(path.relative_to(RUNTIME).with_suffix("").parts)] = path.read_text()
    for line in (RUNTIME / "INDEX").read_text().splitlines():
        file, *names = line.split("#")[0].split()
        found |= dict.fromkeys(names, (RUNTIME / file).read_text())
    return found


SOURCES = runtime_sources()


@dataclass
class Evaluation:
    """What one message did, as the tests look at it."""

    process: str
    message: str
    entries: list
    sent: list[Sent]
    error: str | None
    printed: str


class LuaProcess:
    """One process: its own Lua state and environment."""

    def __init__(self, id: str, owner: str, tags: Mapping[str, str], host: Callable[[str, str], object]):
        self.id = id
        self.lua = lupa.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
        named = [{"name": name, "value": value} for name, value in tags.items()]
        module = {"Id": "M" * 43, "Owner": owner, "Tags": []}
        self.environment = json.dumps({"Process": {"Id": id, "Owner": owner, "Tags": named}, "Module": module})
        loaded = self.lua.execute(LOADER, self.lua.table_from(SOURCES), host)
        self.handle = loaded[0] if isinstance(loaded, tuple) else loaded

    def apply(self, message: dict) -> Evaluation:
        answer = json.loads(self.handle(json.dumps(message), self.environment))
        response = answer["response"] if answer["ok"] else {"Error": answer["response"]}
        entries = response.get("Messages") or []
        output = response.get("Output") or {}
        printed = output.get("data", "") if isinstance(output, dict) else str(output)
        return Evaluation(self.id, message["Id"], entries, sent(entries), response.get("Error"), printed)

    def eval(self, code: str):
        """A value out of the process's memory, as Python sees it."""
        return self.lua.execute("return " + code)


ANSWER = 10_000  # token numbers of an answer begin here; those of prompts are smaller


class FakeEngine:
    """Stands for the `Llama` extension: every word is a token; says `text`, or fails with `trouble`."""

    def __init__(self, text: str = "a fine answer", trouble: str | None = None, context: int = 1000):
        self.text, self.trouble, self.context = text, trouble, context
        self.requests: list[dict] = []

    def __call__(self, name: str, request: str):
        asked = json.loads(request)
        self.requests.append(asked)
        if name != "Llama":
            return None, f"extension {name} is not available to this process: add the tag Extension={name}"
        if self.trouble and asked["op"] != "info":
            return None, self.trouble
        try:
            return json.dumps(getattr(self, asked["op"])(asked))
        except OverflowError as error:
            return None, str(error)

    def info(self, asked):
        return {"name": "Fake", "context": self.context, "vocab": 2000, "arithmetic": "canonical-1", "eos": 2,
                "template": True}  # fmt: skip

    def tokenize(self, asked):
        return {"tokens": list(range(1, 2 + len(asked["text"].split())))}

    def chat(self, asked):
        words = sum(len(message["content"].split()) for message in asked["messages"])
        return {"tokens": list(range(1, 6 + words))}

    def generate(self, asked):
        if len(asked["tokens"]) + asked["limit"] > self.context:
            raise OverflowError(f"context full: {len(asked['tokens'])} + {asked['limit']} tokens. Shorten the prompt.")
        said = sum(token >= ANSWER for token in asked["tokens"])  # an answer may be asked for in pieces
        words = self.text.split(" ")[said:]
        text = " " * bool(said and words) + " ".join(words[: asked["limit"]])
        cuts = [text.index(stop) for stop in asked.get("stop") or [] if stop in text]
        text = text[: min(cuts)] if cuts else text
        tokens = list(range(ANSWER + said, ANSWER + said + len(text.split())))
        finish = "length" if len(words) > asked["limit"] and not cuts else "stop"
        return {"tokens": tokens, "text": text, "finish": finish}

    def generate_all(self, asked):
        return {"answers": [self._generate_one(wanted) for wanted in asked["wanted"]]}

    def _generate_one(self, wanted):
        try:
            return self.generate(wanted)
        except OverflowError as error:
            return {"error": str(error)}


@dataclass
class Story:
    """Processes, wallets, and the messages between them."""

    clock: HandClock = field(default_factory=HandClock)
    engine: FakeEngine = field(default_factory=FakeEngine)
    processes: dict[str, LuaProcess] = field(default_factory=dict)
    wallets: dict[str, list[Sent]] = field(default_factory=dict)  # address -> what was stored for it
    silent: set[str] = field(default_factory=set)  # processes that get nothing for now
    held: list[tuple[str, dict]] = field(default_factory=list)  # what silent ones missed
    log: list[Evaluation] = field(default_factory=list)
    dropped: list[Sent] = field(default_factory=list)
    waiting: deque = field(default_factory=deque)
    count: int = 0

    def spawn(self, name: str, source: bytes | str, owner: str = OPERATOR, **tags: str) -> str:
        """A process with the given program; tag names are written with _ for -."""
        named = {"Name": name, "On-Boot": "Data", "Authority": AUTHORITY, "Type": "Process"}
        named |= {key.replace("_", "-"): value for key, value in tags.items()}
        text = source.decode() if isinstance(source, bytes) else source
        booted = self.bear(named_id(name), owner, named, text)
        assert booted.error is None, booted.error
        return booted.process

    def bear(self, id: str, owner: str, tags: Mapping[str, str], text: str) -> Evaluation:
        """A process from its spawn item; returns the evaluation of that item."""
        process = self.processes[id] = LuaProcess(id, owner, tags, self.engine)
        booted = process.apply(self._message(id, owner, owner, tags, text, id=id))
        self._carry(booted)
        self.settle()
        return booted

    def send(self, sender: str, to: str, action: str, data: str = "", **tags: str) -> Evaluation:
        """A wallet's message, and everything that follows from it; returns its own evaluation."""
        named = {"Action": action} | {key.replace("_", "-"): value for key, value in tags.items()}
        return self.send_tags(sender, to, [{"name": name, "value": value} for name, value in named.items()], data)

    def send_tags(self, sender: str, to: str, tags: list, data: str = "") -> Evaluation:
        message = self._message(to, sender, sender, tags, data)
        evaluation = self._apply(to, message)
        self.settle()
        return evaluation

    def ask(self, sender: str, to: str, action: str, data: str = "", **tags: str) -> Sent:
        """The answer to a question: the first message that the process sends back."""
        evaluation = self.send(sender, to, action, data, **tags)
        return next(entry for entry in evaluation.sent if entry.target == sender)

    def speak(self, process: str, to: str, action: str, data: str = "", **tags: str) -> None:
        """A message from a process that exists only in the story, carried like any other."""
        named = {"Action": action} | {key.replace("_", "-"): value for key, value in tags.items()}
        entry = {"Target": to, "Tags": [{"name": name, "value": value} for name, value in named.items()], "Data": data}
        self.waiting.append((process, entry))
        self.settle()

    def settle(self) -> None:
        """Deliver until nothing is under way."""
        while self.waiting:
            sender, entry = self.waiting.popleft()
            self._deliver(sender, entry)

    def wake(self, process: str) -> None:
        """A silent process gets what it missed."""
        self.silent.discard(process)
        missed, self.held = [m for m in self.held if m[0] == process], [m for m in self.held if m[0] != process]
        for _, message in missed:
            self._apply(process, message)
        self.settle()

    def received(self, address: str, action: str) -> list[Sent]:
        return [entry for entry in self.wallets.get(address, []) if entry.action == action]

    # How messages travel ---------------------------------------------------------------------------------------

    def _deliver(self, sender: str, entry: dict) -> None:
        removed = ("Data-Protocol", "Type", "From-Process", "From-Module", "Assignments")
        tags = [tag for tag in entry["Tags"] if tag["name"] not in removed]
        tags += [
            {"name": "Data-Protocol", "value": "ao"},
            {"name": "Type", "value": "Message"},
            {"name": "From-Process", "value": sender},
            {"name": "From-Module", "value": "M" * 43},
            {"name": "Pushed-For", "value": "R" * 43},
        ]
        letter = sent([{**entry, "Tags": tags}])[0]
        try:
            encode_tags([Tag(tag["name"], tag["value"]) for tag in tags])
        except Invalid:
            self.dropped.append(letter)
            return
        if letter.target not in self.processes and letter.target not in self.silent:
            self.wallets.setdefault(letter.target, []).append(letter)
            return
        message = self._message(letter.target, AUTHORITY, sender, tags, entry.get("Data") or " ")
        if letter.target in self.silent:
            self.held.append((letter.target, message))
        else:
            self._apply(letter.target, message)

    def _apply(self, process: str, message: dict) -> Evaluation:
        evaluation = self.processes[process].apply(message)
        assert evaluation.error is None, f"{process}: {evaluation.error}"
        self.log.append(evaluation)
        self._carry(evaluation)
        return evaluation

    def _carry(self, evaluation: Evaluation) -> None:
        self.waiting.extend((evaluation.process, entry) for entry in evaluation.entries)

    def _message(self, to: str, owner: str, sender: str, tags, data: str, id: str | None = None) -> dict:
        self.count += 1
        if isinstance(tags, Mapping):
            tags = [{"name": name, "value": value} for name, value in tags.items()]
        return {
            "Id": id or f"message-{self.count}".ljust(43, "-"),
            "Data": data, "Owner": owner, "From": sender, "Target": to, "Tags": tags,
            "Nonce": self.count, "Epoch": 0, "Timestamp": self.clock.tip().timestamp_ms,
            "Block-Height": self.clock.tip().height, "Cron": False, "Read-Only": False,
        }  # fmt: skip


def token_story(**story) -> tuple[Story, str]:
    """A story with a token whose minter is the operator."""
    it = Story(**story)
    return it, it.spawn("TOKEN", programs.source(programs.TOKEN), Minter=OPERATOR)

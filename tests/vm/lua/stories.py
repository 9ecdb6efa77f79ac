"""A process told as a story: spawn it, send it messages, read what it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PROCESS = "process-" + "P" * 35
MODULE = "module-" + "M" * 36
ALICE = "alice-" + "a" * 37  # owns the process
BOB = "bob-" + "b" * 39  # a stranger with a wallet
MESSENGER = "messenger-" + "m" * 33  # the process's authority
OTHER = "other-process-" + "o" * 29

Tags = list[tuple[str, str]]


def tag_list(tags: Tags) -> list[dict]:
    return [{"name": name, "value": value} for name, value in tags]


@dataclass
class Sent:
    """One outbox entry."""

    target: str | None
    data: object
    anchor: str
    tag_pairs: list[tuple[str, object]]

    @property
    def tags(self) -> dict:
        """Tag name -> first value."""
        return dict(reversed(self.tag_pairs))


def sent(entry: dict) -> Sent:
    pairs = [(tag["name"], tag.get("value")) for tag in entry["Tags"]]
    return Sent(entry.get("Target"), entry.get("Data"), entry["Anchor"], pairs)


@dataclass
class Result:
    """What one message led to. `error` covers both a returned Error and a failed evaluation."""

    raw: dict
    error: object = None
    messages: list[Sent] = field(default_factory=list)
    spawns: list[Sent] = field(default_factory=list)
    assignments: list[dict] = field(default_factory=list)

    @property
    def output(self) -> dict:
        return self.raw["response"]["Output"]

    @property
    def data(self) -> str:
        """The printed text without colours."""
        return plain(self.output["data"])


def plain(text: str) -> str:
    return re.sub("\x1b\\[\\d+m", "", text)


def result(raw: dict) -> Result:
    if not raw["ok"]:
        return Result(raw, error=raw["response"])
    response = raw["response"]
    return Result(
        raw,
        response.get("Error"),
        [sent(entry) for entry in response.get("Messages", [])],
        [sent(entry) for entry in response.get("Spawns", [])],
        response.get("Assignments", []),
    )


class Process:
    """A process on `host`. Messages are numbered; each is a second and a block after the one before."""

    def __init__(self, host, *, tags: Tags = (), owner: str = ALICE, name: str | None = "tester"):
        self.host = host
        self.owner = owner
        self.count = 0
        named = [("Name", name)] if name else []
        self.tags: Tags = [("Type", "Process"), ("Module", MODULE), *named, ("Authority", MESSENGER), *tags]

    @property
    def environment(self) -> dict:
        process = {"Id": PROCESS, "Owner": self.owner, "Tags": tag_list(self.tags)}
        return {"Process": process, "Module": {"Id": MODULE, "Owner": ALICE, "Tags": []}}

    def spawn(self, data: str | None = None, *, signer: str | None = None) -> Result:
        """Evaluate the spawn item, as nonce 0."""
        item = self.message(data, sender=dict(self.tags).get("From-Process"), signer=signer or self.owner)
        item |= {"Id": PROCESS, "Nonce": 0, "Tags": tag_list(self.tags)}
        return self.give(item)

    def message(
        self, data=None, *, sender: str | None = None, signer: str | None = None, tags: Tags = (), **fields
    ) -> dict:
        """A message as the node gives it: from a wallet (`sender`), or from process `sender` carried by `signer`."""
        self.count += 1
        sender = sender or signer or self.owner
        signer = signer or sender
        message = {
            "Id": f"message-{self.count:035d}",
            "Signature": "s" * 86,
            "Data": data,
            "Owner": signer,
            "Target": PROCESS,
            "Anchor": None,
            "From": sender,
            "Tags": tag_list([("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message"), *tags]),
            "Epoch": 0,
            "Nonce": self.count - 1,
            "Timestamp": 1_700_000_000_000 + 1000 * self.count,
            "Block-Height": 1_500_000 + self.count,
            "Hash-Chain": "chain",
            "Cron": False,
            "Read-Only": False,
        }
        if sender != signer:
            message["Forwarded-By"] = signer
        return message | fields

    def give(self, message: dict) -> Result:
        return result(self.host.handle(message, self.environment))

    def send(self, data=None, *, action: str | None = None, tags: Tags = (), **how) -> Result:
        tags = [("Action", action), *tags] if action else tags
        return self.give(self.message(data, tags=tags, **how))

    def from_process(self, data=None, *, sender: str = OTHER, **how) -> Result:
        """A message of another process, carried by the messenger."""
        return self.send(data, sender=sender, signer=MESSENGER, **how)

    def eval(self, code: str) -> Result:
        return self.send(code, action="Eval")

    def ask(self, expression: str) -> str:
        """The text of a Lua expression inside the process."""
        answer = self.eval(f"return tostring({expression})")
        assert answer.error is None, answer.error
        return answer.data

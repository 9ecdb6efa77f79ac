"""What a herd is doing, and telling it what to do: its state read by dry-runs, its owner's orders as messages.

Called by `puna herd` and by the pages of a node.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from puna.ao.link import Link
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, NotYet

from .. import letters
from ..outbox import Sent, sent
from .client import consult, whole_number


class Worker(msgspec.Struct, frozen=True):
    """`state` is idle, busy, quarantined or retired; `job`, its `tokens` and the times in milliseconds since 1970 are
    there while it is busy. It may be the first of several `jobs` that are run together; none of them has more tokens.
    `answered` jobs have earned `earned` winston so far."""

    id: str
    state: str
    model: str = ""
    name: str = ""
    failures: int = 0
    answered: int = 0
    earned: str = "0"
    job: str | None = None
    jobs: int = 0
    tokens: int | None = None
    started: int | None = None
    due: int | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A job in the queue: `paid` and `needed` in winston, `at` and `deadline` in milliseconds since 1970."""

    job: str
    model: str
    tokens: int
    paid: str
    needed: str
    at: int
    deadline: int
    tries: int = 0

    @property
    def multiplier(self) -> float:
        return int(self.paid) / max(1, int(self.needed))


class Herd(msgspec.Struct, frozen=True):
    """A herd at one moment. All money in winston: credits = earned + refunded + held. `queue` holds the first of
    `queue_length` waiting jobs, in the order in which they will run."""

    herder: str
    base_fee: int
    token_fee: int
    multiplier: str
    paused: bool
    queue_length: int
    running: int
    credits: int
    earned: int
    refunded: int
    held: int
    withdrawn: int
    workers: tuple[Worker, ...]
    queue: tuple[Waiting, ...]
    limits: dict[str, int]


class _Shown(msgspec.Struct):
    # An empty Lua table is an empty JSON list, so these fit both.
    workers: tuple[Worker, ...] = ()
    queue: tuple[Waiting, ...] = ()


async def herd(link: Link, herder: str) -> Herd:
    """The state of a herd, without a message on chain. Raises NotYet when the process does not answer as a herder."""
    told = (await consult(link, herder, herder, {"Action": "Info"}, "Info-Response")).tags
    answer = await consult(link, herder, herder, {"Action": "Queue"}, "Queue-Response")
    seen = answer.tags
    try:
        shown = msgspec.json.decode(answer.data, type=_Shown)
    except msgspec.DecodeError as error:
        raise NotYet(
            f"The herder {herder} tells of its herd in a form not known here: {error}.", "Update it."
        ) from None
    return Herd(
        herder=herder,
        base_fee=whole_number(told, "Base-Fee"),
        token_fee=whole_number(told, "Token-Fee"),
        multiplier=told.get("Last-Multiplier", "1"),
        paused=told.get("Paused") == "true",
        queue_length=whole_number(seen, "Queue-Length"),
        running=whole_number(seen, "Running"),
        **{name.lower(): whole_number(seen, name) for name in ("Credits", "Earned", "Refunded", "Held", "Withdrawn")},
        workers=shown.workers,
        queue=shown.queue,
        limits={name: int(value) for name, value in told.items() if name.startswith("Max-") and value.isdigit()},
    )


async def order(link: Link, owner: Wallet, herder: str, action: str, tags: Mapping[str, str] = {}) -> Sent:
    """Send an order of the herd's owner; the herder's answer. Raises Invalid with its words when it refuses."""
    item = letters.message(owner, herder, {"Action": action, **tags})
    await link.submit(item)
    result = await link.result(herder, item.id)
    if result.error is not None:
        raise NotYet(f"The herder failed on {action}: {result.error}", "Nothing was changed.")
    answers = [each for each in sent(result.messages) if each.target == item.address]
    if not answers:
        raise NotYet(f"The herder {herder} does not know the order {action}.", "Nothing was changed.")
    if "Error" in answers[0].tags:
        raise Invalid(f"The herder refused {action}: {answers[0].tags['Error'].rstrip('.')}.", "Nothing was changed.")
    return answers[0]


def to_json(state: Herd) -> dict[str, Any]:
    """As JSON-ready values, for `--json` and for pages."""
    return msgspec.to_builtins(state)

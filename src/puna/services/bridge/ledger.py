"""The wAR process as the bridge asks it and speaks to it. Used by the unit."""

from hashlib import sha256
from typing import Any

import msgspec

from puna.ao.link import Link
from puna.arweave.wallet import Wallet
from puna.errors import NotYet

from .. import letters
from ..outbox import Sent, first, question, sent
from .rules import Deposit, Payout, State, mint_tags, read_payout, read_state

PAGE = 100


class Ledger:
    """The bridge's part of one token process; `operator` signs what is told to it."""

    def __init__(self, link: Link, token: str, operator: Wallet):
        self.link, self.token, self.operator = link, token, operator

    async def state(self) -> State:
        """What it says of itself in one breath, with all open payouts. Raises NotYet when it does not answer."""
        told = await ask(self.link, self.token, "Bridge-State")
        open = [read_payout(record) for record in told["open"]]
        while len(open) < told["open_count"]:
            # Those that were burned meanwhile make no difference: what they owe left the supply.
            page = (await ask(self.link, self.token, "Bridge-State", After=str(open[-1].number)))["open"]
            if not page:
                break
            open += [read_payout(record) for record in page]
        return read_state(told, open)

    async def record(self, id: str) -> dict[str, Any] | None:
        """The record of a deposit or burn; None when there is none."""
        asked = {"Action": "Bridge-Record", "Record-Id": id}
        result = await self.link.preview(self.token, question(self.token, self.operator.address, asked))
        if answer := first(result.messages, "Bridge-Record-Response"):
            return msgspec.json.decode(answer.data)
        if first(result.messages, "Bridge-Error") is None:
            raise NotYet(f"The token {self.token} does not answer: {result.error or 'no reply'}.")
        return None

    async def records(self, address: str, count: int, cursor: int) -> tuple[list[dict[str, Any]], int]:
        """The newest records of an address ("" for all) below a cursor (0 for none), and the next one's cursor."""
        asked = {"Count": str(count), "Address": address, "Cursor": str(cursor or "")}
        told = await ask(
            self.link, self.token, "Bridge-Records", **{name: value for name, value in asked.items() if value}
        )
        return told["records"], told["cursor"]

    async def mint(self, deposit: Deposit, tip: int) -> Sent | None:
        """Report a deposit; what the process answered. The same report twice is one message."""
        return await self._tell(f"mint {deposit.id} {tip}", mint_tags(deposit, tip))

    async def settled(self, payout: Payout, tx: str, mined_at: int, tip: int) -> Sent | None:
        """Tell that a payout is confirmed; what the process answered."""
        tags = {"Action": "Payout-Settled", "Burn-Tx": payout.id, "X-PayoutTxHash": tx, "Payout-Height": str(mined_at)}
        return await self._tell(f"settled {payout.id} {tip}", tags)

    async def _tell(self, step: str, tags: dict[str, str]) -> Sent | None:
        anchor = sha256(f"puna bridge {step}".encode()).hexdigest()[:32].encode()
        item = letters.message(self.operator, self.token, tags, anchor=anchor)
        await self.link.submit(item)
        result = await self.link.result(self.token, item.id)
        if result.error is not None:
            raise NotYet(f"The token failed on {tags['Action']}: {result.error}")
        # The notice to the recipient comes after the answer to us.
        return next((entry for entry in sent(result.messages) if entry.target == self.operator.address), None)


async def ask(link: Link, token: str, action: str, **tags: str) -> dict[str, Any]:
    """What the bridge's part answers to a question. Raises NotYet when it does not."""
    result = await link.preview(token, question(token, token, {"Action": action, **tags}))
    answer = first(result.messages, f"{action}-Response")
    if answer is None:
        raise NotYet(
            f"The token {token} has no bridge: {result.error or 'no reply'}.",
            "A network raised by an older version gets its bridge at the next start of: puna up",
        )
    return msgspec.json.decode(answer.data)

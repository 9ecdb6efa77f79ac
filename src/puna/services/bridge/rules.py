"""What is true of deposits, payouts and the books of the bridge: plain functions over frozen records.

Used by the unit, which reads and acts, and by the routes, which tell. Amounts are whole winston.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from puna.arweave.ids import is_id
from puna.arweave.transaction import Transaction

CHAIN = "arweave"
AR = "A" * 43  # AR's own token id
DECIMALS = 12
BURN_TX = "Burn-Tx"  # tag of a payout: the burn, or the deposit sent back, that it pays
RECIPIENT = "Recipient"  # tag of a deposit: who gets the wAR

UNPACKAGED, WAITING, CONFIRMED = "unPackaged", "waiting", "confirmed"
WRAPPING, BURNING, EXECUTING = "wrapping", "burning", "executing"
SUCCESS, FAILED, SUBMIT_FAILED, NOT_ON_CHAIN = "success", "failed", "submintAosFailed", "notOnChain"


@dataclass(frozen=True, slots=True)
class Deposit:
    """A mined transfer to the vault. `recipient` gets the wAR."""

    id: str
    height: int
    sender: str
    recipient: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Announced:
    """A transfer that somebody said was sent; nothing of it is believed, it is only looked for."""

    id: str
    sender: str
    recipient: str
    quantity: str
    height: int  # of the weave when it was announced


@dataclass(frozen=True, slots=True)
class Payout:
    """AR that the wAR process owes: for a burn, or for a deposit that it sent back. `id` is that of either."""

    number: int
    id: str
    kind: str  # burn, refund
    recipient: str
    quantity: int
    network_fee: int  # what its transaction may cost, taken from the supply beside `quantity`
    due: int  # milliseconds since 1970: not paid before

    @property
    def owed(self) -> int:
        return self.quantity + self.network_fee


@dataclass(frozen=True, slots=True)
class State:
    """What the wAR process says of itself in one breath. `open` are all payouts that are not settled."""

    vault: str
    confirmations: int
    supply: int
    owed: int
    granted: int  # wAR given by the owner without a deposit, since the bridge was opened
    close_mint: bool
    close_burn: bool
    open: tuple[Payout, ...]


@dataclass(frozen=True, slots=True)
class Books:
    """The invariant's two sides at one height of the weave.

    `deposits`: AR in the vault that was not minted yet. `payouts`: AR in the vault that is owed for burns and deposits
    sent back, with the network fees of their transactions, and whose transaction is not mined. Their sum is pending.
    """

    height: int
    vault: int
    supply: int
    deposits: int
    payouts: int

    @property
    def pending(self) -> int:
        return self.deposits + self.payouts

    @property
    def surplus(self) -> int:
        """AR that backs nothing, as when somebody was granted it to the vault. Below 0 wAR is not backed."""
        return self.vault - self.pending - self.supply

    @property
    def holds(self) -> bool:
        return self.surplus >= 0

    def to_json(self) -> dict[str, Any]:
        return {
            "height": self.height, "vault": str(self.vault), "supply": str(self.supply), "pending": str(self.pending),
            "pending_deposits": str(self.deposits), "pending_payouts": str(self.payouts), "surplus": str(self.surplus),
            "holds": self.holds,
        }  # fmt: skip


# Deposits


def deposit_of(tx: Transaction, height: int, vault: str) -> Deposit | None:
    """What a mined transaction brings to the vault; None when it brings nothing, or comes from the vault itself."""
    if tx.recipient != vault or tx.quantity <= 0 or tx.address == vault:
        return None
    return Deposit(tx.id, height, tx.address, _minted_to(tx, vault), tx.quantity)


def _minted_to(tx: Transaction, vault: str) -> str:
    """The one address that the tag names; the sender when it names none, two, the vault, or none that can be.

    AR that came is never refused for a wrong tag: its owner gets the wAR and can send it where it should have gone.
    """
    named = {value for name, value in tx.tags if name == RECIPIENT}
    named.discard(vault)
    return next(iter(named)) if len(named) == 1 and is_recipient(*named) else tx.address


def is_recipient(text: object) -> bool:
    """Whether wAR can be minted to it: an id of a process or wallet, or an address of Ethereum's kind."""
    return isinstance(text, str) and (is_id(text) or _is_ethereum(text))


def _is_ethereum(text: str) -> bool:
    return len(text) == 42 and text.startswith("0x") and all(c in "0123456789abcdefABCDEF" for c in text[2:])


def confirmations(height: int | None, tip: int) -> int:
    """Blocks on a transaction, its own counted first; 0 for one that is not mined."""
    return 0 if height is None else max(tip - height + 1, 0)


def mint_tags(deposit: Deposit, tip: int) -> dict[str, str]:
    """The message that reports a deposit with its proof."""
    return {
        "Action": "Mint", "Recipient": deposit.recipient, "Quantity": str(deposit.quantity), "X-MintTxHash": deposit.id,
        "SourceChainType": CHAIN, "SourceTokenId": AR, "Deposit-Sender": deposit.sender,
        "Deposit-Height": str(deposit.height), "Confirmations": str(confirmations(deposit.height, tip)),
    }  # fmt: skip


# Payouts


def payout_tags(payout: Payout) -> tuple[tuple[str, str], ...]:
    return (("App-Name", "Puna"), ("Type", "Bridge-Payout"), (BURN_TX, payout.id))


def is_payout(tx: Transaction, payout: Payout) -> bool:
    """Whether a transaction of the vault pays exactly this."""
    return (tx.recipient, tx.quantity) == (payout.recipient, payout.quantity) and (BURN_TX, payout.id) in tx.tags


def reward_of(payout: Payout, price: int, surplus: int) -> int | None:
    """What the payout's transaction offers the miner; None when it costs more than there is for it.

    All that the burn left for it is offered, so that the books agree to the winston. A price that rose since is paid
    from the vault's surplus, and never from what backs somebody's wAR.
    """
    if price <= payout.network_fee:
        return payout.network_fee
    return price if price - payout.network_fee <= surplus else None


# Books


def books(state: State, height: int, vault: int, waiting: Collection[Deposit], mined: Mapping[str, int]) -> Books:
    """The books at `height`. `waiting` are deposits seen and not settled; `mined` tells of open payouts whose
    transaction is in a block, by id, at which height."""
    deposits = sum(deposit.quantity for deposit in waiting if deposit.height <= height)
    paid = sum(payout.owed for payout in state.open if mined.get(payout.id, height + 1) <= height)
    return Books(height, vault, state.supply, deposits, state.owed - paid)


# What the wAR process tells


def read_state(told: Mapping[str, Any], open: Sequence[Payout]) -> State:
    return State(
        vault=str(told.get("vault") or ""), confirmations=int(told["confirmations"]), supply=int(told["supply"]),
        owed=int(told["owed"]),
        granted=int(told["granted"]), close_mint=bool(told["close_mint"]), close_burn=bool(told["close_burn"]),
        open=tuple(open),
    )  # fmt: skip


def read_payout(record: Mapping[str, Any]) -> Payout:
    return Payout(
        number=int(record["number"]), id=record["id"], kind=record["kind"], recipient=record["recipient"],
        quantity=int(record["quantity"]), network_fee=int(record["network_fee"]), due=int(record["due"]),
    )  # fmt: skip


# Entries of the bridge's interface


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands on the weave: its height (None while it waits), the tip, the depth that counts."""

    height: int | None
    tip: int
    needed: int

    @property
    def deep(self) -> bool:
        return confirmations(self.height, self.tip) >= self.needed


def entry_of_record(record: Mapping[str, Any], token: str, place: Place, payout: str, trouble: str = "") -> dict:
    """The entry of what the wAR process has a record of. `place` is that of the layer-1 transaction: the deposit's,
    or the payout's, whose id `payout` is ("" while it is not signed)."""
    type = "burn" if record["kind"] == "burn" else "mint"
    entry = _entry(record["id"], type, record["sender"], record["recipient"], record["quantity"], token, place)
    entry |= {"rawId": record["number"], "createdAt": _instant(record["at"]), "updatedAt": _instant(record["at"])}
    if record["kind"] == "mint":
        return entry | {"status": SUCCESS, "targetChainTxHash": record["message"]}
    status = SUCCESS if record["state"] == "paid" else EXECUTING if payout else BURNING
    entry |= {"status": status, "targetChainTxHash": payout, "errMsg": trouble}
    if record["kind"] == "refund":
        return entry | {"status": FAILED, "errMsg": "refunded" if record["state"] == "paid" else record["reason"]}
    return entry | {"fee": record["fee"], "feeRecipient": record["fee_recipient"]}


def entry_of_deposit(deposit: Deposit, token: str, place: Place, status: str = "", trouble: str = "") -> dict[str, Any]:
    """The entry of a mined transfer that the wAR process has no record of yet."""
    entry = _entry(deposit.id, "mint", deposit.sender, deposit.recipient, str(deposit.quantity), token, place)
    return entry | {"status": status or (CONFIRMED if place.deep else WAITING), "errMsg": trouble}


def entry_of_announced(told: Announced, token: str, place: Place, status: str) -> dict[str, Any]:
    """The entry of a transfer that is only announced, waits for a block, or never came."""
    return _entry(told.id, "mint", told.sender, told.recipient, told.quantity, token, place) | {"status": status}


def _entry(id: str, type: str, sender: str, recipient: str, quantity: str, token: str, place: Place) -> dict[str, Any]:
    made = type == "mint"
    confirmed = confirmations(place.height, place.tip)
    return {
        "rawId": 0, "createdAt": "", "updatedAt": "", "txType": type, "chainType": CHAIN, "txId": id, "sender": sender,
        "recipient": recipient, "quantity": quantity, "symbol": "AR" if made else "wAR", "decimals": DECIMALS,
        "blockHeight": -1 if place.height is None else place.height, "fromTokenId": AR if made else token,
        "toTokenId": token if made else AR, "fee": "0", "feeRecipient": "", "confirmNum": confirmed,
        "confirmRange": place.needed - confirmed, "status": "", "targetChainTxHash": "", "errMsg": "",
    }  # fmt: skip


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

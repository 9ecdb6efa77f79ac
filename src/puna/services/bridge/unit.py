"""The bridge at work: watches the vault for deposits and has them minted, pays what was burned, checks the books.

Owned by a node that mines. Whatever it knows it can know again: deposits are read from the weave, debts from the wAR
process, payouts by their tag. Durable besides are two kinds of notes: the height below which every deposit is settled,
and each payout's signed transaction, written down before it is posted. So it may be killed at any point.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from puna.arweave.store.port import Store
from puna.arweave.transaction import Transaction, transaction_from_json, transaction_to_json
from puna.clock import wall_ms
from puna.errors import Invalid, Missing, NodeError

from ..outbox import Sent
from . import rules
from .chain import Chain
from .ledger import Ledger, ask
from .rules import Announced, Books, Deposit, Payout, Place, State

log = logging.getLogger("puna.bridge")

LOOK_S = 0.2  # between two looks at the weave's height, which cost nothing
RETRY_S = 2.0  # after something did not work
SAFE_STEP = 50  # blocks that a restart may have to look through again
PUT_OFF_MAX = 512  # blocks until what the token refused is tried again
ANNOUNCED_MAX = 1000  # transfers that somebody said would come; past it the oldest are forgotten
ANNOUNCED_BLOCKS = 60  # after so many blocks without it, an announced transfer never came
PAGE_MAX = 100

SAFE = "bridge/safe"
BACKED = "bridge/backed"  # wAR granted by the owner that the vault was endowed for
PAYOUT = "bridge/payout/"
ANNOUNCED = "bridge/announced/"


class Bridge:
    """One bridge. `start` it, or call `step` by hand; `stop` it in the end."""

    def __init__(self, ledger: Ledger, chain: Chain, store: Store, clock: Callable[[], int] = wall_ms):
        self.ledger, self.chain = ledger, chain
        self._store, self._clock = store, clock
        self._safe = int(store.note(SAFE) or 0)
        self._scanned, self._scanned_hash = self._safe, ""
        self._waiting: dict[str, Deposit] = {}
        self._vanished: dict[str, Deposit] = {}
        self._doing: dict[str, str] = {}  # deposit -> the status of what is being done with it
        self._trouble: dict[str, str] = {}  # deposit or payout -> why it does not go on
        self._again: dict[
            str, tuple[int, int]
        ] = {}  # what the token refused -> height of the next try, blocks until it
        self._spare = 0  # of the vault's surplus, what no payout has claimed yet
        self._stalled = ""
        self._state: State | None = None
        self._books: Books | None = None
        self._shallow = False
        self._due: int | None = None
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(), name="bridge"),
            asyncio.create_task(self._listen(), name="bridge-news"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    @property
    def wants_blocks(self) -> bool:
        """Whether something waits for nothing but further blocks."""
        return self._shallow

    async def _run(self) -> None:
        while True:
            tip, wait_s = self.chain.weave.tip.height, None
            self._news.clear()
            try:
                if await self.step():
                    continue
                self._stalled = ""
                wait_s = RETRY_S if self._doing else None
            except NodeError as error:
                if str(error) != self._stalled:
                    log.error("the bridge stands still: %s", error)
                self._stalled, wait_s = str(error), RETRY_S
            except Exception:  # a fault of ours is told, and does not end the bridge
                log.exception("the bridge stands still")
                self._stalled, wait_s = "A fault of the bridge itself: see node.log.", RETRY_S
            await self._wait(tip, wait_s)

    async def _wait(self, tip: int, most_s: float | None) -> None:
        """Until there is a block after `tip`, a burn, or a payout whose delay is over; at most so long."""
        waited = 0.0
        while self.chain.weave.tip.height == tip and (most_s is None or waited < most_s):
            if self._due is not None and self._clock() >= self._due:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_S)
                return
            waited += LOOK_S

    async def _listen(self) -> None:
        operator = self.ledger.operator.address
        async with self.ledger.link.events() as events:
            async for event in events:
                missed = event["kind"] == "gap"
                if missed or (event["kind"] == "stored" and event.get("target") == operator):
                    self._news.set()

    # One step

    async def step(self) -> bool:
        """Look once, and do what is due. True when something was done, so that there is more to see."""
        state = await self.ledger.state()
        if state.vault != self.chain.vault:
            raise Invalid(
                f"The bridge's vault is {state.vault or 'not set'}, and the key here is that of {self.chain.vault}.",
                "Put the vault's key back: keys/vault.json in the home.",
            )
        await self._back(state)
        height, balance = await self.chain.now()
        await self._scan(state, height)
        payments = {payout.id: tx for payout in state.open if (tx := self.chain.payout(payout.id))}
        mined = {id: at for id, tx in payments.items() if (at := self.chain.mined_at(tx.id)) is not None}
        if self._state is None:
            await self._sweep(state)
        self._state = state
        self._judge(rules.books(state, height, balance, self._waiting.values(), mined))
        open = {payout.id: payout for payout in state.open}
        self._spare = self._books.surplus - sum(
            max(tx.reward - open[id].network_fee, 0) for id, tx in payments.items() if id not in mined
        )
        minted = await self._mint(state, height)
        paid = await self._pay(state, height, payments, mined)
        await self._advance(height)
        depths = [self._waiting[id].height for id in self._waiting] + list(mined.values())
        self._shallow = any(rules.confirmations(at, height) < state.confirmations for at in depths)
        return minted or paid

    async def _back(self, state: State) -> None:
        """Endows the vault for what the owner granted. Killed before that is noted it does so twice: too much backs."""
        backed = int(self._store.note(BACKED) or 0)
        if state.granted > backed:
            await self.chain.weave.grant(self.chain.vault, state.granted - backed)
            await self._store.append([], {BACKED: b"%d" % state.granted})

    async def _scan(self, state: State, height: int) -> None:
        """Takes up the deposits of the blocks that came since the last look, and drops what is settled or gone."""
        if self._scanned_hash and self._scanned_hash != self.chain.block_hash(self._scanned):
            log.warning("the weave has other blocks than before: looking again from height %d", self._safe)
            self._scanned = min(self._safe, height)
        for deposit in list(self._waiting.values()):
            if self.chain.mined_at(deposit.id) != deposit.height:
                log.warning("the deposit %s of %d winston is not on the weave any more", deposit.id, deposit.quantity)
                self._vanished[deposit.id] = self._waiting.pop(deposit.id)
        found = await asyncio.to_thread(self.chain.deposits, self._scanned + 1, height)
        self._waiting |= {deposit.id: deposit for deposit in found}
        for deposit in list(self._waiting.values()):
            self._vanished.pop(deposit.id, None)
            if deposit in found or rules.confirmations(deposit.height, height) >= state.confirmations:
                # Asked after the state was: what is minted in between is missing twice, and never counted twice.
                if await self.ledger.record(deposit.id) is not None:
                    self._settle(deposit.id)
        self._scanned, self._scanned_hash = height, self.chain.block_hash(height)

    def _settle(self, id: str) -> None:
        self._waiting.pop(id, None)
        self._doing.pop(id, None)
        self._trouble.pop(id, None)
        self._again.pop(id, None)

    def _judge(self, books: Books) -> None:
        before, self._books = self._books, books
        if not books.holds and (before is None or before.holds or before.surplus != books.surplus):
            log.error(
                "THE BRIDGE IS NOT BACKED at height %d: the vault has %d winston, %d less than supply %d + pending %d",
                *(books.height, books.vault, -books.surplus, books.supply, books.pending),
            )
        elif books.holds and before is not None and not before.holds:
            log.info("the bridge is backed again, at height %d", books.height)

    async def _mint(self, state: State, height: int) -> bool:
        done = False
        for deposit in list(self._waiting.values()):
            if state.close_mint or rules.confirmations(deposit.height, height) < state.confirmations:
                continue
            if not self._may(deposit.id, height):
                continue
            self._doing[deposit.id] = rules.WRAPPING
            try:
                answer = await self.ledger.mint(deposit, height)
            except NodeError as error:
                self._doing[deposit.id] = rules.SUBMIT_FAILED
                self._blame(deposit.id, str(error))
                continue
            self._doing.pop(deposit.id)
            code = answer.tags.get("Code") if answer else None
            if answer and (answer.action in ("Mint-Notice", "Mint-Refused") or code == "err_repeat_mint"):
                log.info("deposit %s of %d winston: %s", deposit.id, deposit.quantity, answer.action)
                self._settle(deposit.id)
                done = True
            else:
                self._put_off(deposit.id, height, answer)
        return done

    def _may(self, id: str, height: int) -> bool:
        return height >= self._again.get(id, (0, 0))[0]

    def _put_off(self, id: str, height: int, answer: Sent | None) -> None:
        """The token refused. Every try is a message, and makes a block: so each waits twice as long as the last."""
        wait = min(2 * self._again.get(id, (0, 1))[1], PUT_OFF_MAX)
        self._again[id] = (height + wait, wait)
        self._blame(id, answer.tags.get("Error", "") if answer else "The token did not answer.")

    def _blame(self, id: str, why: str) -> None:
        if self._trouble.get(id) != why:
            log.error("bridge: %s does not go on: %s", id, why)
        self._trouble[id] = why

    # Payouts

    async def _pay(self, state: State, height: int, payments: dict[str, Transaction], mined: dict[str, int]) -> bool:
        done, self._due = False, None
        for payout in state.open:
            if payout.id in mined:
                deep = rules.confirmations(mined[payout.id], height) >= state.confirmations
                if deep and self._may(payout.id, height):
                    done |= await self._close(payout, payments[payout.id], mined[payout.id], height)
            elif payout.id not in payments:
                if payout.due > self._clock():
                    self._due = min(payout.due, self._due or payout.due)
                else:
                    done |= await self._send(payout)
        return done

    async def _send(self, payout: Payout) -> bool:
        """Posts a payout: the transaction that was written down, else a new one, written down first."""
        try:
            while True:
                known = self._store.note(PAYOUT + payout.id)
                tx = _read(known) if known else await self._signed(payout)
                if tx is None:
                    return False
                extra = max(tx.reward - payout.network_fee, 0)
                if extra > max(self._spare, 0):
                    self._too_dear(payout, tx.reward)
                    return False
                if tx.reward >= self.chain.price(payout.recipient) and await self.chain.post(tx):
                    self._spare -= extra
                    break
                # The weave has not taken it and never will: another one cannot pay a second time.
                await self._store.append([], {PAYOUT + payout.id: None})
        except Invalid as error:
            self._blame(payout.id, f"The weave refuses the payout: {error}")
            return False
        self._trouble.pop(payout.id, None)
        log.info("payout of %d winston for %s: transaction %s", payout.quantity, payout.id, tx.id)
        return True

    async def _signed(self, payout: Payout) -> Transaction | None:
        price = self.chain.price(payout.recipient)
        reward = rules.reward_of(payout, price, self._spare)
        if reward is None:
            self._too_dear(payout, price)
            return None
        tx = await asyncio.to_thread(self.chain.sign, payout, reward)
        await self._store.append([], {PAYOUT + payout.id: msgspec.json.encode(transaction_to_json(tx))})
        return tx

    def _too_dear(self, payout: Payout, price: int) -> None:
        self._blame(
            payout.id, f"A transaction costs {price} winston now, more than the {payout.network_fee} kept for it. "
            "It is paid when the price falls, or when the vault has a surplus."
        )  # fmt: skip

    async def _close(self, payout: Payout, tx: Transaction, mined_at: int, height: int) -> bool:
        if not rules.is_payout(tx, payout):
            self._blame(payout.id, f"The vault's transaction {tx.id} is another payment under this one's name.")
            return False
        answer = await self.ledger.settled(payout, tx.id, mined_at, height)
        if answer is None or answer.action != "Payout-Settled-Notice":
            self._put_off(payout.id, height, answer)
            return False
        self._settle(payout.id)
        await self._store.append([], {PAYOUT + payout.id: None})
        return True

    async def _advance(self, height: int) -> None:
        """Moves the height below which every deposit is settled, and forgets announced transfers that came."""
        safe = min([height, *(deposit.height - 1 for deposit in self._waiting.values())])
        if safe >= self._safe + SAFE_STEP:
            await self._store.append([], {SAFE: b"%d" % safe})
            self._safe = safe
        came = [each.id for each in self._announced() if self.chain.mined_at(each.id) is not None]
        if came:
            await self._store.append([], {ANNOUNCED + id: None for id in came})

    async def _sweep(self, state: State) -> None:
        """At a start: forgets what was written down for payouts that were settled just before we were stopped."""
        open = {PAYOUT + payout.id for payout in state.open}
        left = [key for key, _ in self._store.notes(PAYOUT) if key not in open]
        if left:
            await self._store.append([], dict.fromkeys(left))

    # What it tells

    def status(self) -> dict[str, Any]:
        """The books at the last look, and what waits or does not go on."""
        told: dict[str, Any] = {"vault_address": self.chain.vault, "token": self.ledger.token}
        if self._books is None or self._state is None:
            return told | {"holds": None, "trouble": [self._stalled or "The bridge has not looked yet."]}
        trouble = [f"{id}: {why}" for id, why in self._trouble.items()]
        if not self._books.holds:
            lacking = -self._books.surplus
            trouble.insert(0, f"wAR IS NOT BACKED: the vault has {lacking} winston less than it must have.")
        return told | self._books.to_json() | {
            "confirmations": self._state.confirmations,
            "waiting": [self._deposit_entry(deposit) for deposit in self._waiting.values()],
            "open_payouts": [
                {"id": each.id, "kind": each.kind, "recipient": each.recipient, "quantity": str(each.quantity)}
                for each in self._state.open
            ],
            "trouble": ([self._stalled] if self._stalled else []) + trouble,
        }  # fmt: skip

    async def info(self) -> dict[str, Any]:
        """The bridge's settings, as its interface tells them."""
        told = await ask(self.ledger.link, self.ledger.token, "Bridge-Info")
        token, needed = told["token"], told["confirmations"]
        return {
            "bridgePid": token,
            "arLocker": self.chain.vault,
            "operator": told["operator"],
            "chainTokens": [
                {
                    "chainType": rules.CHAIN, "chainId": "0", "symbol": "AR", "decimals": rules.DECIMALS,
                    "stableRange": needed, "locker": self.chain.vault, "tokenId": rules.AR, "wrappedTokenId": token,
                }
            ],
            "wrappedTokens": [
                {
                    "wrappedTokenId": token, "name": told["name"], "ticker": told["ticker"],
                    "denomination": told["denomination"], "totalSupply": told["supply"],
                    "minBurnAmt": told["burn_minimum"], "burnFee": told["burn_fee"],
                    "feeRecipient": told["fee_recipient"], "mintFee": "0", "holderNum": told["holders"],
                    "bridgeProcessId": token,
                }
            ],
            "burnLimits": {
                "perBurn": told["burn_cap"], "perDay": told["burn_cap_day"], "burnedToday": self._burned(told),
                "delaySeconds": told["payout_delay"], "networkFee": told["network_fee"],
            },
            "mintLimits": {"perMint": told["mint_cap"]},
            "closeServer": {
                "closeArweaveMint": told["close_mint"], "closeArweaveBurn": told["close_burn"], "closeTransfer": False,
            },
        }  # fmt: skip

    def _burned(self, told: dict[str, Any]) -> str:
        return told["burned_day"] if told["day"] == self._clock() // 86_400_000 else "0"

    async def entry(self, id: str) -> dict[str, Any]:
        """How a deposit or burn stands. Raises Missing when nobody heard of it."""
        record = await self.ledger.record(id)
        if record is not None:
            return self._record_entry(record)
        if deposit := self._waiting.get(id):
            return self._deposit_entry(deposit)
        tx = self.chain.transaction(id)
        deposit = rules.deposit_of(tx, -1, self.chain.vault) if tx is not None else None
        if deposit is not None:  # it waits for a block, or came with the block that we look at next
            at = self.chain.mined_at(id)
            if at is not None:
                return self._deposit_entry(Deposit(id, at, deposit.sender, deposit.recipient, deposit.quantity))
            told = Announced(id, deposit.sender, deposit.recipient, str(deposit.quantity), self._tip())
            return self._announced_entry(told)
        if deposit := self._vanished.get(id):
            gone = Announced(id, deposit.sender, deposit.recipient, str(deposit.quantity), -ANNOUNCED_BLOCKS)
            return self._announced_entry(gone)
        for announced in self._announced():
            if announced.id == id:
                return self._announced_entry(announced)
        raise Missing(f"There is no deposit or burn {id}.", "Give the id of a transaction to the vault, or of a burn.")

    async def entries(self, address: str = "", count: int = PAGE_MAX, cursor: int = 0) -> tuple[list[dict], int]:
        """The newest first: what is on its way, then what is recorded; and the cursor of the next page (0: none)."""
        records, after = await self.ledger.records(address, count, cursor)
        entries = [self._record_entry(record) for record in records]
        if not cursor:
            known = {entry["txId"] for entry in entries} | self._waiting.keys()
            coming = [self._announced_entry(each) for each in self._announced() if each.id not in known]
            coming += [self._deposit_entry(each) for each in self._waiting.values()]
            coming = [each for each in coming if address in ("", each["sender"], each["recipient"])]
            entries = coming[::-1] + entries
        return entries, after

    async def announce(self, id: str, sender: str, recipient: str, quantity: int) -> None:
        """Remember that a transfer is said to be on its way. Durable when it returns."""
        if self.chain.mined_at(id) is not None:
            return
        announced = sorted(self._announced(), key=lambda each: each.height)
        over = max(len(announced) - ANNOUNCED_MAX + 1, 0)
        notes: dict[str, bytes | None] = {ANNOUNCED + each.id: None for each in announced[:over]}
        note = Announced(id, sender, recipient, str(quantity), self._tip())
        await self._store.append([], notes | {ANNOUNCED + id: msgspec.json.encode(note)})

    def _announced(self) -> list[Announced]:
        return [msgspec.json.decode(note, type=Announced) for _, note in self._store.notes(ANNOUNCED)]

    def _tip(self) -> int:
        return self.chain.weave.tip.height

    def _place(self, height: int | None) -> Place:
        return Place(height, self._tip(), self._state.confirmations if self._state else 0)

    def _record_entry(self, record: dict[str, Any]) -> dict[str, Any]:
        token, trouble = self.ledger.token, self._trouble.get(record["id"], "")
        if record["kind"] == "mint":
            return rules.entry_of_record(record, token, self._place(record["height"]), "", trouble)
        payout = record.get("payout") or ""
        if not payout and (tx := self.chain.payout(record["id"])):
            payout = tx.id
        height = self.chain.mined_at(payout) if payout else None
        return rules.entry_of_record(record, token, self._place(height), payout, trouble)

    def _deposit_entry(self, deposit: Deposit) -> dict[str, Any]:
        status, trouble = self._doing.get(deposit.id, ""), self._trouble.get(deposit.id, "")
        if trouble and not status:
            status = rules.FAILED
        return rules.entry_of_deposit(deposit, self.ledger.token, self._place(deposit.height), status, trouble)

    def _announced_entry(self, told: Announced) -> dict[str, Any]:
        waits = self.chain.transaction(told.id) is not None
        over = not waits and self._tip() - told.height > ANNOUNCED_BLOCKS
        status = rules.NOT_ON_CHAIN if over else rules.UNPACKAGED
        return rules.entry_of_announced(told, self.ledger.token, self._place(None), status)


def _read(note: bytes) -> Transaction:
    return transaction_from_json(msgspec.json.decode(note))

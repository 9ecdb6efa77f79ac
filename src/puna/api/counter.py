"""The counter: where a caller's request becomes a paid, signed message to the herd, and its answer a reply.

Called by both doors. Before anything is paid the price is quoted and held against what the key's wallet has; what can
be known to fail fails here. Each wallet has so many requests with the herd at a time as the herd lets one payer have;
the others wait here, unpaid.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from puna.ao.link import Link
from puna.arweave.store.port import Store
from puna.arweave.wallet import Wallet
from puna.errors import Missing, NodeError, NotYet
from puna.llm.models import ModelInfo, read_info
from puna.services.herder import client
from puna.services.herder.client import Prices, Quote, Request
from puna.services.herder.desk import Case, Desk
from puna.services.herder.offer import Offer, memory_of
from puna.services.network import Model, Network
from puna.services.receipts import Receipt, read_receipt
from puna.services.token.client import balance, format_war

from .bodies import Asked
from .keys import Account
from .refusals import Refusal, budget_spent, refusal_of

WAITING_MAX = 1000  # callers of one wallet that wait here for their turn
QUESTIONS_MAX = 16  # requests that ask for price and balance at a time: a compute unit refuses dry-runs past a limit
AT_ONCE_MAX = 64  # requests of one wallet that are with the herd: more would only wait there, paid
LIMITS_S = 30.0
TOKENS_LEAST = 1
TOKENS_BLIND = 256  # asked for where nobody says how much room the model's context has
log = logging.getLogger("puna")


@dataclass(frozen=True)
class Reply:
    """The end of an answered request: the committed text and its receipt. `id` is the receipt's."""

    id: str
    receipt: Receipt

    @property
    def finish(self) -> str:
        return "length" if self.receipt.finish == "length" else "stop"

    def proof(self) -> dict[str, Any]:
        """The field `puna` of every reply: what proves it and what it cost. Amounts in winston."""
        receipt = self.receipt
        return {
            "receipt": self.id,
            "payment": receipt.payment.id,
            "response": receipt.messages.response,
            "messages": {name: getattr(receipt.messages, name) for name in receipt.messages.__struct_fields__},
            "payer": receipt.payer,
            "reference": receipt.reference,
            "paid_winston": int(receipt.paid),
            "fee_winston": int(receipt.fee),
            "refund_winston": int(receipt.refund),
            "model": receipt.model.id,
            "arithmetic": receipt.arithmetic,
            "seed": receipt.parameters.seed,
            "state_root": receipt.attestation.state_root if receipt.attestation else None,
        }

    def headers(self) -> dict[str, str]:
        receipt = self.receipt
        return {
            "X-Puna-Receipt": self.id,
            "X-Puna-Payment": receipt.payment.id,
            "X-Puna-Fee": receipt.fee,
            "X-Puna-Refund": receipt.refund,
            "X-Puna-Model": receipt.model.id,
        }


@dataclass
class Line:
    """The requests of one wallet: so many with the herd, the others waiting."""

    free: asyncio.Semaphore
    inside: int = 0


class Counter:
    """`network` tells what stands. `stop` before the units do."""

    def __init__(self, link: Link, store: Store, network: Callable[[], Network], desk: Desk):
        self.link, self.store, self.network, self.desk = link, store, network, desk
        self._lines: dict[str, Line] = {}
        self._prices: Prices | None = None
        self._asked_at = 0.0
        self._info: dict[str, ModelInfo | None] = {}
        self._asking = asyncio.Semaphore(QUESTIONS_MAX)
        self._owned: set[asyncio.Task[Any]] = set()
        self._wallets: dict[str, Wallet] = {}  # of the keys that asked, by address

    async def stop(self) -> None:
        for task in self._owned:
            task.cancel()
        await asyncio.gather(*self._owned, return_exceptions=True)

    def model(self, named: str) -> Model:
        """A model by its id or name, or by its name with Ollama's `:latest`. Raises Refusal 404."""
        models = self.network().models
        for model in models:
            if named in (model.id, model.name) or named.removesuffix(":latest") == model.name:
                return model
        there = ", ".join(model.name for model in models)
        raise Refusal(
            404, f"The model `{named[:80]}` does not exist here.", f"There is: {there}.", param="model",
            code="model_not_found",
        )  # fmt: skip

    async def info(self, model: Model) -> ModelInfo | None:
        """What the model's file says; None when it is not on this node."""
        if model.id not in self._info:
            path = self.store.payload_path(model.id)
            with suppress(NodeError):
                self._info[model.id] = await asyncio.to_thread(read_info, path) if path else None
        return self._info.get(model.id)

    async def offer(self, asked: Asked) -> Offer:
        """What a request would cost now. Raises NodeError when it cannot be run; nothing is paid."""
        model = self.model(asked.model)
        async with self._asking:
            _, quoted = await self._measured(asked, model)
        info = await self.info(model)
        return Offer(quoted, await self.prices(), model.name, info and memory_of(info, quoted))

    # A request, from the caller's body to the herd

    async def begin(self, account: Account, asked: Asked) -> Case:
        """Pay for a request; returns once the herd has it, or has ended it. Raises NodeError when it has it not.

        What was paid stays on its way when the caller goes: it ends as an answer or as a refund to the key's wallet.
        """
        model = self.model(asked.model)
        line = await self._line(account)
        if line.inside >= WAITING_MAX:
            raise Refusal(
                429, f"{WAITING_MAX} requests of this key wait already.", "Ask again when some are answered.",
                type="rate_limit_error", code="rate_limit_exceeded",
            )  # fmt: skip
        line.inside += 1
        try:
            await line.free.acquire()
        except BaseException:
            line.inside -= 1
            raise
        # From here on it is our own task: a caller that hangs up must not leave a payment half made.
        handed = asyncio.get_running_loop().create_future()
        self._own(self._serve(line, account, asked, model, handed))
        case = await asyncio.shield(handed)
        await self._taken(case)
        return case

    async def _serve(self, line: Line, account: Account, asked: Asked, model: Model, handed: asyncio.Future) -> None:
        """Hold a place in the line from the payment to the end of the request."""
        try:
            case = await self._pay(account, asked, model)
            handed.set_result(case)
        except BaseException as error:
            if not handed.done():
                known = isinstance(error, NodeError)
                handed.set_exception(error if known else NotYet("The node is stopping.", "Ask again in a while."))
                handed.exception()  # nobody may be there to hear it
            if not isinstance(error, NodeError):
                log.exception("a request met a bug")
                raise
            return
        else:
            poking = asyncio.create_task(
                client.poke(self.link, account.wallet, self.network().herder, case.inquiry.reference)
            )
            try:
                async for _ in case.follow():
                    pass
            finally:
                poking.cancel()
        finally:
            line.inside -= 1
            line.free.release()

    async def _pay(self, account: Account, asked: Asked, model: Model) -> Case:
        network, wallet = self.network(), account.wallet
        self._wallets[wallet.address] = wallet
        async with self._asking:
            (request, offer), owned = await asyncio.gather(
                self._measured(asked, model), balance(self.link, network.token, wallet.address)
            )
        if owned < offer.price:
            raise budget_spent(
                f"The budget of key {account.key.id} is spent: this costs at most {offer.price} winston "
                f"({format_war(offer.price)} wAR), and {owned} winston are left. Nothing was paid."
            )
        reference = f"api-{secrets.token_hex(8)}"
        request = client.fitted(request, reference, offer)
        for name in request.ahead:
            label = client.label_of(name, reference)
            await client.send_ahead(self.link, wallet, network.herder, label, request.texts[name])
        item = client.payment(wallet, network, request, reference, offer.price)
        case = self.desk.expect(wallet.address, reference, item.id)
        try:
            await self.link.submit(item)
        except BaseException:
            self.desk.forget(case)
            raise
        return case

    async def _measured(self, asked: Asked, model: Model) -> tuple[Request, Quote]:
        """The request, for as many tokens as were asked for or as there is room for, and its price.

        Raises Refusal when the model's context has no room for it.
        """
        most, info = (await self.prices()).tokens_max, await self.info(model)
        if asked.tokens is not None and asked.tokens > most:
            raise Refusal(
                400, f"{asked.tokens} tokens are too many: the herd makes 1 to {most}.", f"Ask for {most} or fewer.",
                param="max_tokens", code="invalid_value",
            )  # fmt: skip
        least = asked.tokens or TOKENS_LEAST
        tried = asked.tokens or most  # what most prompts leave room for
        offer = await self._quote(asked, model, tried)
        if info is not None and offer.counted == "tokens":
            room = min(most, info.context - offer.prompt_count)
            if room < least:
                raise Refusal(
                    400, f"The model's context is {info.context} tokens: {offer.prompt_count} of prompt and {least} "
                    "to generate do not fit.", "Shorten the messages, or ask for fewer tokens.",
                    param="messages", code="context_length_exceeded",
                )  # fmt: skip
        else:
            room = min(most, TOKENS_BLIND)
        tokens = asked.tokens or room
        if tokens != tried:
            offer = await self._quote(asked, model, tokens)
        request = Request(
            asked.prompt, tokens, model.id, asked.stop, asked.temperature or None, asked.seed,
            top_p=asked.top_p, format=asked.format,
        )  # fmt: skip
        return request, offer

    async def _quote(self, asked: Asked, model: Model, tokens: int) -> Quote:
        herder = self.network().herder
        return await client.quote(self.link, herder, asked.prompt, tokens, model=model.id, format=asked.format)

    async def prices(self) -> Prices:
        """The herd's prices and limits; its owner may change them, so they are asked for again now and then."""
        if self._prices is None or self._asked_at + LIMITS_S < time.monotonic():
            self._prices, self._asked_at = await client.prices(self.link, self.network().herder), time.monotonic()
        return self._prices

    async def _line(self, account: Account) -> Line:
        line = self._lines.get(account.wallet.address)
        if line is None:
            at_once = min((await self.prices()).queued_per_payer_max, AT_ONCE_MAX)
            line = self._lines.setdefault(account.wallet.address, Line(asyncio.Semaphore(at_once)))
        return line

    async def _taken(self, case: Case) -> None:
        """Wait until the herd has the request. Raises the reason when it never will."""
        async for news in case.follow():
            if news.state != "paid":
                break
        if case.inquiry.failure is not None:
            raise refusal_of(case.inquiry.failure)

    def _own(self, work) -> None:
        task = asyncio.create_task(work)
        self._owned.add(task)
        task.add_done_callback(self._owned.discard)

    # What comes of it

    async def texts(self, case: Case) -> AsyncIterator[str]:
        """The answer piece by piece while it is made; joined they are the committed text. Raises when it failed."""
        ended = False
        try:
            async for news in case.follow():
                if news.text:
                    yield news.text
            ended = True
        finally:
            if not ended and case.state in ("paid", "queued"):
                self._own(self._cancel(case))  # the caller has gone, and nothing has begun
        if case.inquiry.failure is not None:
            raise refusal_of(case.inquiry.failure)

    async def reply(self, case: Case) -> Reply:
        """The end of a case that `texts` went through."""
        item = self.store.view(case.receipt)
        if item is None:
            raise Missing(f"The receipt of {case.inquiry.transfer} is not in the log.", "Ask for it again in a while.")
        return Reply(case.receipt, read_receipt(item))

    async def _cancel(self, case: Case) -> None:
        wallet = self._wallets.get(case.inquiry.payer)
        if wallet is not None:
            with suppress(NodeError):
                await client.cancel(self.link, wallet, case.inquiry.herder, case.inquiry.reference)

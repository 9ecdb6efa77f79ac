"""Client of a bridge: sends AR to the vault, burns wAR, and follows both to their end over the gateway's HTTP.

Amounts are whole winston. The gateway must be that of a running node: one that is not there mines nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from puna.ao.link import Link
from puna.arweave.ids import b64url_decode, id_bytes, is_id
from puna.arweave.transaction import sign_transaction, transaction_to_json
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet

from .. import letters
from ..outbox import first
from ..token.client import balance, format_war
from . import rules

LOOK_S = 0.2
DIGITS_MAX = 26
ENDS = (rules.SUCCESS, rules.FAILED, rules.NOT_ON_CHAIN)


def parse_ar(text: str) -> int:
    """Winston of an amount in AR or wAR, like 1.5, with at most 12 decimals. Raises Invalid."""
    whole, point, rest = text.partition(".")
    digits = whole + rest
    plain = digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX and whole and (rest or not point)
    if not plain or len(rest) > rules.DECIMALS or int(digits) == 0:
        raise Invalid(f"{text!r:.60} is not an amount.", "Give AR or wAR above 0 with at most 12 decimals, like 1.5.")
    return int(whole) * 10**rules.DECIMALS + int(rest.ljust(rules.DECIMALS, "0"))


@dataclass(frozen=True)
class Limits:
    """What a bridge asks for, in winston."""

    burn_minimum: int
    burn_fee: int
    burn_cap: int
    mint_cap: int


class BridgeClient:
    """The bridge behind one gateway."""

    def __init__(self, web: aiohttp.ClientSession, gateway: str):
        self._web, self._gateway = web, gateway.rstrip("/")

    async def info(self) -> dict[str, Any]:
        return await self._get("/bridge/info")

    async def status(self) -> dict[str, Any]:
        return await self._get("/bridge/status")

    async def entry(self, id: str) -> dict[str, Any]:
        return await self._get(f"/bridge/tx/{id}")

    async def entries(self, address: str = "", count: int = 100) -> list[dict[str, Any]]:
        return (await self._get(f"/bridge/txs?address={address}&count={count}"))["txs"]

    async def limits(self) -> Limits:
        told = await self.info()
        (war,) = told["wrappedTokens"]
        return Limits(
            int(war["minBurnAmt"]), int(war["burnFee"]), int(told["burnLimits"]["perBurn"]),
            int(told["mintLimits"]["perMint"]),
        )  # fmt: skip

    async def ar_balance(self, address: str) -> int:
        return int(await self._text("GET", f"/wallet/{address}/balance"))

    async def deposit(self, wallet: Wallet, winston: int, recipient: str = "") -> str:
        """Send AR to the vault; the transaction's id, once the weave has taken it.

        Raises Invalid when the wallet is not RSA or has too little, before anything is sent.
        """
        if recipient and not rules.is_recipient(recipient):
            raise Invalid(f"{recipient!r:.60} is not an address.", "wAR goes to 43 letters, digits, '-' or '_'.")
        told = await self.info()
        cap, vault = int(told["mintLimits"]["perMint"]), told["arLocker"]
        if told["closeServer"]["closeArweaveMint"]:
            raise NotYet("The bridge takes no deposits for now.", "Try again later.")
        if winston > cap:
            raise Invalid(f"A deposit is at most {format_war(cap)} AR.", "Send less at once.")
        reward = int(await self._text("GET", f"/price/0/{vault}"))
        owned = await self.ar_balance(wallet.address)
        if owned < winston + reward:
            raise Invalid(
                f"The wallet {wallet.address} has {format_war(owned)} AR; {format_war(winston)} AR and the network's "
                f"fee of {format_war(reward)} AR are needed.",
                "Deposit less, or name another wallet with --wallet.",
            )
        tags = [("App-Name", "Puna"), ("Type", "Transfer"), *([(rules.RECIPIENT, recipient)] if recipient else [])]
        anchor = b64url_decode(await self._text("GET", "/tx_anchor"))
        tx = await asyncio.to_thread(
            sign_transaction, wallet, last_tx=anchor, reward=reward, tags=tags, target=id_bytes(vault), quantity=winston
        )
        body = msgspec.json.encode(transaction_to_json(tx))
        await self._text("POST", "/tx", data=body, headers={"Content-Type": "application/json"})
        return tx.id

    async def follow(self, id: str, patience_s: float) -> AsyncIterator[dict[str, Any]]:
        """The entry of a deposit or burn each time that it changed, until its end. Raises NotYet after `patience_s`
        without any change."""
        told: dict[str, Any] = {}
        waited = 0.0
        while told.get("status") not in ENDS:
            entry = await self.entry(id)
            if entry != told:
                told, waited = entry, 0.0
                yield entry
                continue
            if waited >= patience_s:
                raise NotYet(
                    f"{id} is still {told['status']}. {told['errMsg']}".rstrip(),
                    "It is not lost, and goes on by itself. Look again with: puna bridge status",
                )
            await asyncio.sleep(LOOK_S)
            waited += LOOK_S

    async def _get(self, path: str) -> Any:
        return msgspec.json.decode(await self._text("GET", path))

    async def _text(self, method: str, path: str, **options: Any) -> str:
        url = self._gateway + path
        try:
            async with self._web.request(method, url, **options) as reply:
                text = await reply.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotYet(
                f"{url} is not within reach ({type(error).__name__}).", "Start a node with: puna up"
            ) from error
        if reply.status < 300:
            return text
        try:
            what = msgspec.json.decode(text)["error"]
        except (msgspec.DecodeError, LookupError, TypeError):
            what = text[:200] or f"status {reply.status}"
        if reply.status == 404 and path.startswith("/bridge/") and not path.startswith("/bridge/tx/"):
            raise Missing("This network has no bridge.", "Networks of an older version get one at the next: puna up")
        kind = {404: Missing, 429: NotYet, 503: NotYet}.get(reply.status, Invalid if reply.status < 500 else NodeError)
        raise kind(what)


async def withdraw(link: Link, wallet: Wallet, token: str, bridge: BridgeClient, winston: int, recipient: str) -> str:
    """Burn wAR for AR to `recipient`; the burn's id, once the wAR process has burned it.

    Raises Invalid for what can be known before, and with the process's own words when it refuses.
    """
    if not is_id(recipient):
        raise Invalid(f"{recipient!r:.60} is not an Arweave address.", "AR goes to 43 letters, digits, '-' or '_'.")
    limits = await bridge.limits()
    if winston < limits.burn_minimum:
        raise Invalid(
            f"A withdrawal is at least {format_war(limits.burn_minimum)} wAR.",
            f"Withdraw more; {format_war(limits.burn_fee)} wAR of it are the bridge's fee.",
        )
    if winston > limits.burn_cap:
        raise Invalid(f"A withdrawal is at most {format_war(limits.burn_cap)} wAR.", "Withdraw less at once.")
    owned = await balance(link, token, wallet.address)
    if owned < winston:
        raise Invalid(
            f"The wallet {wallet.address} has {format_war(owned)} wAR, less than {format_war(winston)}.",
            "Withdraw less, or name another wallet with --wallet.",
        )
    item = letters.message(wallet, token, {"Action": "Burn", "Quantity": str(winston), "Recipient": recipient})
    await link.submit(item)
    result = await link.result(token, item.id)
    if result.error is not None:
        raise NotYet(f"The token failed on the burn: {result.error}", "Nothing was burned; try again.")
    if refusal := first(result.messages, "Burn-Error"):
        raise Invalid(f"The bridge refused the burn: {refusal.tags.get('Error', '')}", "Nothing was burned.")
    return item.id

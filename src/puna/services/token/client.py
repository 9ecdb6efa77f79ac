"""Client of a token process: balances and transfers. Amounts are integers of indivisible units (wAR: winston)."""

from dataclasses import dataclass

from puna.ao.link import Link
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, NotYet

from ..letters import message
from ..outbox import first, question, sent

WINSTON_PER_WAR = 10**12


@dataclass(frozen=True)
class TokenInfo:
    """What a token says about itself; `supply` in units, `denomination` decimals make one whole coin."""

    name: str
    ticker: str
    denomination: int
    supply: int
    minter: str


def format_war(winston: int) -> str:
    """Winston as wAR with every digit that matters: 27 -> '0.000000000027'."""
    whole, rest = divmod(winston, WINSTON_PER_WAR)
    return f"{whole}.{rest:012d}".rstrip("0") if rest else str(whole)


async def info(link: Link, token: str) -> TokenInfo:
    """Ask a token what it is. Raises NotYet when it does not answer."""
    told = await _ask(link, token, token, {"Action": "Info"}, "ticker")
    return TokenInfo(
        name=told.get("name", ""),
        ticker=told["ticker"],
        denomination=int(told.get("denomination", "0")),
        supply=int(told.get("supply", "0")),
        minter=told.get("minter", ""),
    )


async def balance(link: Link, token: str, address: str) -> int:
    """Units that `address` owns. Raises NotYet when the token does not answer."""
    return int((await _ask(link, token, address, {"Action": "Balance", "Recipient": address}, "balance"))["balance"])


async def transfer(link: Link, wallet: Wallet, token: str, recipient: str, units: int) -> str:
    """Pay `units` to `recipient`; returns the transfer's id once the token has moved them.

    Raises Invalid with the token's own words when it refuses.
    """
    item = message(wallet, token, {"Action": "Transfer", "Recipient": recipient, "Quantity": str(units)})
    await link.submit(item)
    result = await link.result(token, item.id)
    if result.error is not None:
        raise NotYet(f"The token failed on the transfer: {result.error}", "Nothing was moved; try again.")
    if refusal := first(result.messages, "Transfer-Error"):
        raise Invalid(f"The token refused the transfer: {refusal.tags.get('Error', '')}", "Nothing was moved.")
    return item.id


async def _ask(link: Link, token: str, asker: str, tags: dict[str, str], wanted: str) -> dict[str, str]:
    """The tags of the answer that has the tag `wanted`, names in lower case: published tokens differ in spelling."""
    result = await link.preview(token, question(token, asker, tags))
    for entry in sent(result.messages):
        told = {name.lower(): value for name, value in entry.tags.items()}
        if wanted in told:
            return told
    raise NotYet(f"The token {token} does not answer: {result.error or 'no reply'}", "Check the token's id.")

"""`puna bridge`: AR into wAR and back, over the node that runs on the home."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from puna.arweave.transaction import SIGNATURE_TYPE
from puna.arweave.wallet import Wallet, load_wallet
from puna.cli.show import TakesIds, home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid, NodeError

PATIENCE_S = 120  # without any progress; a node that mines on demand only may need longer, and is told of

PHASES = {
    "unPackaged": "waiting for a block",
    "waiting": "waiting for confirmations",
    "confirmed": "confirmed",
    "wrapping": "minting wAR",
    "submintAosFailed": "minting did not work yet; trying again",
    "burning": "burned; the payout comes",
    "executing": "paid; waiting for confirmations",
}


@click.group("bridge")
def command() -> None:
    """Turn AR into wAR and back: deposits to the bridge's vault, withdrawals from it.

    A node must be running: puna up. Amounts are AR or wAR, like 1.5.
    """


wallet_option = click.option(
    "--wallet", "path", type=click.Path(path_type=Path), help="A JWK file (default: the home's wallet)."
)
wait_option = click.option("--wait/--no-wait", default=True, help="Follow it to its end (default), or only begin.")


class Amount(click.ParamType):
    """AR or wAR, as whole winston."""

    name = "AMOUNT"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        from puna.services.bridge.client import parse_ar

        return value if isinstance(value, int) else parse_ar(value)


@command.command("deposit", cls=TakesIds)
@click.argument("winston", metavar="AMOUNT", type=Amount())
@click.option("--to", "recipient", default="", metavar="ADDRESS", help="Who gets the wAR: a wallet or a process.")
@wallet_option
@wait_option
@home_option
@json_option
def deposit(winston: int, recipient: str, path: Path | None, wait: bool, home: Path | None, as_json: bool) -> None:
    """Send AMOUNT of AR to the vault and get as much wAR."""
    asyncio.run(_deposit(winston, recipient, path, wait, home, as_json))


@command.command("withdraw", cls=TakesIds)
@click.argument("winston", metavar="AMOUNT", type=Amount())
@click.option("--to", "recipient", default="", metavar="ADDRESS", help="Who gets the AR (default: your wallet).")
@wallet_option
@wait_option
@home_option
@json_option
def withdraw(winston: int, recipient: str, path: Path | None, wait: bool, home: Path | None, as_json: bool) -> None:
    """Burn AMOUNT of wAR and get as much AR, less the bridge's fee."""
    asyncio.run(_withdraw(winston, recipient, path, wait, home, as_json))


@command.command("status", cls=TakesIds)
@click.argument("id", required=False)
@home_option
@json_option
def status(id: str | None, home: Path | None, as_json: bool) -> None:
    """Show the vault and whether it backs all wAR; with an ID, one deposit or withdrawal.

    Ends with status 1 when wAR is not backed.
    """
    asyncio.run(_status(id, home, as_json))


@dataclass(frozen=True)
class At:
    """A running node's bridge, and who uses it."""

    reached: Any
    bridge: Any
    home: Any

    def wallet(self, path: Path | None) -> Wallet:
        return load_wallet(path) if path else self.home.wallet()


@asynccontextmanager
async def _at(home: Path | None) -> AsyncIterator[At]:
    from puna.client.reach import running_at
    from puna.services.bridge.client import BridgeClient

    place = home_of(home)
    async with running_at(place) as reached:
        yield At(reached, BridgeClient(reached.link.web, reached.link.url("gateway")), place)


async def _deposit(winston, recipient, path, wait, home, as_json) -> None:
    from puna.services.token.client import format_war

    async with _at(home) as at:
        wallet = at.wallet(path)
        id = await at.bridge.deposit(wallet, winston, recipient)
        entry = await _followed(at, id, wait, as_json)
        if as_json:
            return print_json(_told(entry))
        if wait:
            click.echo(f"{format_war(winston)} wAR for {entry['recipient']}\ntransaction {id}")
        else:
            click.echo(f"transaction {id}\nFollow it with: puna bridge status {id}")


async def _withdraw(winston, recipient, path, wait, home, as_json) -> None:
    from puna.services.bridge.client import withdraw as burn
    from puna.services.token.client import format_war

    async with _at(home) as at:
        wallet = at.wallet(path)
        if not recipient and wallet.signature_type != SIGNATURE_TYPE:
            raise Invalid(
                f"The wallet {wallet.address} cannot spend AR: only RSA keys sign layer-1 transactions.",
                "Name who gets the AR with --to.",
            )
        id = await burn(
            at.reached.link, wallet, at.reached.network.token, at.bridge, winston, recipient or wallet.address
        )
        entry = await _followed(at, id, wait, as_json)
        if as_json:
            return print_json(_told(entry))
        net, fee = (format_war(int(entry[name])) for name in ("quantity", "fee"))
        if wait:
            click.echo(f"{net} AR for {entry['recipient']} (fee {fee} wAR)\ntransaction {entry['targetChainTxHash']}")
        click.echo(f"burn {id}")
        if not wait:
            click.echo(f"{net} AR will come. Follow it with: puna bridge status {id}")


async def _followed(at: At, id: str, wait: bool, as_json: bool) -> dict[str, Any]:
    """The entry at its end, or now when nobody waits for that. Raises Invalid when it failed."""
    if not wait:
        return await at.bridge.entry(id)
    entry: dict[str, Any] = {}
    with progress(as_json) as line:
        async for entry in at.bridge.follow(id, PATIENCE_S):
            needed = entry["confirmNum"] + entry["confirmRange"]
            line(f"{PHASES.get(entry['status'], entry['status'])} ({entry['confirmNum']} of {needed} confirmations)")
    if entry["status"] != "success":
        what = "is sent back" if entry["errMsg"] else "is not on the weave"
        raise Invalid(f"{id} {what}. {entry['errMsg']}".rstrip(), f"See: puna bridge status {id}")
    return entry


async def _status(id: str | None, home: Path | None, as_json: bool) -> None:
    async with _at(home) as at:
        if id:
            entry = await at.bridge.entry(id)
            print_json(_told(entry)) if as_json else _print_entry(entry)
            return
        told = await at.bridge.status()
    print_json(told) if as_json else _print_status(told)
    if told["holds"] is False:
        raise NodeError("wAR IS NOT BACKED by the vault.", "Close the bridge, and look into node.log in the home.")


def _told(entry: dict[str, Any]) -> dict[str, Any]:
    from puna.services.token.client import format_war

    return entry | {"amount": format_war(int(entry["quantity"]))}


def _print_entry(entry: dict[str, Any]) -> None:
    from puna.services.token.client import format_war

    came, goes = ("AR", "wAR") if entry["txType"] == "mint" else ("wAR", "AR")
    click.echo(f"{entry['status']}: {format_war(int(entry['quantity']))} {came} to {goes}, for {entry['recipient']}")
    if entry["blockHeight"] >= 0:
        needed = entry["confirmNum"] + entry["confirmRange"]
        click.echo(f"in block {entry['blockHeight']}, {entry['confirmNum']} of {needed} confirmations")
    if entry["targetChainTxHash"]:
        click.echo(f"{'message' if came == 'AR' else 'transaction'} {entry['targetChainTxHash']}")
    if entry["errMsg"]:
        click.echo(entry["errMsg"])


def _print_status(told: dict[str, Any]) -> None:
    from puna.services.token.client import format_war

    click.echo(f"{'vault':<10}{told['vault_address']}")
    if told["holds"] is not None:
        amount = {name: format_war(int(told[name])) for name in ("vault", "supply", "pending", "pending_deposits")}
        amount |= {name: format_war(abs(int(told[name]))) for name in ("surplus", "pending_payouts")}
        click.echo(f"{'has':<10}{amount['vault']} AR at height {told['height']}")
        click.echo(f"{'pending':<10}{amount['pending']} AR: deposits {amount['pending_deposits']}, "
                   f"payouts {amount['pending_payouts']}")  # fmt: skip
        click.echo(f"{'supply':<10}{amount['supply']} wAR")
        lack = f"NOT BACKED: {amount['surplus']} AR are missing"
        more = f"backed, with {amount['surplus']} AR more than is needed" if int(told["surplus"]) else "backed exactly"
        click.echo(f"{'wAR is':<10}{more if told['holds'] else lack}")
        for entry in told["waiting"]:
            _print_entry(entry)
        for payout in told["open_payouts"]:
            click.echo(f"owed: {format_war(int(payout['quantity']))} AR to {payout['recipient']}, {payout['id']}")
    for trouble in told["trouble"]:
        click.echo(trouble, err=True)

"""`puna wallet`: make a wallet, show its address and what it has in wAR and AR, send wAR."""

import asyncio
from pathlib import Path

import click

from puna.arweave.wallet import load_wallet, new_rsa_wallet, save_wallet
from puna.cli.show import TakesIds, home_of, home_option, json_option, print_json
from puna.errors import Invalid


@click.group("wallet")
def command() -> None:
    """Make a wallet, show its address and balance, send wAR."""


@command.command("new")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@home_option
@json_option
def new(path: Path | None, home: Path | None, as_json: bool) -> None:
    """Make an RSA wallet (a JWK file, as every Arweave tool reads it); the home's own when PATH is left out."""
    if path is None:
        place = home_of(home)
        place.create()
        path = place.wallet_path
    if path.exists():
        raise Invalid(f"There is a file at {path} already; a wallet is never overwritten.", "Name another path.")
    wallet = new_rsa_wallet()
    save_wallet(wallet, path)
    if as_json:
        print_json({"path": str(path), "address": wallet.address})
    else:
        click.echo(f"{wallet.address}\nsaved in {path}: keep it, nobody can make it again")


@command.command("address")
@click.option("--wallet", "path", type=click.Path(path_type=Path), help="A JWK file (default: the home's wallet).")
@home_option
@json_option
def address(path: Path | None, home: Path | None, as_json: bool) -> None:
    """Show a wallet's address."""
    wallet = load_wallet(path) if path else home_of(home).wallet()
    if as_json:
        print_json({"address": wallet.address})
    else:
        click.echo(wallet.address)


@command.command("balance", cls=TakesIds)
@click.argument("owner", required=False)
@click.option("--wallet", "path", type=click.Path(path_type=Path), help="A JWK file (default: the home's wallet).")
@home_option
@json_option
def balance(owner: str | None, path: Path | None, home: Path | None, as_json: bool) -> None:
    """Show what an address has (default: the home's wallet): wAR, which processes take, and AR, on layer 1."""
    place = home_of(home)
    if owner is None:
        owner = (load_wallet(path) if path else place.wallet()).address
    winston, ar_winston = asyncio.run(_balance(place, _address(owner)))
    from puna.services.token.client import format_war

    if as_json:
        told = {"address": owner, "winston": str(winston), "war": format_war(winston)}
        print_json(told | {"ar_winston": str(ar_winston), "ar": format_war(ar_winston)})
    else:
        click.echo(f"{format_war(winston)} wAR ({winston} winston)  {owner}")
        click.echo(f"{format_war(ar_winston)} AR ({ar_winston} winston)")


class Winston(click.ParamType):
    """A whole number of winston; 10^12 of them are one wAR."""

    name = "WINSTON"

    def convert(self, value, param, ctx) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise Invalid(
                f"{text!r} is not an amount.", "Give a whole number of winston above 0; 1000000000000 are one wAR."
            )
        return int(text)


@command.command("send", cls=TakesIds)
@click.argument("recipient", metavar="ADDRESS")
@click.argument("winston", type=Winston())
@click.option("--wallet", "path", type=click.Path(path_type=Path), help="A JWK file (default: the home's wallet).")
@home_option
@json_option
def send(recipient: str, winston: int, path: Path | None, home: Path | None, as_json: bool) -> None:
    """Send wAR to an address or a process."""
    place = home_of(home)
    wallet = load_wallet(path) if path else place.wallet()
    message = asyncio.run(_send(place, wallet, _address(recipient), winston))
    from puna.services.token.client import format_war

    if as_json:
        told = {"message": message, "from": wallet.address, "to": recipient, "winston": str(winston)}
        print_json(told | {"war": format_war(winston)})
    else:
        click.echo(f"{format_war(winston)} wAR ({winston} winston) sent to {recipient}\nmessage {message}")


async def _send(home, wallet, recipient: str, winston: int) -> str:
    from puna.cli.network import network_at
    from puna.services.token.client import balance as token_balance
    from puna.services.token.client import format_war, transfer

    async with network_at(home, packages=False) as network:
        token = network.network.token
        owned = await token_balance(network.link, token, wallet.address)
        if owned < winston:
            raise Invalid(
                f"The wallet {wallet.address} has {format_war(owned)} wAR, less than {format_war(winston)}.",
                "Send less, or name another wallet with --wallet.",
            )
        return await transfer(network.link, wallet, token, recipient, winston)


def _address(text: str) -> str:
    from puna.arweave.ids import is_id

    if not is_id(text) and not text.startswith("0x"):
        raise Invalid(f"{text!r} is not an address.", "An address has 43 letters, digits, '-' or '_'.")
    return text


async def _balance(home, owner: str) -> tuple[int, int]:
    """Winston of wAR, and winston of AR."""
    from puna.cli.network import network_at
    from puna.services.token.client import balance as token_balance

    async with network_at(home, packages=False) as network:
        war = await token_balance(network.link, network.network.token, owner)
        return war, await network.gateway.balance(owner)

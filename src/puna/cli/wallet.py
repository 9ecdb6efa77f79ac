"""`puna wallet`: make a wallet, show its address, ask the wAR token for its balance."""

import asyncio
from pathlib import Path

import click

from puna.arweave.wallet import load_wallet, new_rsa_wallet, save_wallet
from puna.cli.show import home_of, home_option, json_option, print_json
from puna.errors import Invalid


@click.group("wallet")
def command() -> None:
    """Make a wallet, show its address and balance."""


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


@command.command("balance")
@click.argument("owner", required=False)
@click.option("--wallet", "path", type=click.Path(path_type=Path), help="A JWK file (default: the home's wallet).")
@home_option
@json_option
def balance(owner: str | None, path: Path | None, home: Path | None, as_json: bool) -> None:
    """Show the wAR balance of an address (default: the home's wallet)."""
    place = home_of(home)
    if owner is None:
        owner = (load_wallet(path) if path else place.wallet()).address
    winston = asyncio.run(_balance(place, owner))
    from puna.services.token.client import format_war

    if as_json:
        print_json({"address": owner, "winston": str(winston), "war": format_war(winston)})
    else:
        click.echo(f"{format_war(winston)} wAR ({winston} winston)  {owner}")


async def _balance(home, owner: str) -> int:
    from puna.arweave.ids import is_id
    from puna.cli.network import network_at
    from puna.services.token.client import balance as token_balance

    if not is_id(owner) and not owner.startswith("0x"):
        raise Invalid(f"{owner!r} is not an address.", "An address has 43 letters, digits, '-' or '_'.")
    async with network_at(home, packages=False) as network:
        return await token_balance(network.link, network.network.token, owner)

"""`puna key`: makes, lists and revokes the API keys that programs pay with at the OpenAI and Ollama doors."""

import asyncio
from pathlib import Path

import click

from puna.cli.show import home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid

WINSTON_PER_WAR = 10**12
BUDGET_DEFAULT = "0.01wAR"


class Amount(click.ParamType):
    """An amount: a whole number of winston, or a decimal number of wAR with its unit."""

    name = "AMOUNT"

    def convert(self, value, param, ctx) -> int:
        text = str(value).strip().lower()
        number, unit = (text[:-3], WINSTON_PER_WAR) if text.endswith("war") else (text, 1)
        whole, _, rest = number.strip().partition(".")
        is_plain = (whole + rest).isascii() and (whole + rest).isdigit() and len(whole) <= 26
        if not is_plain or len(rest) > 12 or (rest and unit == 1) or (not rest and "." in number):
            raise Invalid(
                f"{value!r:.60} is not an amount.",
                "Give wAR, like 0.01wAR, or a whole number of winston, like 1000000.",
            )
        winston = int(whole or "0") * unit + (int(rest.ljust(12, "0")) if rest else 0)
        if winston < 1:
            raise Invalid("A budget of nothing buys nothing.", "Give one, like --budget 0.01wAR.")
        return winston


@click.group("key")
def command() -> None:
    """Make, list and revoke the API keys of the OpenAI and Ollama doors."""


@command.command("create")
@click.option("--budget", type=Amount(), default=BUDGET_DEFAULT, show_default=True, help="wAR that the key may spend.")
@click.option("--name", default="", help="What you call it.")
@click.option(
    "--wallet", type=click.Path(path_type=Path), help="A JWK file that pays the budget in (default: the home's)."
)
@home_option
@json_option
def create(budget: int, name: str, wallet: Path | None, home: Path | None, as_json: bool) -> None:
    """Make a key with a wallet and a budget of its own. The key is shown once."""
    with progress(as_json) as line:
        shown, key = asyncio.run(_create(home_of(home), budget, name, wallet, line))
    if as_json:
        print_json({"key": shown, "wallet": key.wallet, "budget_winston": key.budget_winston})
        return
    from puna.services.token.client import format_war

    click.echo(f"{shown}\n\nKeep it: it is not shown again, and whoever has it can spend its budget.")
    click.echo(f"id      {key.id}\nwallet  {key.wallet}\nbudget  {format_war(budget)} wAR ({budget} winston)")


@command.command("ls")
@home_option
@json_option
def ls(home: Path | None, as_json: bool) -> None:
    """List the keys: their wallets, budgets, and what is left."""
    place = home_of(home)
    keys = _keys(place).all()
    with progress(as_json) as line:
        left = asyncio.run(_left(place, keys, line)) if keys else []
    if as_json:
        told = [
            {"id": key.id, "name": key.name, "state": key.state, "wallet": key.wallet,
             "budget_winston": key.budget_winston, "left_winston": winston, "created": key.created_ms}
            for key, winston in zip(keys, left, strict=True)
        ]  # fmt: skip
        print_json({"keys": told})
        return
    from puna.services.token.client import format_war

    if not keys:
        click.echo("There are no keys. Make one with: puna key create")
    for key, winston in zip(keys, left, strict=True):
        money = f"{format_war(winston)} of {format_war(key.budget_winston)} wAR left"
        click.echo(f"{key.id}  {key.state:<8}{key.wallet}  {money}  {key.name}".rstrip())


@command.command("revoke")
@click.argument("key")
@click.option("--to", "recipient", default=None, help="An address that gets what is left (default: the home's wallet).")
@home_option
@json_option
def revoke(key: str, recipient: str | None, home: Path | None, as_json: bool) -> None:
    """Make KEY (its id, its name or itself) useless, and return what is left of its budget. Safe to repeat."""
    from puna.arweave.ids import is_id

    if recipient is not None and not is_id(recipient):
        raise Invalid(f"{recipient!r:.60} is not an address.", "An address has 43 letters, digits, '-' or '_'.")
    place = home_of(home)
    named = _keys(place).find(key)
    with progress(as_json) as line:
        returned, to = asyncio.run(_revoke(place, named, recipient, line))
    if as_json:
        print_json({"id": named.id, "wallet": named.wallet, "returned_winston": returned, "to": to})
        return
    from puna.services.token.client import format_war

    click.echo(f"{named.id} is revoked. {format_war(returned)} wAR ({returned} winston) returned to {to}")


def _keys(home):
    from puna.api.keys import Keys

    return Keys(home.api_keys)


async def _create(home, budget: int, name: str, wallet_path: Path | None, line):
    from puna.api.keys import create as create_key
    from puna.arweave.wallet import load_wallet
    from puna.cli.network import network_at

    wallet = load_wallet(wallet_path) if wallet_path else None
    async with network_at(home, packages=False, progress=line) as network:
        line("paying the budget in")
        token = network.network.token
        return await create_key(_keys(home), network.link, wallet or home.wallet(), token, name, budget)


async def _left(home, keys, line) -> list[int]:
    from puna.cli.network import network_at
    from puna.services.token.client import balance

    async with network_at(home, packages=False, progress=line) as network:
        token = network.network.token
        return list(await asyncio.gather(*(balance(network.link, token, key.wallet) for key in keys)))


async def _revoke(home, key, recipient: str | None, line) -> tuple[int, str]:
    from puna.api.keys import revoke as revoke_key
    from puna.cli.network import network_at

    async with network_at(home, packages=False, progress=line) as network:
        to = recipient or home.wallet().address
        line("returning what is left")
        return await revoke_key(_keys(home), network.link, network.network.token, key, to), to

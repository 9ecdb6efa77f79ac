"""`puna quote`: what a question would cost before it is paid: price, place in the queue, time and memory."""

import asyncio
from pathlib import Path

import click

from puna.cli.ask import tokens_option
from puna.cli.show import home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid


@click.command("quote")
@click.argument("prompt")
@tokens_option
@click.option("--model", default=None, help="A model's name or id; its tokenizer then counts the prompt.")
@click.option("--system", default=None, help="A system text to go before the prompt.")
@home_option
@json_option
def command(prompt, tokens, model, system, home, as_json) -> None:
    """Show what a question would cost, and how long it would take, without paying."""
    if not prompt.strip():
        raise Invalid("The prompt is empty.", 'Say something, like: puna quote "What is the meaning of life?"')
    told, owned = asyncio.run(_quote(prompt, tokens, model, system, home_of(home), as_json))
    if as_json:
        print_json(told.to_json() | {"balance_winston": owned})
    else:
        _print(told, owned)


async def _quote(prompt, tokens, model, system, home, quiet):
    from puna.cli.network import network_at
    from puna.services.herder.offer import offer
    from puna.services.token.client import balance

    with progress(quiet) as line:
        async with network_at(home, packages=False, progress=line) as reached:
            network = reached.network
            named = network.model_id(model) if model else None
            told = await offer(
                reached.link, network, prompt, tokens, model=named, system=system, model_file=_files_of(home)
            )
            return told, await balance(reached.link, network.token, home.wallet().address)


def _files_of(home):
    """Finds published models in the home's store, which the node that runs on it leaves readable."""
    from puna.arweave.store.sqlite import open_store

    def path(id: str) -> Path | None:
        return open_store(home.weave, read_only=True).payload_path(id)

    return path


def _print(told, owned: int) -> None:
    from puna.services.token.client import format_war

    asked, prices = told.quote, told.prices
    words = asked.counted if asked.prompt_count != 1 else asked.counted.rstrip("s")
    click.echo(f"price     {format_war(asked.price)} wAR ({asked.price} winston) at most; unused tokens are refunded")
    click.echo(
        f"          ({prices.base_fee} + {prices.token_fee} x ({asked.prompt_count} {words} + {asked.tokens} tokens))"
        f" x {prices.multiplier}"
    )
    if owned < asked.price:
        click.echo(f"          your wallet has {format_war(owned)} wAR, which is too little")
    click.echo(f"model     {told.model_name}")
    click.echo(
        f"place     {asked.ahead} of {asked.queue_length} waiting jobs would go first;"
        f" {prices.workers_idle} of {prices.workers_in_service} workers idle"
    )
    wait, generate = asked.wait_ms / 1000, asked.duration_ms / 1000
    click.echo(f"time      about {wait + generate:.1f} s: {wait:.1f} s waiting, up to {generate:.1f} s generating")
    if told.memory is not None:
        click.echo(
            f"memory    {_size(told.memory.weights)} of weights, shared by all workers;"
            f" {_size(told.memory.context)} while it runs"
        )


def _size(count: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"

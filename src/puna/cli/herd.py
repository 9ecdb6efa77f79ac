"""`puna herd`: the herd live in the terminal (workers, leases, queue, prices, earnings), and its owner's orders."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from puna.cli.show import TakesIds, home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid

LOOK_S = 1.0
SHOWN_JOBS = 12


@click.group("herd", invoke_without_command=True)
@click.option("--once", is_flag=True, help="Show the herd as it is now, and end.")
@home_option
@json_option
@click.pass_context
def command(context, once, home, as_json) -> None:
    """Watch the herd: workers, leases, queue, prices, earnings. With a command: give it an order as its owner."""
    if context.invoked_subcommand is not None:
        return
    place = home_of(home)
    if as_json:
        from puna.services.herder.herd import to_json

        print_json(to_json(asyncio.run(_look(place))))
    elif once or not sys.stdout.isatty():
        _console().print(_page(asyncio.run(_look(place)), time.time()))
    else:
        with suppress(KeyboardInterrupt):
            asyncio.run(_watch(place))


# Looking --------------------------------------------------------------------------------------------------------------


async def _look(home):
    from puna.cli.network import network_at
    from puna.services.herder.herd import herd

    async with network_at(home, packages=False) as reached:
        return await herd(reached.link, reached.network.herder)


async def _watch(home) -> None:
    """Redraw until stopped. Needs a node that runs: a network embedded here would have nothing to do."""
    from rich.live import Live

    from puna.client.reach import running_at
    from puna.services.herder.herd import herd

    async with running_at(home) as reached:
        with Live(console=_console(), screen=True, auto_refresh=False) as live:
            while True:
                live.update(_page(await herd(reached.link, reached.network.herder), time.time()), refresh=True)
                await asyncio.sleep(LOOK_S)


def _console():
    from rich.console import Console

    return Console(highlight=False)


def _page(state, now_s: float):
    """The herd as rich draws it."""
    from rich.console import Group
    from rich.text import Text

    money = (
        f"credits {state.credits}  =  earned {state.earned}  +  refunded {state.refunded}  +  held {state.held} winston"
    )
    price = (
        f"price   {state.base_fee} + {state.token_fee} a token, x {state.multiplier}"
        + ("   PAUSED: new requests are refunded" if state.paused else "")
    )  # fmt: skip
    to_take = f"to withdraw {state.earned - state.withdrawn} winston"
    return Group(
        Text(f"herder  {state.herder}"), Text(price), Text(f"money   {money}"), Text(f"        {to_take}"), Text(""),
        _workers(state, now_s), Text(""), _queue(state, now_s),
    )  # fmt: skip


def _workers(state, now_s: float):
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left", title=f"{len(state.workers)} workers")
    for name in ("worker", "model", "state", "job", "tokens", "since", "due in", "jobs", "earned", "fails"):
        table.add_column(name, justify="left" if name in ("worker", "model", "state", "job") else "right")
    for worker in state.workers:
        table.add_row(
            _short(worker.id), worker.name or _short(worker.model), worker.state, _jobs(worker),
            str(worker.tokens or ""), _ago(worker.started, now_s), _ahead(worker.due, now_s),
            str(worker.answered), worker.earned, str(worker.failures or ""),
        )  # fmt: skip
    return table


def _jobs(worker) -> str:
    more = f" +{worker.jobs - 1}" if worker.jobs > 1 else ""
    return f"{worker.job}{more}" if worker.job else ""


def _queue(state, now_s: float):
    from rich.table import Table

    more = f", the first {SHOWN_JOBS}" if state.queue_length > SHOWN_JOBS else ""
    table = Table(box=None, pad_edge=False, title_justify="left", title=f"{state.queue_length} waiting{more}")
    for name in ("place", "job", "tokens", "paid", "x", "waits for", "refunded in"):
        table.add_column(name, justify="left" if name == "job" else "right")
    for place, job in enumerate(state.queue[:SHOWN_JOBS], start=1):
        table.add_row(
            str(place), job.job, str(job.tokens), job.paid, f"{job.multiplier:.2f}",
            _ago(job.at, now_s), _ahead(job.deadline, now_s),
        )  # fmt: skip
    return table


def _short(id: str) -> str:
    return f"{id[:8]}…" if len(id) > 10 else id


def _ago(ms: int | None, now_s: float) -> str:
    return "" if ms is None else _span(now_s - ms / 1000)


def _ahead(ms: int | None, now_s: float) -> str:
    return "" if ms is None else _span(ms / 1000 - now_s)


def _span(seconds: float) -> str:
    seconds = max(0, int(seconds))
    return f"{seconds} s" if seconds < 100 else f"{seconds // 60} min"


# Orders of the owner --------------------------------------------------------------------------------------------------


def _order(home: Path | None, as_json: bool, action: str, tags: dict[str, str], said: Callable[[object], str]) -> None:
    answer = asyncio.run(_ordered(home_of(home), as_json, action, tags))
    if as_json:
        print_json({"action": answer.action} | {name: value for name, value in answer.tags.items() if name in TOLD})
    else:
        click.echo(said(answer.tags))


TOLD = ("Queue-Length", "Base-Fee", "Token-Fee", "Worker", "State", "Quantity", "Recipient", "Model")


async def _ordered(home, quiet, action, tags):
    from puna.cli.network import network_at
    from puna.services.herder.herd import order

    with progress(quiet) as line:
        async with network_at(home, packages=False, progress=line) as reached:
            return await order(reached.link, home.keys().operator, reached.network.herder, action, tags)


@command.command("pause")
@home_option
@json_option
def pause(home, as_json) -> None:
    """Take no new requests: they are refunded. What waits is still answered."""
    _order(home, as_json, "Pause", {}, lambda told: f"Paused; {told['Queue-Length']} jobs wait and will be answered.")


@command.command("resume")
@home_option
@json_option
def resume(home, as_json) -> None:
    """Take requests again."""
    _order(home, as_json, "Resume", {}, lambda told: "The herd takes requests.")


@command.command("price")
@click.option("--base", type=int, help="Winston a request.")
@click.option("--token", type=int, help="Winston a token, of the prompt and of the answer.")
@home_option
@json_option
def price(base, token, home, as_json) -> None:
    """Set the prices of requests to come."""
    if base is None and token is None:
        raise Invalid("No price is given.", "Say --base WINSTON, --token WINSTON or both.")
    tags = {name: str(value) for name, value in (("Base-Fee", base), ("Token-Fee", token)) if value is not None}
    _order(
        home, as_json, "Set-Price", tags,
        lambda told: f"A request costs {told['Base-Fee']} winston and {told['Token-Fee']} a token.",
    )  # fmt: skip


@command.command("drain", cls=TakesIds)
@click.argument("worker")
@home_option
@json_option
def drain(worker, home, as_json) -> None:
    """Retire a worker: it finishes what it is at and gets nothing more."""
    _order(home, as_json, "Retire-Worker", {"Worker": worker}, lambda told: f"Worker {worker} is {told['State']}.")


@command.command("add", cls=TakesIds)
@click.argument("worker")
@click.option("--model", default=None, help="The model's name or id (default: the network's first).")
@home_option
@json_option
def add(worker, model, home, as_json) -> None:
    """Register a worker process, or bring back one that was retired or failed too often."""
    answer = asyncio.run(_added(home_of(home), worker, model))
    if as_json:
        print_json({"action": answer.action, "Worker": worker, "State": answer.tags["State"]})
    else:
        click.echo(f"Worker {worker} is {answer.tags['State']}.")


async def _added(home, worker, wanted):
    from puna.cli.network import network_at
    from puna.services.herder.herd import order

    async with network_at(home, packages=False) as reached:
        network = reached.network
        known = {each.id: each.model for each in network.herd}
        model = network.model_id(wanted) if wanted else known.get(worker, network.model)
        name = next(each.name for each in network.models if each.id == model)
        tags = {"Worker": worker, "Model": model, "Model-Name": name}
        return await order(reached.link, home.keys().operator, network.herder, "Register-Worker", tags)


@command.command("withdraw", cls=TakesIds)
@click.argument("recipient", metavar="ADDRESS")
@click.option("--winston", type=int, default=None, help="How much (default: all that was earned).")
@home_option
@json_option
def withdraw(recipient, winston, home, as_json) -> None:
    """Pay what the herd has earned to an address."""
    tags = {"Recipient": recipient} | ({"Quantity": str(winston)} if winston is not None else {})
    _order(home, as_json, "Withdraw", tags, lambda told: f"{told['Quantity']} winston go to {told['Recipient']}.")

"""`puna process`: spawn, send, read and watch processes. Thin: every subcommand is a call or two of `puna.client`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from puna.arweave.ids import id_bytes
from puna.cli.show import TakesIds, home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid

if TYPE_CHECKING:
    from puna.client import Client, Event, Result, Scheduled

STANDING = ("token", "herder", "worker")
SHOWN_CHARACTERS = 200  # of data and outputs in lists


class ProcessName(click.ParamType):
    """An id, or the name of a standing program. A wrong one is told before anything is started."""

    name = "PROCESS"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if value not in STANDING:
            id_bytes(value)
        return value


class Commands(click.Group):
    """Subcommands that take ids, some of which begin with a dash."""

    command_class = TakesIds


@click.group("process", cls=Commands)
def command() -> None:
    """Spawn processes, send them messages, read what they did.

    PROCESS is an id, or token, herder or worker. The running node is used, else an embedded one, or a network
    elsewhere with --url.
    """


def network_options(function: Callable[..., None]) -> Callable[..., None]:
    """What every subcommand has: which network, which wallet, which form of answer."""
    for option in (
        json_option,
        click.option("--wallet", type=click.Path(path_type=Path), help="A JWK file that signs (default: the home's)."),
        click.option("--url", metavar="URL", default=None, help="A Puna gateway elsewhere."),
        home_option,
    ):
        function = option(function)
    return function


def message_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--data-file", type=click.Path(path_type=Path), help="A file with the message's data."),
        click.option("--data", default=None, help="The message's data."),
        _tag_option,
        click.option("--action", default=None, help="The tag Action."),
    ):
        function = option(function)
    return function


_tag_option = click.option("--tag", "tags", metavar="NAME=VALUE", multiple=True, help="A tag; may be repeated.")


@contextmanager
def client(home: Path | None, url: str | None, wallet: Path | None, as_json: bool) -> Iterator[Client]:
    from puna.client import connect, embedded

    if url is not None and home is not None:
        raise Invalid("Both --url and --home name a network.", "Give one of them.")
    with progress(as_json) as line:
        if url is not None:
            connection = connect(url, wallet=wallet)
        else:
            connection = embedded(home_of(home).folder, wallet=wallet, progress=line)
        with connection as ao:
            line.clear()
            yield ao


@command.command("ls")
@click.option("--owner", default=None, help="Whose processes (default: the wallet's).")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True, help="The newest so many.")
@network_options
def ls(owner, limit, home, url, wallet, as_json) -> None:
    """List the processes that a wallet spawned, the newest first."""
    with client(home, url, wallet, as_json) as ao:
        tags = {"Data-Protocol": "ao", "Type": "Process"}
        found = ao.find(tags=tags, owners=owner or ao.wallet.address, limit=limit)
    if as_json:
        print_json({"processes": [{"id": each.id, "name": each.tags.get("Name", "")} for each in found]})
    for each in () if as_json else found:
        click.echo(f"{each.id}  {each.tags.get('Name', '')}".rstrip())


@command.command("show")
@click.argument("process", type=ProcessName())
@network_options
def show(process, home, url, wallet, as_json) -> None:
    """Show who owns PROCESS, its module and tags, and how many messages it got."""
    with client(home, url, wallet, as_json) as ao:
        (born,) = ao.schedule(named(ao, process), limit=1)
        newest = ao.results(born.item_id, newest_first=True, limit=1)
        item = born.message
    told = {
        "id": item.id,
        "name": item.tags.get("Name", ""),
        "owner": item.owner,
        "spawner": item.tags.get("From-Process", ""),
        "module": item.tags.get("Module", ""),
        "scheduler": item.tags.get("Scheduler", ""),
        "authorities": list(item.tags.all("Authority")),
        "spawned_ms": born.timestamp_ms,
        "newest_result": newest.kept[0].nonce if newest else None,
        "tags": [list(pair) for pair in item.tags.pairs],
        "data_bytes": len(item.data),
    }
    if as_json:
        return print_json(told)
    for name in ("id", "name", "owner", "spawner", "module", "scheduler"):
        if told[name]:
            click.echo(f"{name:<15}{told[name]}")
    click.echo(f"{'authorities':<15}{', '.join(told['authorities'])}")
    click.echo(f"{'newest result':<15}of message {told['newest_result']}")


@command.command("spawn")
@click.argument("program", required=False, type=click.Path(path_type=Path))
@click.option("--name", default=None, help="The tag Name.")
@_tag_option
@click.option("--module", default=None, help="A module's id (default: the network's Lua module).")
@network_options
def spawn(program, name, tags, module, home, url, wallet, as_json) -> None:
    """Spawn a process and print its id. PROGRAM is a Lua file that it begins with."""
    pairs = [("Name", name)] if name else []
    data = b"" if program is None else read_file(program)
    pairs += [("On-Boot", "Data")] if program is not None else []
    pairs += [read_tag(tag) for tag in tags]
    with client(home, url, wallet, as_json) as ao:
        process = ao.spawn(data, tags=pairs, module=module)
        result = ao.result(process)
    say(as_json, {"process": process}, result, f"{process}\n")


@command.command("send")
@click.argument("process", type=ProcessName())
@message_options
@network_options
def send(process, action, tags, data, data_file, home, url, wallet, as_json) -> None:
    """Send PROCESS a message; prints its id and what it did."""
    pairs, body = read_message(action, tags, data, data_file)
    with client(home, url, wallet, as_json) as ao:
        target = named(ao, process)
        message = ao.message(target, pairs, body)
        result = ao.result(target, message)
    say(as_json, {"process": target, "message": message}, result, f"message {message}\n")


@command.command("dry-run")
@click.argument("process", type=ProcessName())
@message_options
@click.option("--at", default=None, help="A message: ask the process as it was right after it.")
@network_options
def dry_run(process, action, tags, data, data_file, at, home, url, wallet, as_json) -> None:
    """Ask PROCESS without a message on chain; changes nothing."""
    pairs, body = read_message(action, tags, data, data_file)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Invalid("The data is not UTF-8 text, and a dry-run travels as JSON.", "Give text.") from None
    with client(home, url, wallet, as_json) as ao:
        target = named(ao, process)
        result = ao.dry_run(target, pairs, text, at=at)
    say(as_json, {"process": target}, result)


@command.command("eval")
@click.argument("process", type=ProcessName())
@click.argument("lua")
@network_options
def evaluate(process, lua, home, url, wallet, as_json) -> None:
    """Have PROCESS run LUA; it must be yours."""
    with client(home, url, wallet, as_json) as ao:
        target = named(ao, process)
        message = ao.message(target, {"Action": "Eval"}, lua)
        result = ao.result(target, message)
    say(as_json, {"process": target, "message": message}, result)


@command.command("result")
@click.argument("process", type=ProcessName())
@click.argument("message", required=False)
@network_options
def result(process, message, home, url, wallet, as_json) -> None:
    """Print what MESSAGE did in PROCESS; without MESSAGE, how PROCESS began."""
    with client(home, url, wallet, as_json) as ao:
        target = named(ao, process)
        found = ao.result(target, message)
    say(as_json, {"process": target, "message": message or target}, found)


@command.command("log")
@click.argument("process", type=ProcessName())
@click.option("--after", type=int, default=-1, help="A nonce: begin with what is next to it.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@network_options
def log(process, after, limit, home, url, wallet, as_json) -> None:
    """List the messages that PROCESS got, in their order."""
    with client(home, url, wallet, as_json) as ao:
        places = ao.schedule(named(ao, process), after=after, limit=limit)
    if as_json:
        return print_json({"messages": [place_json(place) for place in places]})
    for place in places:
        item = place.message
        words = f"{item.action or '-':<16} from {item.sender}" if item else "assigned"
        click.echo(f"{place.nonce:>6}  {place.item_id}  {words}")


@command.command("watch")
@click.argument("process", type=ProcessName())
@network_options
def watch(process, home, url, wallet, as_json) -> None:
    """Print what happens in PROCESS until stopped; with --json, an object for each line."""
    with client(home, url, wallet, as_json) as ao, ao.watch(named(ao, process)) as news:
        click.echo("Listening. Stop with Ctrl-C.", err=True)
        for event in news:
            told = event_json(event)
            if as_json:
                print_json(told)
            else:
                click.echo("  ".join(f"{name} {cut(str(value))}" for name, value in told.items()))


# What is given and what is shown


def named(ao: Client, process: str) -> Any:
    """An id, or the name of a standing program; of several workers, the first."""
    if process not in STANDING:
        return process
    return ao.network.workers[0] if process == "worker" else getattr(ao.network, process)


def read_tag(text: str) -> tuple[str, str]:
    name, equal, value = text.partition("=")
    if not equal or not name:
        raise Invalid(f"--tag {text!r:.60} is no tag.", "Write it like --tag Quantity=5.")
    return name, value


def read_message(
    action: str | None, tags: Sequence[str], data: str | None, data_file: Path | None
) -> tuple[list[tuple[str, str]], bytes]:
    if data is not None and data_file is not None:
        raise Invalid("Both --data and --data-file are given.", "Give one of them.")
    pairs = [("Action", action)] if action else []
    body = read_file(data_file) if data_file is not None else (data or "").encode()
    return pairs + [read_tag(tag) for tag in tags], body


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"The file {path} cannot be read: {error.strerror}.", "Name another one.") from error


def say(as_json: bool, ids: dict[str, str], result: Result, before: str = "") -> None:
    """Prints a result, and exits with 1 when the process failed."""
    if as_json:
        print_json(ids | result_json(result))
    else:
        click.echo(before + (result.output + "\n" if result.output else ""), nl=False)
        for message in result.messages:
            click.echo(f"  sends {message.action or 'a message'} to {message.target}: {cut(message.data)}")
        for spawned in result.spawns:
            click.echo(f"  spawns {spawned.tags.get('Name', 'a process')}")
    if result.error is not None:
        if not as_json:
            click.echo(f"The process failed: {result.error}", err=True)
        raise SystemExit(1)


def cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "…"


def result_json(result: Result) -> dict[str, Any]:
    return {
        "output": result.output,
        "error": result.error,
        "gas_used": result.gas_used,
        "messages": [
            {"target": each.target, "tags": [list(pair) for pair in each.tags.pairs], "data": each.data}
            for each in result.messages
        ],
        "spawns": [
            {"tags": [list(pair) for pair in each.tags.pairs], "data": each.data} for each in result.spawns
        ],
        "assignments": [
            {"processes": list(each.processes), "message": each.message} for each in result.assignments
        ],
    }  # fmt: skip


def place_json(place: Scheduled) -> dict[str, Any]:
    item = place.message
    told = {"nonce": place.nonce, "timestamp_ms": place.timestamp_ms, "id": place.item_id}
    if item is not None:
        told |= {"from": item.sender, "tags": [list(pair) for pair in item.tags.pairs], "data": item.text}
    return told


def event_json(event: Event) -> dict[str, Any]:
    told = {field.name: getattr(event, field.name) for field in fields(event)}
    if "tags" in told:
        told["tags"] = [list(pair) for pair in told["tags"].pairs]
    return {name: value for name, value in told.items() if value is not None}

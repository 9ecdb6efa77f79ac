"""`puna aos [NAME or ID]`: the options, and what happens before and after the prompt."""

import asyncio
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import click

from puna.cli.show import TakesIds, home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid, Missing


@dataclass(frozen=True)
class Wanted:
    """What the command line asked for."""

    name: str
    load: tuple[Path, ...]
    run: str | None
    watch: str | None
    listing: bool
    data: Path | None
    tag_names: tuple[str, ...]
    tag_values: tuple[str, ...]
    module: str | None
    sqlite: bool
    cron: str | None
    monitor: bool
    dry_run: bool
    wallet: Path | None
    scheduler: str | None
    authority: str | None
    home: Path | None
    as_json: bool
    urls: dict[str, str | None]

    @property
    def only_for_new(self) -> str:
        """The option that only a new process can take, as the person wrote it; "" when none was given."""
        given = {
            "--module": self.module, "--sqlite": self.sqlite, "--cron": self.cron, "--data": self.data,
            "--tag-name": self.tag_names,
        }  # fmt: skip
        return next((name for name, value in given.items() if value), "")


def _path(*names: str, **options):
    return click.option(*names, type=click.Path(path_type=Path), **options)


def _url(name: str, what: str):
    return click.option(f"--{name}", metavar="URL", help=what)


@click.command("aos", cls=TakesIds)
@click.argument("name", required=False, metavar="[NAME or ID]", default="default")
@_path("--load", multiple=True, metavar="FILE", help="Evaluate a Lua file first; may be given again.")
@click.option("--run", metavar="CODE", help="Evaluate this, show the result and leave; status 1 when it fails.")
@click.option("--watch", metavar="PROCESS", help="Follow what a process says, without a prompt.")
@click.option("--list", "listing", is_flag=True, help="List the processes of the wallet.")
@click.option("--dry-run", is_flag=True, help="Begin with dry-runs: nothing that is typed is sent.")
@click.option("--monitor", is_flag=True, help="Have what the process's crons send delivered.")
@_path("--data", metavar="FILE", help="New process: its data.")
@click.option("--tag-name", "tag_names", multiple=True, metavar="X", help="New process: the name of a tag.")
@click.option("--tag-value", "tag_values", multiple=True, metavar="Y", help="New process: the value of that tag.")
@click.option("--module", envvar="AOS_MODULE", metavar="ID", help="New process: its module, by id or name.")
@click.option("--sqlite", is_flag=True, help="New process: the module with SQLite.")
@click.option("--cron", metavar="N-UNIT", help="New process: a cron, such as 10-minutes.")
@_path("--wallet", help="A JWK file (default: the home's wallet).")
@_url("url", "A node of Puna elsewhere, by its gateway.")
@_url("gateway-url", "A gateway elsewhere.")
@_url("mu-url", "A messenger unit elsewhere.")
@_url("su-url", "A scheduler unit elsewhere.")
@_url("cu-url", "A compute unit elsewhere.")
@click.option("--scheduler", envvar="SCHEDULER", metavar="ADDRESS", help="New process: its scheduler.")
@click.option("--authority", envvar="AUTHORITY", metavar="ADDRESS", help="New process: whose messages it trusts.")
@home_option
@json_option
def command(gateway_url, mu_url, su_url, cu_url, url, **options) -> None:
    """Enter a process by its name or id; a new name makes a new process.

    What is typed is Lua, evaluated in the process. The network is the one of this home (a running `puna up`, else one
    that is started for as long as the console is open), or one named by URLs.
    """
    urls = {"gateway": gateway_url, "mu": mu_url, "su": su_url, "cu": cu_url, "url": url}
    raise SystemExit(asyncio.run(_aos(Wanted(urls=urls, **options))))


async def _aos(wanted: Wanted) -> int:
    import os

    from puna.arweave.wallet import load_wallet

    from .place import elsewhere, net_at

    home = home_of(wanted.home)
    there = elsewhere(wanted.urls, os.environ)
    # What is wrong with files is told before anything is started.
    chosen = load_wallet(wanted.wallet) if wanted.wallet else None
    _check(wanted)
    with progress(wanted.as_json) as line:
        async with net_at(home, there, line) as net:
            if chosen is None:
                home.create()
                chosen = await asyncio.to_thread(home.wallet_or_new)
            line("looking for the process")
            return await _at(net, chosen, home, wanted, line)


def _check(wanted: Wanted) -> None:
    from .bundle import bundle
    from .processes import pairs

    if not wanted.name.strip():
        raise Invalid("The name is empty.", "Name a process, like: puna aos chat")
    pairs(wanted.tag_names, wanted.tag_values)
    for path in wanted.load:
        bundle(path.expanduser())
    if wanted.data and not wanted.data.is_file():
        raise Missing(f"There is no file {wanted.data}.", "Name one that exists with --data.")


async def _at(net, wallet, home, wanted: Wanted, line) -> int:
    from .processes import by_id, of_wallet, standing

    known = await standing(net)
    if wanted.listing:
        found = await of_wallet(net, wallet)
        line.clear()
        _print_list(found, wallet.address, wanted.as_json)
        return 0
    if wanted.watch:
        process, new = await by_id(net, wanted.watch), False
    else:
        process, new = await _process(net, wallet, wanted, known, line)
    return await _enter(net, wallet, process, new, known, home, wanted, line)


async def _process(net, wallet, wanted: Wanted, known, line):
    """The process of that name or id, and whether it is new."""
    from puna.arweave.ids import is_id

    from .processes import Birth, by_id, module_named, of_wallet, pairs, spawn

    if is_id(wanted.name):
        return await by_id(net, wanted.name), False
    found = await of_wallet(net, wallet, wanted.name)
    if len(found) > 1:
        line.clear()
        return await _chosen(found, wanted), False
    if found:
        return found[0], False
    module = wanted.module and await module_named(net, wanted.module)
    if wanted.sqlite and not module:
        module = known.sqlite_module
        if not module:
            raise Invalid("This network has no module with SQLite.", "Leave --sqlite out, or name one with --module.")
    line("making the process")
    birth = Birth(
        name=wanted.name,
        module=module or known.module,
        scheduler=wanted.scheduler or known.scheduler,
        authority=wanted.authority or known.authority,
        registry=known.registry,
        tags=pairs(wanted.tag_names, wanted.tag_values),
        cron=wanted.cron or "",
        data=wanted.data.read_bytes() if wanted.data else b"",
    )
    return await spawn(net, wallet, birth), True


async def _chosen(found, wanted: Wanted):
    """One of several processes of the same name."""
    from .plain import say
    from .present import choice

    ids = ", ".join(process.id for process in found)
    if wanted.run is not None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Invalid(f"Several processes are called {wanted.name}: {ids}.", "Say which by its id.")
    say(f"Several processes are called {wanted.name}:")
    say(choice([(process.id, _about(process)) for process in found]))
    number = await asyncio.to_thread(click.prompt, "Which", type=click.IntRange(1, len(found)), default=1)
    return found[number - 1]


def _about(process) -> str:
    from .present import time_of

    since = time_of(process.block_s * 1000) if process.block_s else "not in a block yet"
    fork = f", a fork of {process.tag('Fork-Of')}" if process.tag("Fork-Of") else ""
    return since + fork


async def _enter(net, wallet, process, new: bool, known, home, wanted: Wanted, line) -> int:
    from . import plain
    from .console import Console
    from .session import Read, Session

    talks = wanted.run is None and not wanted.watch and not wanted.as_json
    interactive = talks and sys.stdin.isatty() and sys.stdout.isatty()
    say, lent = plain.say, nullcontext
    if interactive:
        from .terminal import Keyboard, Screen, interact

        screen, keyboard = Screen(plain.colours_wanted(sys.stdout)), Keyboard()
        say, lent = screen.say, keyboard.lent
    folder = home.folder / "aos"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    session = Session(process.id, wallet.address, dry=wanted.dry_run, as_json=wanted.as_json)
    console = Console(
        net, wallet, process, known, session,
        say=say, lent=lent, folder=folder, patient=interactive,
    )  # fmt: skip
    line("entering the process")
    if new:
        await console.born()
    await console.prepare()
    if wanted.watch:
        line.clear()
        if not wanted.as_json:
            say(f"Watching {process.tag('Name') or 'a process'} {process.id}. Ctrl-C ends it.")
        await plain.watch(console)
    await console.connect()
    line.clear()
    if talks:
        console.greet(new)
    if wanted.only_for_new and not new:
        click.echo(f"{wanted.only_for_new} is for new processes: {process.id} was there already.", err=True)
    if wanted.monitor:
        await console.typed(".monitor")
    for path in wanted.load:
        await console.load(path)
    if wanted.run is not None:
        if not console.session.failures:
            await console.run(Read("--run", wanted.run))
    elif interactive:
        await interact(console, screen, keyboard, folder / f"{process.id}.history")
    else:
        await plain.read_through(console, sys.stdin)
    return 1 if console.session.failures and not interactive else 0


def _print_list(found, address: str, as_json: bool) -> None:
    if as_json:
        rows = [{"id": process.id, "name": process.tag("Name"), "module": process.tag("Module")} for process in found]
        print_json({"address": address, "processes": rows})
        return
    if not found:
        click.echo(f"The wallet {address} has no processes. Make one with: puna aos")
    for process in found:
        click.echo(f"{process.tag('Name') or '(no name)':<24}{process.id}  {_about(process)}")

"""`puna su`, `puna cu`, `puna mu`: one unit by itself, with the others on other machines."""

import asyncio

import click

from puna.cli.show import home_of, home_option, json_option, print_json, progress
from puna.cli.up import loop_factory, on_signals
from puna.errors import Invalid

_host = click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
_port = click.option(
    "--port",
    type=click.IntRange(0, 65531),
    default=4000,
    show_default=True,
    help="The port of this unit's gateway; MU, SU and CU take the 2nd, 3rd and 4th after it. 0 picks free ones.",
)


def _url(name: str, what: str, required: bool = True):
    return click.option(f"--{name}", name, metavar="URL", required=required, help=what)


@click.command("su")
@_url("gateway", "Where items that are assigned by id are read from.", required=False)
@_host
@_port
@home_option
@json_option
def su(gateway, host, port, home, as_json) -> None:
    """Run a scheduler unit by itself."""
    _run("su", {"gateway": gateway}, home, as_json, host=host, port=port)


@click.command("cu")
@_url("su", "The scheduler to follow.")
@_url("gateway", "Where modules, models and assigned items are read from.", required=False)
@click.option("--threads", type=click.IntRange(1, 256), default=None, help="Threads of the engine.")
@_host
@_port
@home_option
@json_option
def cu(su, gateway, threads, host, port, home, as_json) -> None:
    """Run a compute unit by itself."""
    _run("cu", {"su": su, "gateway": gateway}, home, as_json, host=host, port=port, threads=threads)


@click.command("mu")
@_url("su", "The scheduler to send to.")
@_url("cu", "The compute unit to ask for results.")
@click.option("--raise", "raise_herd", is_flag=True, help="Spawn token, herder and workers, as `puna up` does.")
@click.option("--workers", type=click.IntRange(1, 64), default=None, help="Workers of a herd that is raised.")
@_host
@_port
@home_option
@json_option
def mu(su, cu, raise_herd, workers, host, port, home, as_json) -> None:
    """Run a messenger unit by itself."""
    _run("mu", {"su": su, "cu": cu}, home, as_json, host=host, port=port, raise_herd=raise_herd, workers=workers)


def _run(unit: str, urls: dict[str, str | None], home, as_json: bool, **options) -> None:
    from puna.node.alone import Elsewhere, Options

    for name, url in urls.items():
        if url is not None and not url.startswith(("http://", "https://")):
            raise Invalid(f"--{name} {url} is not a URL.", "Give one that begins with https:// or http://.")
    elsewhere = Elsewhere(**{name: (url or "").rstrip("/") for name, url in urls.items()})
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_until_stopped(unit, home_of(home), Options(**options), elsewhere, as_json))


async def _until_stopped(unit: str, home, options, elsewhere, as_json: bool) -> None:
    from puna.node.alone import Alone

    stopping = asyncio.Event()
    on_signals(stopping.set)
    if not home.lock():
        raise Invalid(f"A node runs on {home.folder} already.", "Stop it, or name another folder with --home.")
    with progress(as_json) as line:
        alone = await Alone.start(unit, home, options, elsewhere, line)
        try:
            line.clear()
            if as_json:
                print_json(alone.places)
            else:
                for name, value in alone.places.items():
                    click.echo(f"{name:<10}{value}")
            await stopping.wait()
            line("stopping")
        finally:
            await alone.stop()

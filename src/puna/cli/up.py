"""`puna up`: runs the network until it is told to stop, and says where everything is."""

import asyncio
import contextlib
import signal
import socket
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import click

from puna.cli.show import home_of, home_option, json_option, print_json, progress
from puna.errors import Invalid


@click.command("up")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65531),
    default=4000,
    show_default=True,
    help="The gateway's port; MU, SU and CU take the 2nd, 3rd and 4th after it. 0 picks free ones.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=None,
    help="Workers of each model (default: 2, of a model above 32 MB 4, or what the network has).",
)
@click.option(
    "--model", type=click.Path(path_type=Path), default=None, help="A GGUF file to serve (default: the demo model)."
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=None,
    help="Threads of the engine (default: one per core; one for very small models).",
)
@click.option(
    "--block-seconds",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Mine a block at most this often, when something waits for one. 0 mines on demand only.",
)
@click.option(
    "--memory-max",
    metavar="SIZE",
    default=None,
    help="The most memory one process may have, like 4-gb (default: 1-gb). Large published modules need more.",
)
@click.option("--land/--no-land", default=True, show_default=True, help="Raise Llama Land beside the network.")
@click.option("--arweave", metavar="URL", default=None, help="A gateway to read from what is missing here.")
@click.option("--uploader", metavar="URL", default=None, help="An uploader that gets everything stored here, too.")
@click.option(
    "--gifts/--no-gifts", default=True, help="Give each new wallet in a browser 0.001 wAR from yours (default: do)."
)
@click.option("--open", "open_it", is_flag=True, help="Open the explorer in your browser.")
@home_option
@json_option
def command(
    host,
    port,
    workers,
    model,
    threads,
    block_seconds,
    memory_max,
    land,
    arweave,
    uploader,
    gifts,
    open_it,
    home,
    as_json,
) -> None:
    """Run the network until stopped.

    With --host 0.0.0.0 others on your network can join, at this machine's address.
    """
    from puna.node.node import Options
    from puna.web.routes import web_routes

    if model is not None and not model.is_file():
        raise Invalid(f"There is no model file {model}.", "Name a GGUF file that exists, or leave --model out.")
    for name, url in (("--arweave", arweave), ("--uploader", uploader)):
        if url is not None and not url.startswith(("http://", "https://")):
            raise Invalid(f"{name} {url} is not a URL.", "Give one that begins with https:// or http://.")
    options = Options(
        serve=True, host=host, port=port, workers=workers, model=model, threads=threads, block_s=block_seconds,
        arweave=arweave, uploader=uploader, land=land, memory_max=_size(memory_max),
        pages=partial(web_routes, gifts=gifts),
    )  # fmt: skip
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_up(home_of(home), options, open_it, as_json))


def loop_factory():
    """The event loop of a node: uvloop's where there is one, for it costs less per message."""
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop


def _size(text: str | None) -> int | None:
    from puna.ao.compute.program import parse_size

    size = None if text is None else parse_size(text)
    if text is not None and not size:
        raise Invalid(f"--memory-max {text!r} is no size.", "Give one like 512-mb or 4-gb.")
    return size


async def _up(home, options, open_it: bool, as_json: bool) -> None:
    from puna.node.node import Node
    from puna.services.token.client import balance

    stopping = asyncio.Event()
    on_signals(stopping.set)
    if not home.lock():
        running = home.running()
        where = f", at {running.gateway}" if running else ""
        raise Invalid(
            f"A node runs on {home.folder} already{where}.", "Use it, stop it, or name another folder with --home."
        )
    with progress(as_json) as line:
        node = await Node.start(home, options, line)
        try:
            winston = await balance(node.link, node.network.token, node.user.address)
            line.clear()
            (print_json if as_json else _print_places)(_places(node, winston))
            if open_it:
                await asyncio.to_thread(_open, node.running.gateway)
            await stopping.wait()
            line("stopping")
        finally:
            await node.stop()


def _places(node, winston: int) -> dict:
    """The one line that `--json` prints; field names are part of the interface."""
    from puna.services.token.client import format_war

    running, network = node.running, node.network
    return {
        "gateway": running.gateway,
        "pages": pages_of(running.gateway, _addresses()),
        "mu": running.mu,
        "su": running.su,
        "cu": running.cu,
        "scheduler": network.scheduler,
        "authority": network.authority,
        "module": network.module,
        "sqlite_module": network.sqlite_module,
        "token": network.token,
        "vault": network.vault,
        "herder": network.herder,
        "workers": list(network.workers),
        "model": network.model,
        "wallet": {"path": str(node.home.wallet_path), "address": node.user.address, "war": format_war(winston)},
    }


def _print_places(places: dict) -> None:
    click.echo("The network is up. Stop it with Ctrl-C.\n")
    for name, url in places["pages"].items():
        click.echo(f"{name:<10}{url}")
    click.echo()
    for name in ("gateway", "mu", "su", "cu", "scheduler", "authority", "module", "token", "vault", "herder"):
        click.echo(f"{name:<10}{places[name]}")
        if name == "module":
            click.echo(f"{'  sqlite':<10}{places['sqlite_module']}")
    for worker in places["workers"]:
        click.echo(f"{'worker':<10}{worker}")
    click.echo(f"{'model':<10}{places['model']}")
    wallet = places["wallet"]
    click.echo(f"{'wallet':<10}{wallet['address']} with {wallet['war']} wAR, in {wallet['path']}")
    click.echo('\nNow, in another terminal: puna ask "What is the meaning of life?"')


def pages_of(gateway: str, addresses: Sequence[str]) -> dict[str, str]:
    """What to open in a browser, here and, when the node listens everywhere, on other machines of the network."""
    everywhere = "//0.0.0.0:" in gateway or "//[::]:" in gateway
    port = gateway.rpartition(":")[2]
    here = f"http://localhost:{port}" if everywhere or "//127.0.0.1:" in gateway else gateway
    pages = {"explorer": f"{here}/"}
    if (files("puna.web") / "land" / "index.html").is_file():
        pages["land"] = f"{here}/land"
    if everywhere and addresses:
        pages["friends"] = f"http://{addresses[0]}:{port}/"
    return pages


def _addresses() -> list[str]:
    """This machine's addresses as others see them. Asking for a route sends nothing."""
    found = []
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            host = probe.getsockname()[0]
            found.append(f"[{host}]" if ":" in host else host)
    return found


def _open(gateway: str) -> None:
    url = pages_of(gateway, ())["explorer"]
    if not webbrowser.open(url):
        click.echo(f"There is no browser to open here. Open {url} yourself.", err=True)


def on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` when the system asks the command to end."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(name, stop)
        except NotImplementedError:  # Windows: the default handler raises KeyboardInterrupt, which stops us too
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop))

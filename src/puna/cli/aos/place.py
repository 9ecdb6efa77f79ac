"""Where the console's network is: the node of this home, one that is started for the console, or units elsewhere.

Called by `command.py`. A node that is started here opens its doors like `puna up` does, on free ports: other commands
find it by the home while the console is open, and everything is reached in the same way.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from puna.errors import Invalid
from puna.node.home import Home, Running

from .net import Doors, Net, doors_of


@dataclass(frozen=True)
class Elsewhere:
    """URLs a person gave; "" for those not given. `url` is the gateway of a node of ours, the rest are units."""

    url: str = ""
    gateway: str = ""
    mu: str = ""
    su: str = ""
    cu: str = ""

    def __bool__(self) -> bool:
        return any((self.url, self.gateway, self.mu, self.su, self.cu))


ENVIRONMENT = {"gateway": "GATEWAY_URL", "mu": "MU_URL", "su": "SU_URL", "cu": "CU_URL", "url": "AO_URL"}


def elsewhere(options: Mapping[str, str | None], environment: Mapping[str, str]) -> Elsewhere:
    """What options say, and the environment where they say nothing. Raises Invalid for what is no URL, or not enough.

    The environment alone counts only when it names a whole network: a variable meant for another tool must not lead
    away from the home.
    """
    given = {name: options.get(name) or environment.get(variable) or "" for name, variable in ENVIRONMENT.items()}
    for name, url in given.items():
        if url and not url.startswith(("http://", "https://")):
            option = "--url" if name == "url" else f"--{name}-url"
            raise Invalid(f"{option} {url} is not a URL.", "Give one that begins with https:// or http://.")
    found = Elsewhere(**{name: url.rstrip("/") for name, url in given.items()})
    if found and not found.url:
        for name, what in (("mu", "messenger"), ("cu", "compute unit"), ("gateway", "gateway")):
            if not getattr(found, name):
                if not any(options.values()):
                    return Elsewhere()
                raise Invalid(f"No {what} is named.", f"Name it with --{name}-url, or a node of Puna with --url.")
    return found


@asynccontextmanager
async def net_at(home: Home, there: Elsewhere, progress: Callable[[str], None]) -> AsyncIterator[Net]:
    """The network, for as long as the console is open. Raises NodeError when it cannot be reached or started."""
    if there:
        async with Net(await _doors_there(there)) as net:
            yield net
    elif home.lock():
        from puna.node.node import Node, Options

        node = await Node.start(home, Options(serve=True, port=0), progress)
        try:
            async with Net(_doors(node.running)) as net:
                yield net
        finally:
            progress("putting the network away")
            await node.stop()
    else:
        from puna.cli.network import announced

        async with Net(_doors(await announced(home, progress)), lambda: _found(home)) as net:
            yield net


async def _doors_there(there: Elsewhere) -> Doors:
    node = await doors_of(there.url) if there.url else Doors()
    return Doors(
        there.gateway or node.gateway, there.mu or node.mu, there.su or node.su, there.cu or node.cu
    )  # fmt: skip


def _doors(running: Running) -> Doors:
    return Doors(running.gateway, running.mu, running.su, running.cu)


def _found(home: Home) -> Doors | None:
    running = home.running()
    return _doors(running) if running else None

"""Finds a network: the node that runs on a home, one embedded in this program, or units elsewhere by their URLs.

Called by the clients and by every command that talks to a network. Heavy imports wait until they are needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from puna.errors import Invalid, Missing, NodeError, NotYet
from puna.node.home import Home, Running

if TYPE_CHECKING:
    from puna.ao.link import Link
    from puna.ao.remote import RemoteLink
    from puna.arweave.wallet import Wallet
    from puna.services.network import Network

    from .gateway import Gateway

STARTING_PATIENCE_S = 30  # how long we wait for a node that holds the home but does not answer yet
STARTING_LOOK_S = 0.1
UNITS = ("mu", "su", "cu")


@dataclass(frozen=True)
class Reached:
    """A network within reach: the link to its units, its permanent data, and what stands in it.

    `network` is None for units that tell of none; `wallet` gives the home's, and is None where there is no home.
    """

    link: Link
    network: Network | None
    gateway: Gateway
    wallet: Callable[[], Wallet] | None = None


@dataclass(frozen=True)
class Urls:
    """Where units are; "" for one that is not there. The uploader is at the gateway if not said otherwise."""

    gateway: str = ""
    mu: str = ""
    su: str = ""
    cu: str = ""
    uploader: str = ""

    def checked(self) -> Urls:
        """Without trailing slashes. Raises Invalid, naming the one that is no URL."""
        return Urls(**{name: checked_url(name, url) for name, url in vars(self).items()})


def checked_url(name: str, url: object) -> str:
    if not isinstance(url, str) or (url and not url.startswith(("http://", "https://"))):
        raise Invalid(f"{name} {url!r:.80} is not a URL.", "Give one that begins with https:// or http://.")
    return url.rstrip("/")


@asynccontextmanager
async def network_at(
    home: Home,
    *,
    model: Path | None = None,
    packages: bool = True,
    progress: Callable[[str], None] = lambda step: None,
) -> AsyncIterator[Reached]:
    """The running node when there is one; otherwise start one in this program, and stop it afterwards.

    `model` is a GGUF file that the network must serve; only an embedded node can take it up. Without `packages` an
    embedded node does not see to package registry and blueprints, and starts sooner on a new home.
    """
    if home.lock():
        from puna.arweave.gateway.library import Library
        from puna.node.node import Node, Options

        from .gateway import NearGateway

        node = await Node.start(home, Options(serve=False, model=model, packages=packages), progress)
        try:
            yield Reached(node.link, node.network, NearGateway(Library(node.weave)), lambda: node.user)
        finally:
            progress("putting the network away")
            await node.stop()
        return
    running = await announced(home, progress)
    if model is not None:
        raise Invalid(
            f"The node running at {running.gateway} chose its models when it started; {model} is not asked for there.",
            f"Stop it and start it with: puna up --model {model}. Or leave --model out.",
        )
    async with _running(home, running, None) as reached:
        yield reached


@asynccontextmanager
async def running_at(home: Home, timeout_s: float | None = None) -> AsyncIterator[Reached]:
    """The node that runs on a home. Raises NotYet when none does."""
    if not home.is_locked():
        raise NotYet(
            f"No node runs on {home.folder}.", "Start one with: puna up. Or embed one: puna.client.embedded()."
        )
    async with _running(home, await announced(home, lambda step: None), timeout_s) as reached:
        yield reached


@asynccontextmanager
async def network_of(url: str, timeout_s: float | None = None) -> AsyncIterator[Reached]:
    """The network of a Puna gateway, which tells where its units are. Raises Invalid when it does not."""
    gateway = checked_url("url", url or None)
    async with _link(Urls(gateway=gateway), timeout_s) as link:
        try:
            told = await link.network()
        except (Invalid, Missing) as error:
            raise _no_gateway(url) from error
    units = told.get("units") if isinstance(told, dict) else None
    if not isinstance(units, dict):
        raise _no_gateway(url)
    urls = Urls(gateway, *(str(units.get(name) or "") for name in UNITS)).checked()
    async with _link(urls, timeout_s) as link:
        yield _reached(link, urls, _network(told))


@asynccontextmanager
async def units_at(urls: Urls, timeout_s: float | None = None) -> AsyncIterator[Reached]:
    """Any units of the legacy network, by their URLs."""
    urls = urls.checked()
    async with _link(urls, timeout_s) as link:
        network = None
        if urls.gateway:
            try:
                network = _network(await link.network())
            except NodeError:
                pass  # another kind of gateway, or one that is away: what it could tell is asked for when needed
        yield _reached(link, urls, network)


@asynccontextmanager
async def _running(home: Home, running: Running, timeout_s: float | None) -> AsyncIterator[Reached]:
    from puna.services.network import Network

    urls = Urls(running.gateway, running.mu, running.su, running.cu)
    async with _link(urls, timeout_s) as link:
        yield _reached(link, urls, Network.from_json(await link.network()), home.wallet)


def _link(urls: Urls, timeout_s: float | None) -> RemoteLink:
    from puna.ao.remote import RemoteLink

    return RemoteLink(gateway=urls.gateway, mu=urls.mu, su=urls.su, cu=urls.cu, timeout_s=timeout_s)


def _reached(
    link: RemoteLink, urls: Urls, network: Network | None, wallet: Callable[[], Wallet] | None = None
) -> Reached:
    from .gateway import FarGateway

    return Reached(link, network, FarGateway(link, urls.uploader), wallet)


def _network(told: Any) -> Network | None:
    """What stands there; None where nothing does, as with units that run alone."""
    from puna.services.network import Network

    try:
        return Network.from_json(told)
    except Invalid:
        return None


def _no_gateway(url: str) -> Invalid:
    return Invalid(
        f"{url} does not tell where its units are, so it is no gateway of a Puna node.",
        "Name the units: connect(gateway=URL, mu=URL, cu=URL, su=URL).",
    )


async def announced(home: Home, progress: Callable[[str], None]) -> Running:
    """The node that runs on a home, waited for while it starts. Raises NotYet when it cannot be asked from outside."""
    for _ in range(int(STARTING_PATIENCE_S / STARTING_LOOK_S)):
        if running := home.running():
            return running
        progress("waiting for the node that is starting on this home")
        await asyncio.sleep(STARTING_LOOK_S)
    raise NotYet(
        f"Another puna command works on {home.folder} and cannot be asked from outside.",
        "Wait for it to finish, or name another folder with --home.",
    )

"""Finds the network a command talks to: the node running on the home, else one embedded in the command."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from puna.ao.link import Link
from puna.errors import Invalid, NotYet
from puna.node.home import Home, Running
from puna.services.network import Network

STARTING_PATIENCE_S = 30  # how long we wait for a node that holds the home but does not answer yet
STARTING_LOOK_S = 0.1


@dataclass(frozen=True)
class Reached:
    """A network within reach: the link to its units, and what stands in it."""

    link: Link
    network: Network


@asynccontextmanager
async def network_at(
    home: Home,
    *,
    model: Path | None = None,
    packages: bool = True,
    progress: Callable[[str], None] = lambda step: None,
) -> AsyncIterator[Reached]:
    """The running node when there is one; otherwise start one, and stop it afterwards.

    `model` is a GGUF file that the network must serve; only an embedded node can take it up. Without `packages` an
    embedded node does not see to package registry and blueprints, and starts sooner on a new home.
    """
    if home.lock():
        from puna.node.node import Node, Options

        node = await Node.start(home, Options(serve=False, model=model, packages=packages), progress)
        try:
            yield Reached(node.link, node.network)
        finally:
            progress("putting the network away")
            await node.stop()
        return
    from puna.ao.remote import RemoteLink

    running = await announced(home, progress)
    if model is not None:
        raise Invalid(
            f"The node running at {running.gateway} chose its models when it started; {model} is not asked for there.",
            f"Stop it and start it with: puna up --model {model}. Or leave --model out.",
        )
    async with RemoteLink(gateway=running.gateway, mu=running.mu, su=running.su, cu=running.cu) as link:
        yield Reached(link, Network.from_json(await link.network()))


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

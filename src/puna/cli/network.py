"""Finds the network a command talks to: the node running on the home, else one embedded in the command."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from puna.errors import NotYet
from puna.node.home import Home

STARTING_PATIENCE_S = 30  # how long we wait for a node that holds the home but does not answer yet
STARTING_LOOK_S = 0.1


@dataclass(frozen=True)
class Reached:
    """A network within reach: `link` to its units, `ids` of its standing programs."""

    link: object
    ids: object
    embedded: bool


@asynccontextmanager
async def network_at(
    home: Home,
    *,
    model: Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> AsyncIterator[Reached]:
    """The running node when there is one; otherwise start one, and stop it afterwards."""
    if await asyncio.to_thread(home.lock):
        # The lock is ours: nobody runs here. The embedded node keeps it until it has stopped.
        from puna.node.node import Node, Options

        node = await Node.start(home, Options(serve=False, model=model), progress)
        try:
            yield Reached(node.link, node.network, embedded=True)
        finally:
            progress("putting the network away")
            await node.stop()
        return
    from puna.node.remote import RemoteLink

    running = await _announced(home, progress)
    async with RemoteLink(gateway=running.gateway, mu=running.mu, su=running.su, cu=running.cu) as link:
        yield Reached(link, await link.network(), embedded=False)


async def _announced(home: Home, progress: Callable[[str], None]):
    for _ in range(int(STARTING_PATIENCE_S / STARTING_LOOK_S)):
        if running := home.running():
            return running
        progress("waiting for the node that is starting on this home")
        await asyncio.sleep(STARTING_LOOK_S)
    raise NotYet(
        f"Another puna command works on {home.folder} and does not answer from outside.",
        "Wait for it to finish, or name another folder with --home.",
    )

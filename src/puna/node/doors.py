"""The ports of a node: opens all of them or none, and serves the units' applications on them.

Called by the node. Sockets are bound before anything is started, so that a taken port is told at once.
"""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from puna.errors import Invalid, NodeError

# Where each door is, counted from the gateway's port. 4001 stays free for a second gateway.
DOORS = {"gateway": 0, "mu": 2, "su": 3, "cu": 4}
# Python's own 700 new objects before it looks for cycles are reached several times within one page of a feed, none
# of whose objects are in a cycle: looking costs a quarter of the page.
COLLECT_AFTER = (20_000, 20, 50)
FRAME_BYTES_MAX = 1 << 20  # of a WebSocket frame from a client; past it the connection is closed
GRACE_S = 2  # for replies under way when the node stops


@dataclass(frozen=True)
class Doors:
    """Bound sockets by name, and the URL of each."""

    sockets: Mapping[str, socket.socket]
    urls: Mapping[str, str]

    def close(self) -> None:
        for door in self.sockets.values():
            door.close()


def open_doors(host: str, port: int, names: Iterable[str] = tuple(DOORS)) -> Doors:
    """Bind the ports of the doors `names`; `port` 0 takes free ones. Raises Invalid naming the port that is taken."""
    sockets: dict[str, socket.socket] = {}
    try:
        for name in names:
            sockets[name] = _bind(host, port + DOORS[name] if port else 0)
    except BaseException:
        for door in sockets.values():
            door.close()
        raise
    shown = f"[{host}]" if ":" in host else host
    urls = {name: f"http://{shown}:{door.getsockname()[1]}" for name, door in sockets.items()}
    return Doors(sockets, urls)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, because asyncio turns Nagle's delay off only on sockets that say so: 40 ms for every reply.
    door = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A restart must not wait for the kernel to forget the last node's connections.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
        door.listen(1024)
        door.setblocking(False)
    except PermissionError as error:
        door.close()
        raise Invalid(f"Port {port} may not be opened by you.", "Choose one above 1023 with --port.") from error
    except OSError as error:
        door.close()
        raise Invalid(
            f"Port {port} on {host} cannot be opened: {error.strerror}.",
            "Another program may use it: choose other ports with --port, or --port 0 for free ones.",
        ) from error
    return door


class Serving:
    """The applications at work; `stop` lets replies end and closes the sockets."""

    def __init__(self, doors: Doors, applications: Mapping[str, ASGIApp]):
        self._doors = doors
        self._servers = {name: _Server(uvicorn.Config(
            application, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S,
            proxy_headers=False, server_header=False, http=_Protocol,
            # Frames are encoded once for all who watch; compressing them for each would cost far more than it saves.
            ws="websockets-sansio", ws_max_size=FRAME_BYTES_MAX, ws_per_message_deflate=False,
        )) for name, application in applications.items()}  # fmt: skip
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        self._tasks = [
            asyncio.create_task(server.serve(sockets=[self._doors.sockets[name]]), name=f"http-{name}")
            for name, server in self._servers.items()
        ]
        waiting = [asyncio.create_task(server.ready.wait()) for server in self._servers.values()]
        done, _ = await asyncio.wait([*self._tasks, asyncio.gather(*waiting)], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task in self._tasks:
                raise NodeError("A door of the node closed at once.", "See node.log in the home.") from task.exception()

    async def stop(self) -> None:
        for server in self._servers.values():
            server.should_exit = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._doors.close()


class _Protocol(HttpToolsProtocol):
    """HTTP whose short replies leave in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(WholeReplies(transport, self.loop))


class WholeReplies:
    """A transport that sends the head of a reply together with what follows it at once.

    Sent apart they are two packets, each of which wakes the client. A head that nothing follows, as of a stream with
    no news yet, leaves when the event loop comes round.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport, self._loop = transport, loop
        self._head = b""
        self._leaving: asyncio.Handle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
            self._transport.writelines((self._head, data))
        elif data[:7] == b"HTTP/1.":
            self._head = data
            self._leaving = self._loop.call_soon(self._leave)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._leave()
        self._transport.close()

    def _leave(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
            if not self._transport.is_closing():
                self._transport.write(self._head)


class _Server(uvicorn.Server):
    """A server that leaves signals to the command, and says when it answers."""

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.ready.set()

"""The client for programs without an event loop: the asynchronous one, run by a loop on a thread of its own.

Nothing is decided here. Every method is its namesake of `AsyncClient`, waited for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from puna.arweave.ids import Address
from puna.arweave.wallet import Wallet
from puna.errors import Invalid
from puna.services.network import Network

from .asynchronous import AsyncClient, Listening

T = TypeVar("T")
P = ParamSpec("P")


class LoopThread:
    """An event loop on a thread, for as long as a client needs one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._entering = threading.Lock()
        self._ending = False
        # A daemon: a client that nobody closed must not keep a finished program alive.
        self._thread = threading.Thread(target=self._loop.run_forever, name="puna-client", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return not self._ending

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`, from any other thread; Ctrl-C ends the waiting and the work."""
        if threading.current_thread() is self._thread:
            work.close()
            raise Invalid(
                "A client was asked from within one of its own callbacks.", "Do it after the call, or in a thread."
            )
        with self._entering:  # whatever comes in here while we end would be waited for in vain
            if self._ending:
                work.close()
                raise _closed()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End what is left, and the thread. Safe to repeat."""
        with self._entering:
            ending, self._ending = self._ending, True
        if not ending:
            asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def _closed() -> Invalid:
    return Invalid("This client is closed.", "Make a new one.")


async def _end_others() -> None:
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


class SyncListening(Iterator[T], Generic[T]):
    """`Listening`, waited for. `with` begins to listen at once and ends it; `for` alone begins by itself."""

    def __init__(self, thread: LoopThread, listening: Listening[T]):
        self._thread, self._listening = thread, listening

    def __enter__(self) -> SyncListening[T]:
        self._thread.run(self._listening.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._listening.__aexit__())

    def __next__(self) -> T:
        if (news := self.get()) is None:
            raise StopIteration
        return news

    def get(self, timeout_s: float | None = None) -> T | None:
        """The next one; None when there are no more. Raises NotYet when none came in time; none is lost by that."""
        return self._thread.run(self._listening.get(timeout_s))


def _waited(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(method(self._client, *args, **kwargs))

    return call


def _heard(
    method: Callable[Concatenate[AsyncClient, P], Listening[T]],
) -> Callable[Concatenate[Client, P], SyncListening[T]]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> SyncListening[T]:
        return SyncListening(self._thread, method(self._client, *args, **kwargs))

    return call


async def _opened(connection: Awaitable[AsyncClient]) -> AsyncClient:
    return await connection


class Client:
    """One network, and the wallet that signs. Made by `puna.client.connect` and `embedded`, with `with` or `open()`.

    Any thread may use it, several at once too.
    """

    def __init__(self, connection: Awaitable[AsyncClient]):
        self._thread = LoopThread()
        try:
            self._client = self._thread.run(_opened(connection))
        except BaseException:
            self._thread.stop()
            raise

    def close(self) -> None:
        """Let go of everything; an embedded network is stopped in good order. Safe to repeat."""
        if self._thread.running:
            try:
                self._thread.run(self._client.aclose())
            finally:
                self._thread.stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def network(self) -> Network:
        """See `AsyncClient.network`."""
        return self._client.network

    @property
    def wallet(self) -> Wallet:
        """See `AsyncClient.wallet`."""
        return self._client.wallet

    @property
    def address(self) -> Address:
        """See `AsyncClient.address`."""
        return self._client.address

    spawn = _waited(AsyncClient.spawn)
    message = _waited(AsyncClient.message)
    sign = _waited(AsyncClient.sign)
    submit = _waited(AsyncClient.submit)
    send = _waited(AsyncClient.send)
    eval = _waited(AsyncClient.eval)
    result = _waited(AsyncClient.result)
    results = _waited(AsyncClient.results)
    dry_run = _waited(AsyncClient.dry_run)
    assign = _waited(AsyncClient.assign)
    monitor = _waited(AsyncClient.monitor)
    unmonitor = _waited(AsyncClient.unmonitor)
    schedule = _waited(AsyncClient.schedule)
    events = _heard(AsyncClient.events)
    watch = _heard(AsyncClient.watch)
    inbox = _heard(AsyncClient.inbox)
    upload = _waited(AsyncClient.upload)
    item = _waited(AsyncClient.item)
    data = _waited(AsyncClient.data)
    download = _waited(AsyncClient.download)
    find = _waited(AsyncClient.find)
    prices = _waited(AsyncClient.prices)
    quote = _waited(AsyncClient.quote)
    ask = _waited(AsyncClient.ask)
    balance = _waited(AsyncClient.balance)
    transfer = _waited(AsyncClient.transfer)

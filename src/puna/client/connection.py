"""Ways to a network, as values that are opened later: `connect` and `embedded`. Opened with `async with` they give an
`AsyncClient`, with `with` a `Client`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from puna.errors import Invalid

if TYPE_CHECKING:
    from puna.arweave.wallet import Wallet

    from .asynchronous import AsyncClient
    from .reach import Reached
    from .synchronous import Client

    Place = str | os.PathLike[str]
    WalletLike = Wallet | Place | Mapping[str, str] | None


class Connection:
    """How to reach a network, and who signs. Opened once, in one of four ways:

    `async with` and `await` give an `AsyncClient`, `with` and `open()` a `Client`. What `await` and `open()` give is
    to be closed.
    """

    def __init__(self, reach: Callable[[], AbstractAsyncContextManager[Reached]], wallet: WalletLike):
        self._reach, self._wallet = reach, wallet
        self._opened: AsyncClient | Client | None = None

    def __await__(self) -> Generator[Any, Any, AsyncClient]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> AsyncClient:
        from .asynchronous import AsyncClient

        self._check_unopened()
        wallet = read_wallet(self._wallet)  # a wrong one is told before anything is started
        async with AsyncExitStack() as stack:
            reached = await stack.enter_async_context(self._reach())
            self._opened = client = AsyncClient(reached, wallet, stack.pop_all().aclose)
            return client

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()  # type: ignore[union-attr]

    def open(self) -> Client:
        """A client for programs without an event loop."""
        from .synchronous import Client

        self._check_unopened()
        self._opened = client = Client(self)
        return client

    def __enter__(self) -> Client:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self._opened.close()  # type: ignore[union-attr]

    def _check_unopened(self) -> None:
        if self._opened is not None:
            raise Invalid("This connection was opened already.", "Make one for each client.")


def connect(
    url: str | None = None,
    *,
    home: Place | None = None,
    gateway: str = "",
    mu: str = "",
    su: str = "",
    cu: str = "",
    uploader: str = "",
    wallet: WalletLike = None,
    timeout_s: float | None = None,
) -> Connection:
    """A network that runs: the node of a home, a Puna gateway's by its URL, or any legacynet units by theirs.

    Without `url` and units it is the node that runs on `home` (PUNA_HOME, else the platform's data folder), and the
    home's wallet signs. With `url` the gateway tells where the units are. Units may be left out: what needs one that
    is not there says so. `wallet` is a Wallet, the path of a JWK file, or a JWK. `timeout_s` is how long a request may
    take; without it a result is waited for as long as it takes.
    """
    units = {"gateway": gateway, "mu": mu, "su": su, "cu": cu, "uploader": uploader}
    named = [name for name, value in units.items() if value]
    if sum((url is not None, home is not None, bool(named))) > 1:
        raise Invalid("More than one network is named.", "Give a url, or a home, or the URLs of units.")
    if timeout_s is not None and not timeout_s > 0:
        raise Invalid(f"A timeout of {timeout_s} seconds leaves no time.", "Give one above 0, or none.")

    def reach() -> AbstractAsyncContextManager[Reached]:
        from . import reach

        if url is not None:
            return reach.network_of(url, timeout_s)
        if named:
            return reach.units_at(reach.Urls(**units), timeout_s)
        return reach.running_at(_home(home), timeout_s)

    return Connection(reach, wallet)


def embedded(
    home: Place | None = None,
    *,
    model: Place | None = None,
    wallet: WalletLike = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Connection:
    """The network of a home, run inside this program, without ports; made when there is none yet.

    A home has one node at a time: where one runs already, that one is used. `model` is a GGUF file to serve beside
    the network's models. The home's wallet signs if no other is given. `progress` is told each step of the start.
    """

    def reach() -> AbstractAsyncContextManager[Reached]:
        from . import reach

        return reach.network_at(_home(home), model=None if model is None else Path(model), progress=progress)

    return Connection(reach, wallet)


def _home(folder: Place | None):
    from puna.node.home import Home, default_home

    return Home(default_home() if folder is None else Path(folder))


def read_wallet(wallet: WalletLike) -> Wallet | None:
    """A wallet however it was given. Raises Missing or Invalid, saying what is wrong with it."""
    if wallet is None:
        return None
    from puna.arweave.wallet import Wallet, load_wallet, wallet_from_jwk

    if isinstance(wallet, Wallet):
        return wallet
    if isinstance(wallet, (str, os.PathLike)):
        return load_wallet(Path(wallet))
    if isinstance(wallet, Mapping):
        try:
            return wallet_from_jwk(json.loads(json.dumps(dict(wallet))))
        except (Invalid, TypeError, ValueError) as error:
            why = error.what if isinstance(error, Invalid) else "It is not JSON."
            raise Invalid(f"The wallet is no JSON Web Key. {why}", "Give the JWK of an Arweave wallet.") from None
    raise Invalid(f"A wallet is not a {type(wallet).__name__}.", "Give a Wallet, the path of a JWK file, or a JWK.")

"""A network of Puna, or any legacynet units, for programs in Python: asynchronous and not, typed.

    async with puna.client.connect() as ao:          with puna.client.connect() as ao:
        process = await ao.spawn()                       process = ao.spawn()

`connect` finds a network that runs, `embedded` runs one in the program. See docs/python-client.md. What a name here
needs is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from puna.ao.message import MessageId as MessageId
    from puna.ao.message import ProcessId as ProcessId
    from puna.arweave.dataitem import DataItem as DataItem
    from puna.arweave.ids import Address as Address
    from puna.arweave.ids import ItemId as ItemId
    from puna.arweave.wallet import Wallet as Wallet
    from puna.errors import Invalid as Invalid
    from puna.errors import Missing as Missing
    from puna.errors import NodeError as NodeError
    from puna.errors import NotYet as NotYet
    from puna.services.herder.client import Answer as Answer
    from puna.services.herder.client import Prices as Prices
    from puna.services.herder.client import Quote as Quote
    from puna.services.network import Network as Network

    from .asynchronous import AsyncClient as AsyncClient
    from .asynchronous import Listening as Listening
    from .asynchronous import Missed as Missed
    from .connection import Connection as Connection
    from .connection import connect as connect
    from .connection import embedded as embedded
    from .events import Accepted as Accepted
    from .events import Assigned as Assigned
    from .events import Evaluated as Evaluated
    from .events import Event as Event
    from .events import Failed as Failed
    from .events import Finished as Finished
    from .events import Gap as Gap
    from .events import Stored as Stored
    from .events import Token as Token
    from .records import Assign as Assign
    from .records import Found as Found
    from .records import Item as Item
    from .records import Kept as Kept
    from .records import Message as Message
    from .records import Page as Page
    from .records import ProcessFailed as ProcessFailed
    from .records import Result as Result
    from .records import Scheduled as Scheduled
    from .records import Spawn as Spawn
    from .records import Tags as Tags
    from .synchronous import Client as Client
    from .synchronous import SyncListening as SyncListening

_ROOMS = {
    "puna.client.connection": "Connection connect embedded",
    "puna.client.asynchronous": "AsyncClient Listening Missed",
    "puna.client.synchronous": "Client SyncListening",
    "puna.client.records": "Assign Found Item Kept Message Page ProcessFailed Result Scheduled Spawn Tags",
    "puna.client.events": "Accepted Assigned Evaluated Event Failed Finished Gap Stored Token",
    "puna.errors": "Invalid Missing NodeError NotYet",
    "puna.ao.message": "MessageId ProcessId",
    "puna.arweave.ids": "Address ItemId",
    "puna.arweave.dataitem": "DataItem",
    "puna.arweave.wallet": "Wallet",
    "puna.services.herder.client": "Answer Prices Quote",
    "puna.services.network": "Network",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = sorted(_ROOM_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_ROOM_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Processes by name: finding those of a wallet, and making a new one. Called by `console.py` before the prompt comes.

A name is the tag `Name` of a process the wallet spawned: the weave is the only list there is. Source: aos reference
2.1, protocol reference 7.2.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from puna.ao.compute.cron import crons_of
from puna.ao.message import PROTOCOL, VARIANT
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.ids import b64url_decode, is_id
from puna.arweave.keys.ethereum import native_address
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing
from puna.services.apm.packages import REGISTRY_TAG
from puna.services.letters import new_anchor

from .net import PAGE, Net

UNCOMPRESSED_POINT_BYTES = 65  # an Ethereum public key
LISTED_MAX = 1000  # processes of one wallet that a list looks at
AOS_VERSION = "2.0.4"  # of the process environment, told by the tag `aos-Version`

_SEARCH = """query ($owners: [String!], $tags: [TagFilter!], $after: String, $first: Int) {
  transactions(owners: $owners, tags: $tags, first: $first, after: $after) {
    pageInfo { hasNextPage }
    edges { cursor node { id tags { name value } block { timestamp } } } } }"""
_ONE = "query ($id: ID!) { transaction(id: $id) { id owner { address key } tags { name value } } }"


@dataclass(frozen=True)
class Found:
    """A process as the weave tells of it. `block_s` is the second it was mined, None while it waits for a block."""

    id: str
    tags: tuple[tuple[str, str], ...]
    block_s: int | None = None
    owner: str = ""

    def tag(self, name: str) -> str:
        return next((value for key, value in self.tags if key == name), "")

    @property
    def spawner(self) -> str:
        """Who owns it at birth: the process that spawned it, else the wallet that signed it."""
        return self.tag("From-Process") or self.owner


@dataclass(frozen=True)
class Birth:
    """What a new process is made of."""

    name: str
    module: str
    scheduler: str
    authority: str
    registry: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    cron: str = ""
    data: bytes = b""


@dataclass(frozen=True)
class Standing:
    """What a network tells of itself; "" for what it does not tell. `names` are those of well-known processes."""

    scheduler: str = ""
    authority: str = ""
    module: str = ""
    sqlite_module: str = ""
    token: str = ""
    operator: str = ""
    registry: str = ""
    names: dict[str, str] = field(default_factory=dict)
    ours: bool = False


async def standing(net: Net) -> Standing:
    """Ask the network what stands in it; of one that is not ours, what its scheduler says."""
    if net.doors.gateway:
        try:
            told = await net.link.network()
        except (Missing, Invalid):
            told = None
        if isinstance(told, dict) and "scheduler" in told:
            return _standing(told)
    return Standing(scheduler=await net.scheduler_address() if net.doors.su else "")


_TOLD = ("scheduler", "authority", "module", "sqlite_module", "token", "operator", "registry")


def _standing(told: dict[str, Any]) -> Standing:
    text = {name: str(told.get(name) or "") for name in _TOLD}
    names = {str(told[name]): name for name in ("token", "herder", "registry") if told.get(name)}
    names |= {worker["id"]: f"worker {number}" for number, worker in enumerate(told.get("herd") or (), 1)}
    return Standing(**text, names=names, ours=True)


async def of_wallet(net: Net, wallet: Wallet, name: str = "") -> list[Found]:
    """Processes that a wallet spawned, newest first; with a name, those called so."""
    address, owner = wallet.address, native_owner(wallet)
    tags = [{"name": "Data-Protocol", "values": ["ao"]}, {"name": "Type", "values": ["Process"]}]
    if name:
        tags.append({"name": "Name", "values": [name]})
    found: list[Found] = []
    after = None
    while len(found) < LISTED_MAX:
        answer = await net.graphql(_SEARCH, {"owners": [address], "tags": tags, "after": after, "first": PAGE})
        page = answer["transactions"]
        found += [_found(edge["node"], owner) for edge in page["edges"]]
        if not page["edges"] or not page["pageInfo"]["hasNextPage"]:
            break
        after = page["edges"][-1]["cursor"]
    return found


async def by_id(net: Net, id: str) -> Found:
    """The process of an id. Raises Missing when nobody has it, Invalid when the item is no process."""
    if not is_id(id):
        raise Invalid(f"{id!r} is not an id.", "An id has 43 letters, digits, '-' or '_'.")
    known = (await net.graphql(_ONE, {"id": id})).get("transaction") if net.doors.gateway else None
    if known is None and net.doors.su:
        try:
            known = await net.scheduled_process(id)
        except Missing:
            known = None
    if known is None:
        raise Missing(f"There is no process {id} on this network.", "Check the id, and which network you ask.")
    owner = known["owner"]
    found = _found(known, _as_processes_see(b64url_decode(owner.get("key") or ""), owner["address"]))
    if found.tag("Type") != "Process":
        kind = found.tag("Type") or "item without a type"
        raise Invalid(f"{id} is no process but a {kind.lower()}.", "Name a process.")
    return found


def _found(node: dict[str, Any], owner: str) -> Found:
    tags = tuple((tag["name"], tag["value"]) for tag in node.get("tags") or ())
    return Found(node.get("id") or node.get("process_id"), tags, (node.get("block") or {}).get("timestamp"), owner)


def native_owner(wallet: Wallet) -> str:
    """The wallet as processes see it: an Ethereum key by its `0x` address, all others by their Arweave address."""
    return _as_processes_see(wallet.owner, wallet.address)


def _as_processes_see(key: bytes, address: str) -> str:
    return native_address(key) if len(key) == UNCOMPRESSED_POINT_BYTES else address


def process_item(wallet: Wallet, birth: Birth) -> DataItem:
    """The signed item that spawns a process. Raises Invalid when a tag is over its limits."""
    crons = [("Cron-Interval", birth.cron), ("Cron-Tag-Action", "Cron")] if birth.cron else []
    named = [
        ("App-Name", "aos"), ("Name", birth.name), ("aos-Version", AOS_VERSION), ("Module", birth.module),
        ("Scheduler", birth.scheduler), *([("Authority", birth.authority)] if birth.authority else []),
        *([(REGISTRY_TAG, birth.registry)] if birth.registry else []), *crons, *birth.tags,
    ]  # fmt: skip
    tags = (PROTOCOL, VARIANT, Tag("Type", "Process"), *(Tag(name, value) for name, value in named))
    return sign_item(wallet, data=birth.data or b" ", tags=tags, anchor=new_anchor())


async def spawn(net: Net, wallet: Wallet, birth: Birth) -> Found:
    """Make a new process; answers when it is durable."""
    for what, value, option in (
        ("module", birth.module, "--module"), ("scheduler", birth.scheduler, "--scheduler")
    ):  # fmt: skip
        if not value:
            raise Invalid(f"This network does not tell its {what}.", f"Name it with {option}.")
    item = await asyncio.to_thread(process_item, wallet, birth)
    crons_of(item)  # a wrong interval is told before there is a process that can never run
    await net.link.submit(item)
    return Found(item.id, tuple(item.tags), None, native_owner(wallet))


async def module_named(net: Net, name: str) -> str:
    """The id of a module given by id or by the tag `Name`. Raises Missing, Invalid when the item is no module."""
    if is_id(name):
        known = (await net.graphql(_ONE, {"id": name})).get("transaction")
        if known is None:
            raise Missing(f"There is no module {name} on this network.", "Publish it there first.")
        if _found(known, "").tag("Type") != "Module":
            raise Invalid(f"{name} is no module.", "Name the item of a WASM module.")
        return name
    tags = [{"name": "Type", "values": ["Module"]}, {"name": "Name", "values": [name]}]
    page = await net.graphql(_SEARCH, {"owners": None, "tags": tags, "after": None, "first": 1})
    edges = page["transactions"]["edges"]
    if not edges:
        raise Missing(f"There is no module called {name} on this network.", "Name one by its id.")
    return edges[0]["node"]["id"]


def pairs(names: Sequence[str], values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`--tag-name` and `--tag-value`, by their order. Raises Invalid when one lacks the other."""
    if len(names) != len(values):
        raise Invalid(
            f"There are {len(names)} --tag-name and {len(values)} --tag-value.",
            "Give each name its value: --tag-name Colour --tag-value blue",
        )
    for name in names:
        if not name:
            raise Invalid("A --tag-name is empty.", "Give it a name: --tag-name Colour --tag-value blue")
    return tuple(zip(names, values, strict=True))

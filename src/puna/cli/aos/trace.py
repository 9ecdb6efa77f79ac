"""What a message caused: the entries of its result's outbox, found again as the items they became, and so on down.

`caused` is pure; `trace` asks a network. A pushed item bears `Pushed-For`, the id of the item that began the chain,
`From-Process` and the anchor of the outbox entry it was: the three say whose child it is. Source: protocol reference
2.5; aos reference 1.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from puna.ao.result import Result
from puna.arweave.ids import b64url_decode
from puna.errors import Invalid, Missing, NodeError

from .net import PAGE, Net
from .present import Branch

MESSAGES_MAX = 500  # of one tree

_ONE = "query ($id: ID!) { transaction(id: $id) { id recipient anchor tags { name value } } }"
_CHAIN = """query ($root: String!, $after: String, $first: Int) {
  transactions(tags: [{name: "Pushed-For", values: [$root]}], first: $first, after: $after, sort: HEIGHT_ASC) {
    pageInfo { hasNextPage } edges { cursor node { id recipient anchor tags { name value } } } } }"""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a chain as a gateway tells of it; the first of several tags of a name counts."""

    id: str
    target: str
    anchor: str
    tags: dict[str, str]

    @property
    def process(self) -> str:
        """Where it is evaluated: a process item in itself."""
        return self.id if self.tags.get("Type") == "Process" else self.target

    @property
    def action(self) -> str:
        if self.tags.get("Type") == "Process":
            return f"Spawn {self.tags.get('Name', '')}".rstrip()
        return self.tags.get("Action", "")


@dataclass(frozen=True, slots=True)
class Caused:
    """One entry of an outbox: what it became (`item` None: nothing that is to be found), where it went."""

    action: str
    target: str
    item: Item | None


def item_of(node: dict[str, Any]) -> Item:
    tags: dict[str, str] = {}
    for tag in node.get("tags") or ():
        tags.setdefault(tag["name"], tag["value"])
    return Item(node["id"], node.get("recipient") or "", _anchor_text(node.get("anchor") or ""), tags)


def _anchor_text(anchor: str) -> str:
    try:
        return b64url_decode(anchor).decode()
    except (Invalid, UnicodeDecodeError):
        return anchor


def caused(process: str, result: Result, chain: Sequence[Item]) -> list[Caused]:
    """What a result's outbox became among the items of its chain: messages, spawns, assignments, in their order."""
    sent = [item for item in chain if item.tags.get("From-Process") == process]
    found = []
    for entry in filter(_is_table, result.messages):
        target, anchor = str(entry.get("Target") or ""), str(entry.get("Anchor") or "")
        match = next((item for item in sent if item.anchor == anchor and item.target == target), None)
        found.append(Caused(_tag(entry, "Action"), target, match))
    births = [item for item in sent if item.tags.get("Type") == "Process"]
    for entry in filter(_is_table, result.spawns):
        reference = _tag(entry, "Reference")
        match = next((item for item in births if item.tags.get("Reference") == reference), None)
        found.append(Caused(f"Spawn {_tag(entry, 'Name')}".rstrip(), "", match))
        if match is not None:
            told = (item for item in sent if _tells_of(item, match.id))
            found += [Caused("Spawned", process, item) for item in told]
    for entry in filter(_is_table, result.assignments):
        for target in _texts(entry.get("Processes")):
            item = Item(str(entry.get("Message") or ""), target, "", {"Action": "(assigned)"})
            found.append(Caused("(assigned)", target, item))
    return found


def _tells_of(item: Item, child: str) -> bool:
    return item.tags.get("Action") == "Spawned" and item.tags.get("Process") == child


def _is_table(entry: Any) -> bool:
    return isinstance(entry, dict)


def _tag(entry: dict[str, Any], name: str) -> str:
    tags = entry.get("Tags")
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and tag.get("name") == name:
            return str(tag.get("value", ""))
    return ""


def _texts(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


# Asking ---------------------------------------------------------------------------------------------------------------


async def trace(net: Net, message: str) -> Branch:
    """The tree under a message. Raises Missing when nobody has it; waits for what is still being evaluated."""
    known = (await net.graphql(_ONE, {"id": message})).get("transaction")
    if known is None:
        raise Missing(f"Nobody here has a message {message}.", ".history shows the ids of messages.")
    first = item_of(known)
    if first.tags.get("Type") not in ("Message", "Process"):
        raise Invalid(f"{message} is no message.", ".history shows the ids of messages.")
    return await _Walk(net, first.tags.get("Pushed-For") or first.id).branch(first)


class _Walk:
    """One walk down a chain. The chain is read again where a result names something that was not in it yet."""

    def __init__(self, net: Net, root: str):
        self._net = net
        self._root = root
        self._chain: list[Item] = []
        self._seen: set[tuple[str, str]] = set()

    async def branch(self, item: Item) -> Branch:
        place = (item.process, item.id)
        if place in self._seen:
            return Branch(item.id, item.process, item.action, note="see above")
        self._seen.add(place)
        if len(self._seen) > MESSAGES_MAX:
            return Branch(item.id, item.process, item.action, note=f"not followed: {MESSAGES_MAX} messages are shown")
        try:
            result = await self._net.link.result(item.process, item.id)
        except Missing:
            return Branch(item.id, item.process, item.action, note="kept for a wallet")
        except NodeError as error:
            return Branch(item.id, item.process, item.action, note=error.what)
        children = caused(item.process, result, self._chain)
        if any(child.item is None for child in children):
            self._chain = await self._read_chain()
            children = caused(item.process, result, self._chain)
        branches = [await self._child(child) for child in children]
        return Branch(item.id, item.process, item.action, result, branches=tuple(branches))

    async def _child(self, child: Caused) -> Branch:
        if child.item is None:
            return Branch("", child.target, child.action, note="not delivered (yet)")
        return await self.branch(child.item)

    async def _read_chain(self) -> list[Item]:
        chain: list[Item] = []
        after = None
        while len(chain) < MESSAGES_MAX:
            answer = await self._net.graphql(_CHAIN, {"root": self._root, "after": after, "first": PAGE})
            page = answer["transactions"]
            chain += [item_of(edge["node"]) for edge in page["edges"]]
            if not page["edges"] or not page["pageInfo"]["hasNextPage"]:
                break
            after = page["edges"][-1]["cursor"]
        return chain

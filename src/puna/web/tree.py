"""The tree of messages that one message caused, joined together from what is in the store.

Called by api.py. A message that a process sent bears the name of the process and an anchor of the process's choosing;
the result that sent it lists the same anchor. So who caused what is told by signed items alone, nothing is guessed.

A herder that had to queue a question answers it in the journey of another message. Such answers name the payment they
are for, and hang below it here, with what they caused in turn.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from puna.ao.message import anchor_text, lenient_text, owner_address, tag
from puna.ao.result import Result
from puna.arweave.dataitem import DataItem
from puna.arweave.store.port import Query, Store
from puna.errors import Invalid, Missing

MESSAGES_MAX = 1000  # of one journey; a game without end has more
LATER_MAX = 20  # answers in other journeys that one tree follows
IDS_AT_ONCE = 200  # in one search
PREVIEW_CHARACTERS = 280


@dataclass(frozen=True)
class Evaluated:
    """What one process made of a message, by its attestation."""

    process: str
    nonce: int
    result: Result


@dataclass
class Tree:
    """Messages by id, the first of each journey first; `parents` has the id of who caused each, None for the first."""

    root: str
    messages: dict[str, DataItem] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    evaluated: dict[str, list[Evaluated]] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)  # of those in another journey: the id that began it
    cut: bool = False


def tree_of(store: Store, unit: str, id: str) -> Tree:
    """The whole tree that `id` is part of. `unit` is the address whose attestations are believed.

    Raises Missing when there is no such message.
    """
    item = store.view(id)
    if item is None:
        raise Missing(f"There is no message {id} here.", "Check the id.")
    if tag(item, "Type") not in ("Message", "Process"):
        raise Invalid(f"{id} is no message.", "Ask for the id of a message or of a process.")
    tree = _journey(store, unit, tag(item, "Pushed-For") or id)
    _add_later(store, unit, tree)
    return tree


def _journey(store: Store, unit: str, root: str) -> Tree:
    found = store.find(Query(tags=(("Pushed-For", (root,)),), limit=MESSAGES_MAX + 1))
    tree = Tree(root, cut=len(found) > MESSAGES_MAX)
    first = store.view(root)
    pushed = [entry.item for entry in found[:MESSAGES_MAX] if tag(entry.item, "Type") in ("Message", "Process")]
    items = ([first] if first is not None else []) + [item for item in pushed if item.id != root]
    tree.messages = {item.id: item for item in items}
    tree.evaluated = _evaluations(store, unit, list(tree.messages))
    senders = dict(_senders(tree.evaluated))
    for item in items:
        tree.parents[item.id] = None if item.id == root else senders.get(_origin(item)) or _spawn(tree, item) or root
    return tree


def _origin(item: DataItem) -> tuple[str, str]:
    return tag(item, "From-Process") or "", anchor_text(item) or ""


def _spawn(tree: Tree, item: DataItem) -> str | None:
    """What a message about a new process comes from: that process. The messenger wrote it, so no result lists it."""
    process = tag(item, "Process")
    return process if tag(item, "Action") == "Spawned" and process in tree.messages else None


def _senders(evaluated: dict[str, list[Evaluated]]) -> Iterator[tuple[tuple[str, str], str]]:
    """For what was sent, by process and anchor: the message that made the process send it."""
    for message, results in evaluated.items():
        for each in results:
            for entry in (*each.result.messages, *each.result.spawns):
                anchor = entry.get("Anchor") if isinstance(entry, dict) else None
                if isinstance(anchor, str):
                    yield (each.process, anchor), message


def _evaluations(store: Store, unit: str, ids: Sequence[str]) -> dict[str, list[Evaluated]]:
    found: dict[str, list[Evaluated]] = {}
    for part in _parts(ids):
        query = Query(owners=(unit,), tags=(("Type", ("Result",)), ("Message", part)), limit=10 * IDS_AT_ONCE)
        for entry in store.find(query):
            message, nonce = tag(entry.item, "Message") or "", tag(entry.item, "Nonce") or "0"
            result = Result.decode(bytes(entry.item.data))
            each = Evaluated(tag(entry.item, "Process") or "", int(nonce), result)
            found.setdefault(message, []).append(each)
    return found


def _add_later(store: Store, unit: str, tree: Tree) -> None:
    """Hang answers that came in other journeys below the payments they are for."""
    waiting = [item for item in tree.messages.values() if tag(item, "Action") == "Credit-Notice"]
    while waiting and len(tree.later) < LATER_MAX:
        paid = {item.id: item for item in waiting}
        waiting = []
        for part in _parts(list(paid)):
            for entry in store.find(Query(tags=(("Payment", part),), limit=IDS_AT_ONCE)):
                answer, payment = entry.item, paid[tag(entry.item, "Payment") or ""]
                # Anybody can name a payment; only who was paid answers for it.
                if answer.id in tree.messages or tag(answer, "From-Process") != payment.target:
                    continue
                journey = _journey(store, unit, tag(answer, "Pushed-For") or answer.id)
                for id in _below(journey, answer.id):
                    if id in tree.messages:
                        continue
                    tree.messages[id] = journey.messages[id]
                    tree.parents[id] = payment.id if id == answer.id else journey.parents[id]
                    tree.evaluated[id] = journey.evaluated.get(id, [])
                    tree.later[id] = journey.root
                    if tag(journey.messages[id], "Action") == "Credit-Notice":
                        waiting.append(journey.messages[id])


def _below(tree: Tree, top: str) -> Iterable[str]:
    """`top` and everything that it caused, causes first."""
    children: dict[str | None, list[str]] = {}
    for id, parent in tree.parents.items():
        children.setdefault(parent, []).append(id)
    found = [top] if top in tree.messages else []
    for id in found:
        found += children.get(id, ())
    return found


def _parts(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(ids), IDS_AT_ONCE):
        yield tuple(ids[start : start + IDS_AT_ONCE])


# --- as JSON ---


def summary(item: DataItem) -> dict[str, Any]:
    """What a list shows of a message or process. Texts are as their writers wrote them: never markup."""
    kind = tag(item, "Type")
    return {
        "id": item.id,
        "type": kind,
        "action": tag(item, "Action") or "",
        "name": tag(item, "Name") or "" if kind == "Process" else "",
        "from": tag(item, "From-Process") or owner_address(item),
        "pushed": tag(item, "From-Process") is not None,
        "to": item.target or (item.id if kind == "Process" else ""),
        "root": tag(item, "Pushed-For") or item.id,
        "quantity": tag(item, "Quantity") or "",
        "size": item.data_bytes,
    }


def shown(tree: Tree) -> dict[str, Any]:
    """The tree as the page of a message wants it: a flat list in which causes come before effects."""
    nodes = []
    for id, item in tree.messages.items():
        results = [_shown_result(each) for each in tree.evaluated.get(id, ())]
        node = {**summary(item), "parent": tree.parents[id], "later": tree.later.get(id), "results": results}
        node["data"] = lenient_text(bytes(item.data[:PREVIEW_CHARACTERS]))
        nodes.append(node)
    return {"root": tree.root, "cut": tree.cut, "nodes": nodes}


def _shown_result(each: Evaluated) -> dict[str, Any]:
    output = each.result.output
    text = output.get("data", "") if isinstance(output, dict) else output
    error = each.result.error
    return {
        "process": each.process,
        "nonce": each.nonce,
        "gas": each.result.gas_used,
        "error": None if error is None else str(error)[:PREVIEW_CHARACTERS],
        "output": (text if isinstance(text, str) else "")[:PREVIEW_CHARACTERS],
        "sent": len(each.result.messages) + len(each.result.spawns) + len(each.result.assignments),
    }

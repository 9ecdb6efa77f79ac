"""What pages ask of a node where GraphQL, dry-runs and the scheduler's feed do not suffice. See docs/explorer.md.

Called by routes.py. All of it is read from the store; only `gift` does something, and only for pages of this node.
"""

import asyncio
import time
from collections import deque
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.ao.message import lenient_text, tag
from puna.ao.wire import json_reply, number_of, usual_status
from puna.arweave.dataitem import DataItem
from puna.arweave.gateway.reply import TooLarge, bounded_body
from puna.arweave.ids import is_id
from puna.arweave.store.port import Query
from puna.errors import Invalid, Missing, NodeError, NotYet
from puna.node.node import Node
from puna.services.herder.batch import ANSWERS, unfolded
from puna.services.outbox import Sent
from puna.services.token.client import balance, format_war, transfer
from puna.web.tree import shown, summary, tree_of

LIST_MAX = 100
POINTS_MAX = 500  # of a chart
NAMED_MAX = 2000  # processes whose names are looked through
HITS_MAX = 20
GIFT_WINSTON = 10**9  # 0.001 wAR: some hundred million words at the price of 1 winston
GIFTS_AN_HOUR = 60
GIFT_BODY_MAX = 1024


def api_routes(node: Node, gifts_given: bool) -> list[Route]:
    """Routes below /web/api/, each answering JSON; errors are {"error": what and what to do}."""
    store = node.store
    gifts = _Gifts(node)

    async def recent(request: Request) -> Response:
        limit = max(1, min(number_of(request, "limit") or 50, LIST_MAX))
        query = Query(
            tags=(("Data-Protocol", ("ao",)), ("Type", ("Message", "Process"))), limit=limit, newest_first=True
        )
        return json_reply([await _placed(node, entry.item) for entry in store.find(query)])

    async def tree(request: Request) -> Response:
        found = await asyncio.to_thread(tree_of, store, node.keys.compute.address, request.path_params["id"])
        return json_reply(shown(found))

    async def messages(request: Request) -> Response:
        ids = [id for id in request.query_params.get("ids", "").split(",")[:LIST_MAX] if is_id(id)]
        return json_reply([await _placed(node, item) for item in store.view_all(ids) if item is not None])

    async def gas(request: Request) -> Response:
        process = request.path_params["process"]
        query = Query(
            owners=(node.keys.compute.address,), tags=(("Type", ("Result",)), ("Process", (process,))),
            limit=POINTS_MAX, newest_first=True,
        )  # fmt: skip
        points = [
            {
                "nonce": int(tag(entry.item, "Nonce") or tag(entry.item, "Ordinate") or 0),
                "message": tag(entry.item, "Message"),
                "cron": tag(entry.item, "Cron-Interval"),
                "gas": int(tag(entry.item, "Gas-Used") or 0),
                "state_root": tag(entry.item, "State-Root"),
                "attestation": entry.item.id,
            }
            for entry in reversed(store.find(query))
        ]
        return json_reply(points)

    async def find(request: Request) -> Response:
        text = request.query_params.get("q", "").strip()[:200]
        return json_reply(await asyncio.to_thread(_find, node, text))

    async def names(request: Request) -> Response:
        return json_reply(await asyncio.to_thread(_names, node))

    async def herd(request: Request) -> Response:
        return json_reply(await _answers(node))

    async def gift(request: Request) -> Response:
        if not gifts_given:
            return json_reply({"error": "This node gives no gifts. Have somebody send you wAR: puna wallet send."}, 403)
        # Any page of the web could have a browser send this; only ours may have it answered.
        origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
        if origin.partition("://")[2] != host:
            return json_reply({"error": "Gifts are for pages of this node. Open its explorer."}, 403)
        try:
            asked = msgspec.json.decode(await bounded_body(request, GIFT_BODY_MAX))
        except (msgspec.DecodeError, UnicodeError, RecursionError, TooLarge):
            asked = None
        address = asked.get("address") if isinstance(asked, dict) else None
        if not isinstance(address, str) or not is_id(address):
            raise Invalid("There is no address to give to.", 'Send {"address": "<43 characters>"}.')
        return json_reply(await gifts.give(address))

    def guarded(endpoint):
        async def answer(request: Request) -> Response:
            try:
                reply = await endpoint(request)
            except NodeError as error:
                reply = json_reply({"error": str(error)}, usual_status(error))
            reply.headers["Cache-Control"] = "no-store"
            return reply

        return answer

    return [
        Route("/web/api/recent", guarded(recent)),
        Route("/web/api/tree/{id}", guarded(tree)),
        Route("/web/api/messages", guarded(messages)),
        Route("/web/api/gas/{process}", guarded(gas)),
        Route("/web/api/find", guarded(find)),
        Route("/web/api/names", guarded(names)),
        Route("/web/api/herd", guarded(herd)),
        Route("/web/api/gift", guarded(gift), methods=["POST"]),
    ]


async def _placed(node: Node, item: DataItem) -> dict[str, Any]:
    """A summary, with nonce and time of the place an item has, where it has one."""
    told = summary(item)
    try:
        _, assignment = await node.units.scheduler.place(told["to"], item.id)
    except Missing:
        return {**told, "nonce": None, "timestamp": None}
    return {
        **told, "nonce": assignment.nonce, "timestamp": assignment.timestamp_ms, "assignment": assignment.id,
        "height": assignment.block_height, "hash_chain": tag(assignment.item, "Hash-Chain"),
    }  # fmt: skip


# --- names and search ---


def _standing(node: Node) -> dict[str, str]:
    """What the network itself names, by id. Nobody else can write these."""
    network = node.network
    named = {
        network.token: "wAR", network.herder: "Llama herder", network.registry: "Package registry",
        network.module: "Lua module", network.sqlite_module: "Lua module with SQLite",
        network.scheduler: "Scheduler", network.authority: "Messenger", node.keys.compute.address: "Compute unit",
        network.operator: "Operator", network.vault: "Vault of the bridge", node.user.address: "Wallet of this node",
    }  # fmt: skip
    named |= {model.id: f"Model {model.name}" for model in network.models}
    named |= {worker.id: f"Worker {number}" for number, worker in enumerate(network.herd, start=1)}
    named |= _land(node.land.to_json()) if node.land else {}  # it is raised after the rest
    named.pop("", None)
    return named


def _land(land: dict[str, Any]) -> dict[str, str]:
    """The names of coin, characters and worlds of Llama Land, by id."""
    worlds = {id: f"World {name}" for name, id in land.get("worlds", {}).items()}
    characters = {id: name.capitalize() for name, id in land.items() if isinstance(id, str)}
    return {**characters, **worlds, land["coin"]: "Llama Coin"}


def _processes(node: Node) -> list[DataItem]:
    query = Query(tags=(("Data-Protocol", ("ao",)), ("Type", ("Process",))), limit=NAMED_MAX, newest_first=True)
    return [entry.item for entry in node.store.find(query)]


def _names(node: Node) -> dict[str, dict[str, Any]]:
    """Names by id; `standing` says that it is the network's own word, not that of whoever spawned a process."""
    found = {item.id: {"name": tag(item, "Name"), "standing": False} for item in _processes(node) if tag(item, "Name")}
    return found | {id: {"name": name, "standing": True} for id, name in _standing(node).items()}


def _find(node: Node, text: str) -> list[dict[str, str]]:
    """What a text may mean, likeliest first: [{kind, id, name}]."""
    hits: list[dict[str, str]] = []
    if is_id(text):
        hits.append(_kind_of(node, text))
    elif block := node.weave.block_of_hash(text) if len(text) == 64 else None:
        hits.append({"kind": "block", "id": str(block.height), "name": f"Block {block.height}"})
    elif text.isdecimal() and len(text) < 16 and int(text) <= node.weave.tip.height:
        hits.append({"kind": "block", "id": str(int(text)), "name": f"Block {int(text)}"})
    if text and not is_id(text):
        wanted = text.casefold()
        hits += [
            {**_kind_of(node, id), "name": name}
            for id, name in _standing(node).items()
            if wanted in name.casefold()
        ]  # fmt: skip
        known = {hit["id"] for hit in hits}
        hits += [
            {"kind": "process", "id": item.id, "name": tag(item, "Name") or ""}
            for item in _processes(node)
            if wanted in (tag(item, "Name") or "").casefold() and item.id not in known
        ]
    return hits[:HITS_MAX]


def _kind_of(node: Node, id: str) -> dict[str, str]:
    """Which page shows an id. One that nothing is known of is taken for a wallet: every wallet begins so."""
    item = node.store.view(id)
    if item is None:
        kind = "item" if node.weave.tx_note(id) is not None else "wallet"
        return {"kind": kind, "id": id, "name": _standing(node).get(id, "")}
    name = tag(item, "Name") or tag(item, "Action") or ""
    match tag(item, "Type"):
        case "Process":
            return {"kind": "process", "id": id, "name": name}
        case "Message":
            return {"kind": "message", "id": id, "name": name}
        case "Model":
            return {"kind": "models", "id": id, "name": name}
        case "Result" | "Assignment":
            return {"kind": "message", "id": tag(item, "Message") or tag(item, "Process") or id, "name": name}
        case "Checkpoint":
            return {"kind": "process", "id": tag(item, "Process") or id, "name": name}
        case other:
            return {"kind": "item", "id": id, "name": name or other or ""}


# --- the herd ---


async def _answers(node: Node) -> list[dict[str, Any]]:
    """The newest answers of the herd, oldest first: when, by whom, how many tokens, how long, for how much.

    A worker's answer, perhaps to several jobs at once, has a place in the herder's schedule, hence a time; what the
    herder then told the payer has fee and duration. Worker and number of the job join them.
    """
    herder, answer = node.network.herder, "Inference-Response"
    told = Query(tags=(("Action", (answer,)), ("From-Process", (herder,))), limit=POINTS_MAX, newest_first=True)
    done = Query(recipients=(herder,), tags=(("Action", (answer, ANSWERS)),), limit=POINTS_MAX, newest_first=True)
    paid = {(tag(entry.item, "Worker"), tag(entry.item, "Job")): entry.item for entry in node.store.find(told)}
    # Anybody may write to the herder; it answers a payer only for its own workers.
    workers = {worker for worker, _ in paid}
    found = []
    for entry in node.store.find(done):
        worker = tag(entry.item, "From-Process")
        jobs = _jobs_answered(entry.item) if worker in workers else []
        answers = [paid.pop((worker, job)) for job in reversed(jobs) if (worker, job) in paid]
        if answers:
            placed = await _placed(node, entry.item)
            found += [_answer_shown(each, entry.item.id, placed) for each in answers]
    return found[::-1]


def _jobs_answered(item: DataItem) -> list[str]:
    message = Sent(item.target, dict(reversed(item.tags)), lenient_text(bytes(item.data)))
    return [said.tags.get("Job", "") for said in unfolded([message]) if said.action == "Inference-Response"]


def _answer_shown(answer: DataItem, message: str, placed: dict[str, Any]) -> dict[str, Any]:
    return {
        "job": tag(answer, "Job"), "message": message, "response": answer.id, "payer": answer.target,
        "worker": tag(answer, "Worker"), "time": placed["timestamp"], "model": tag(answer, "Model-Name") or "",
        "tokens": _whole(answer, "Tokens-Used"), "prompt_tokens": _whole(answer, "Prompt-Tokens"),
        "duration": _whole(answer, "Duration"), "fee": tag(answer, "Fee") or "0", "root": placed["root"],
    }  # fmt: skip


def _whole(item: DataItem, name: str) -> int | None:
    value = tag(item, name) or ""
    return int(value) if value.isdecimal() and len(value) < 16 else None


# --- gifts ---


class _Gifts:
    """A little wAR for new wallets in browsers, from the wallet of this node's home: enough to ask something.

    One for each address, and only so many in an hour; both are forgotten when the node stops.
    """

    def __init__(self, node: Node):
        self._node = node
        self._given: set[str] = set()
        self._times: deque[float] = deque(maxlen=GIFTS_AN_HOUR)

    async def give(self, address: str) -> dict[str, str]:
        node = self._node
        now = time.monotonic()
        if address in self._given or await balance(node.link, node.network.token, address) >= GIFT_WINSTON:
            raise Invalid("This wallet has had its gift.", "Have somebody send it wAR: puna wallet send.")
        if len(self._times) == GIFTS_AN_HOUR and now - self._times[0] < 3600:
            raise NotYet(f"{GIFTS_AN_HOUR} wallets had a gift within the hour.", "Come again later.")
        self._given.add(address)  # before anything waits: two requests at once are one gift
        self._times.append(now)
        try:
            paid = await transfer(node.link, node.user, node.network.token, address, GIFT_WINSTON)
        except BaseException:
            self._given.discard(address)
            raise
        return {"transfer": paid, "war": format_war(GIFT_WINSTON), "from": node.user.address}

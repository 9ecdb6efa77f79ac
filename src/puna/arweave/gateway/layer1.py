"""Arweave's own HTTP: transactions, chunks, blocks, wallets and prices, in the words of its nodes.

Source: protocol reference 1.7. What `/mine` and `/mint` do is done by local development networks under these names.
"""

from ipaddress import ip_address
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.arweave.gateway.library import Library
from puna.arweave.gateway.reply import TooLarge, bounded_body, json_of, text
from puna.arweave.ids import b64url_decode, b64url_encode, is_id
from puna.arweave.transaction import Transaction, transaction_from_json, transaction_to_json
from puna.arweave.weave import AlreadyHere, BadChunk
from puna.errors import Invalid, NotYet

NETWORK = "puna.N.1"
INLINE_BYTES_MAX = 12 << 20  # data that a transaction's JSON carries; more comes in chunks
TX_BODY_MAX = 2 * INLINE_BYTES_MAX
CHUNK_BODY_MAX = 1 << 20
NUMBER_MAX = 1 << 53
MINED_AT_ONCE_MAX = 100
MINT_MAX = 10**22
ONLY_HERE = "Only programs on the node's own machine may ask for this."
FIELDS = ("id", "last_tx", "owner", "tags", "target", "quantity", "data_root", "data_size", "reward", "signature")


def layer1_routes(library: Library, release: str) -> list[Route]:
    weave = library.weave

    async def info(request: Request) -> Response:
        tip = weave.tip
        return json_of(
            {
                "network": NETWORK,
                "version": 5,
                "release": 1,
                "puna": release,
                "height": tip.height,
                "current": tip.indep_hash,
                "blocks": tip.height + 1,
                "peers": 0,
                "queue_length": 0,
                "node_state_latency": 0,
            }
        )

    async def anchor(request: Request) -> Response:
        return text(weave.tip.indep_hash)

    async def price(request: Request) -> Response:
        size, address = request.path_params["bytes"], request.path_params.get("address", "")
        if _number(size) is None:
            return json_of({"error": "size_must_be_an_integer"}, 400)
        if address and not is_id(address):
            return text("Invalid address.", 400)
        return text(str(weave.price(int(size), address)))

    async def wallet(request: Request) -> Response:
        address, what = request.path_params["address"], request.path_params["what"]
        if not is_id(address):
            return text("Invalid address.", 400)
        if what == "balance":
            return text(str(weave.balance(address)))
        return text(weave.last_tx(address)) if what == "last_tx" else text("Not Found.", 404)

    async def post_tx(request: Request) -> Response:
        try:
            value = msgspec.json.decode(await bounded_body(request, TX_BODY_MAX))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return text("Invalid JSON.", 400)
        try:
            tx = transaction_from_json(value)
        except Invalid as error:
            return text("Invalid hash." if "id is not" in error.what else f"Invalid JSON. {error.what}", 400)
        if len(tx.data) > INLINE_BYTES_MAX:
            raise TooLarge
        try:
            await weave.post(tx)
        except AlreadyHere as error:
            return text(error.what, 208)
        except Invalid as error:
            return text(error.what, 400)
        except NotYet as error:
            return text(str(error), 503)
        return text("OK")

    async def get_tx(request: Request) -> Response:
        id = request.path_params["id"]
        found = await _mined_tx(library, id)
        if isinstance(found, Response):
            return found
        data = b""
        if found.data_size <= INLINE_BYTES_MAX:
            data = weave.transaction_body(id).all()
        return json_of(transaction_to_json(found, data=data))

    async def status(request: Request) -> Response:
        id = request.path_params["id"]
        found = await _mined_tx(library, id)
        if isinstance(found, Response):
            return found
        block = weave.place_of_transaction(id).block
        return json_of(
            {
                "block_height": block["height"],
                "block_indep_hash": block["id"],
                # The first block counts. Of another weave we only know that it is in one.
                "number_of_confirmations": max(weave.tip.height - block["height"] + 1, 1),
            }
        )

    async def offset(request: Request) -> Response:
        note = weave.tx_note(request.path_params["id"])
        if note is None or note.height < 0:
            return Response(status_code=404)
        tx = weave.transaction(request.path_params["id"])
        return json_of({"offset": str(note.end), "size": str(tx.data_size)})

    async def field(request: Request) -> Response:
        id, name = request.path_params["id"], request.path_params["field"]
        if name != "data" and name not in FIELDS:
            return json_of({"error": "invalid_field"}, 400)
        found = await _mined_tx(library, id)
        if isinstance(found, Response):
            return found
        if name == "data":
            if found.data_size > INLINE_BYTES_MAX:
                return json_of({"error": "tx_data_too_big"}, 400)
            return text(b64url_encode(weave.transaction_body(id).all()))
        value = transaction_to_json(found)[name]
        return json_of(value) if name == "tags" else text(value)

    async def post_chunk(request: Request) -> Response:
        try:
            value = msgspec.json.decode(await bounded_body(request, CHUNK_BODY_MAX))
            chunk = _chunk(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return json_of({"error": "invalid_json"}, 400)
        except BadChunk as error:
            return json_of({"error": error.what}, 400)
        try:
            await weave.add_chunk(*chunk)
        except BadChunk as error:
            return json_of({"error": error.what}, 400)
        return Response()

    async def get_chunk(request: Request) -> Response:
        offset = _number(request.path_params["offset"])
        if offset is None:
            return json_of({"error": "invalid_offset"}, 400)
        found = weave.chunk_at(offset)
        return json_of(found) if found else Response(status_code=404)

    async def block(request: Request) -> Response:
        by, key = request.path_params["by"], request.path_params["key"]
        if by == "height":
            if _number(key) is None:
                return text("Invalid height.", 400)
            found = weave.block(int(key))
        else:
            found = weave.block_of_hash(key) if by == "hash" else None
        return json_of(found.to_json()) if found else text("Block not found.", 404)

    async def current(request: Request) -> Response:
        return json_of(weave.tip.to_json())

    async def peers(request: Request) -> Response:
        return json_of([])

    async def pending(request: Request) -> Response:
        return json_of([key.rpartition("/")[2] for key, _ in weave.store.notes("weave/waiting/")])

    async def mine(request: Request) -> Response:
        if not _from_here(request):
            return text(ONLY_HERE, 403)
        count = _number(request.path_params.get("count", "1"))
        if count is None or count > MINED_AT_ONCE_MAX:
            return text(f"Mine 1 to {MINED_AT_ONCE_MAX} blocks.", 400)
        for _ in range(count):
            await weave.mine(even_empty=True)
        return json_of(weave.tip.to_json())

    async def mint(request: Request) -> Response:
        if not _from_here(request):
            return text(ONLY_HERE, 403)
        address, winston = request.path_params["address"], _number(request.path_params["winston"], MINT_MAX)
        if not is_id(address):
            return text("Invalid address.", 400)
        if winston is None:
            return text("Invalid quantity.", 400)
        await weave.grant(address, winston)
        return text(str(weave.balance(address)))

    return [
        Route("/", info),
        Route("/info", info),
        Route("/tx_anchor", anchor),
        Route("/price/{bytes}", price),
        Route("/price/{bytes}/{address}", price),
        Route("/wallet/{address}/{what}", wallet),
        Route("/tx/pending", pending),
        Route("/tx/{id}", get_tx),
        Route("/tx/{id}/status", status),
        Route("/tx/{id}/offset", offset),
        Route("/tx/{id}/{field}", field),
        Route("/tx", post_tx, methods=["POST"]),
        Route("/chunk", post_chunk, methods=["POST"]),
        Route("/chunk/{offset}", get_chunk),
        Route("/block/current", current),
        Route("/current_block", current),
        Route("/block/{by}/{key}", block),
        Route("/peers", peers),
        Route("/mine", mine),
        Route("/mine/{count}", mine),
        Route("/mint/{address}/{winston}", mint),
    ]


async def _mined_tx(library: Library, id: str) -> Transaction | Response:
    """The transaction, or why it cannot be shown."""
    if not is_id(id):
        return text("Invalid hash.", 400)
    await library.bring(id)
    note = library.weave.tx_note(id)
    if note is None:
        return text("Not Found.", 404)
    if library.weave.place_of_transaction(id).block is None:
        return text("Pending", 202)
    return library.weave.transaction(id)


def _from_here(request: Request) -> bool:
    """Whether the asker is on this machine. Local winston buys real work of this node, so strangers make none."""
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _number(text: str, limit: int = NUMBER_MAX) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 30 and int(text) <= limit else None


def _chunk(value: Any) -> tuple[str, int, bytes, int, bytes]:
    """The parts of a posted chunk. Raises BadChunk with the wire's code."""
    if not isinstance(value, dict):
        raise BadChunk("invalid_json")
    if "offset" not in value:
        raise BadChunk("offset_field_required")
    numbers = []
    for name in ("data_size", "offset"):
        digits = str(value.get(name, ""))
        if not digits.isascii() or not digits.isdigit():
            raise BadChunk("invalid_json")
        number = _number(digits)
        if number is None:
            raise BadChunk(f"{name}_too_big")
        numbers.append(number)
    root = value.get("data_root")
    try:
        path, chunk = b64url_decode(value.get("data_path")), b64url_decode(value.get("chunk"))
    except Invalid:
        raise BadChunk("invalid_json") from None
    if not isinstance(root, str):
        raise BadChunk("invalid_json")
    return root, numbers[0], path, numbers[1], chunk

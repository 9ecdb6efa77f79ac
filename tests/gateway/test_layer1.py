"""Arweave's HTTP: every route, with the statuses and words of the protocol reference 1.7."""

import json
from dataclasses import replace

from puna.arweave.gateway.library import Library
from puna.arweave.gateway.routes import gateway_application
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.merkle import tree_of_bytes
from puna.arweave.transaction import transaction_from_json, transaction_to_json, verify_transaction

BIG = bytes(range(256)) * 2344  # 600,064 bytes
NOBODY = "A" * 43
JSON = {"Content-Type": "application/json"}


async def chunks(at, data):
    """What arweave js posts for `data`."""
    tree = tree_of_bytes(data)
    for leaf, span in enumerate(tree.spans):
        if span.start < span.end:
            yield {
                "data_root": b64url_encode(tree.root), "data_size": str(len(data)), "offset": str(span.end - 1),
                "data_path": b64url_encode(tree.proof(leaf)), "chunk": b64url_encode(data[span.start : span.end]),
            }  # fmt: skip


async def test_info_tells_the_tip(at):
    await at.weave.mine(even_empty=True)
    for path in ("/", "/info"):
        status, body = await at.get(path)
        info = json.loads(body)
        assert status == 200 and info["height"] == 1 and info["current"] == at.weave.tip.indep_hash
        assert {type(info[name]) for name in ("version", "release", "blocks", "peers", "queue_length")} == {int}


async def test_statement_13_balance_price_and_anchor_are_plain_text(at, rsa_wallet):
    assert await at.get(f"/wallet/{rsa_wallet.address}/balance") == (200, b"1000000000000000")
    assert await at.get(f"/wallet/{NOBODY}/balance") == (200, b"0")
    assert await at.get(f"/wallet/{rsa_wallet.address}/last_tx") == (200, b"")
    status, price = await at.get("/price/10")
    assert status == 200 and price.isdigit()
    assert int((await at.get(f"/price/10/{NOBODY}"))[1]) > int(price)
    assert int((await at.get("/price/300000"))[1]) > int(price)
    status, anchor = await at.get("/tx_anchor", headers={"Accept": "application/json"})
    assert status == 200 and len(anchor) == 64 and len(b64url_decode(anchor.decode())) == 48


WRONG = [
    ("/price/ten", 400, '{"error":"size_must_be_an_integer"}'),
    ("/price/-1", 400, '{"error":"size_must_be_an_integer"}'),
    ("/price/10/nobody", 400, "Invalid address."),
    ("/wallet/nobody/balance", 400, "Invalid address."),
    ("/wallet/nobody/last_tx", 400, "Invalid address."),
    ("/tx/short", 400, "Invalid hash."),
    (f"/tx/{NOBODY}", 404, "Not Found."),
    (f"/tx/{NOBODY}/status", 404, "Not Found."),
    (f"/tx/{NOBODY}/offset", 404, ""),
    (f"/tx/{NOBODY}/data", 404, "Not Found."),
    (f"/tx/{NOBODY}/colour", 400, '{"error":"invalid_field"}'),
    ("/block/height/9", 404, "Block not found."),
    ("/block/height/x", 400, "Invalid height."),
    (f"/block/hash/{NOBODY}", 404, "Block not found."),
    ("/chunk/1", 404, ""),
    ("/chunk/x", 400, '{"error":"invalid_offset"}'),
    (f"/{NOBODY}", 404, "Not found"),
    (f"/raw/{NOBODY}", 404, "Not found"),
    ("/nothing", 404, "Not found"),
    ("/mine/1000000", 400, "Mine 1 to 100 blocks."),
    ("/mint/nobody/1", 400, "Invalid address."),
]


async def test_what_is_not_there_or_makes_no_sense_is_said_in_the_words_of_the_network(at):
    for path, status, words in WRONG:
        assert await at.get(path) == (status, words.encode()), path


async def test_statements_9_and_12_a_transaction_is_posted_waits_and_is_mined(at, rsa_wallet):
    tx = at.signed(rsa_wallet, b"ten bytes!", tags=[("Content-Type", "text/plain")])
    assert await at.post_tx(tx) == (200, b"OK")
    assert await at.post_tx(tx) == (208, b"Transaction already processed.")
    assert await at.get(f"/tx/{tx.id}") == (202, b"Pending")
    assert await at.get(f"/tx/{tx.id}/status") == (202, b"Pending")
    assert json.loads((await at.get("/tx/pending"))[1]) == [tx.id]
    assert (await at.get("/mine"))[0] == 200
    await at.weave.mine(even_empty=True)
    status, body = await at.get(f"/tx/{tx.id}")
    read = transaction_from_json(json.loads(body))
    assert status == 200 and read == tx
    verify_transaction(read)
    status, body = await at.get(f"/tx/{tx.id}/status")
    block = at.weave.block(1)
    assert json.loads(body) == {
        "block_height": 1, "block_indep_hash": block.indep_hash, "number_of_confirmations": 2,
    }  # fmt: skip
    assert await at.get(f"/tx/{tx.id}/data") == (200, b64url_encode(b"ten bytes!").encode())
    assert await at.get(f"/tx/{tx.id}/owner") == (200, b64url_encode(rsa_wallet.owner).encode())
    assert await at.get(f"/wallet/{rsa_wallet.address}/last_tx") == (200, tx.id.encode())
    async with at.web.get(f"{at.url}/{tx.id}") as reply:
        assert reply.content_type == "text/plain" and await reply.read() == b"ten bytes!"


async def test_blocks_are_shown_by_height_by_hash_and_the_newest(at, rsa_wallet):
    await at.post_tx(at.signed(rsa_wallet, b"x"))
    block = await at.weave.mine()
    shown = [await at.get(path) for path in ("/block/height/1", f"/block/hash/{block.indep_hash}", "/block/current")]
    assert shown[0] == shown[1] == shown[2]
    value = json.loads(shown[0][1])
    wanted = {
        "height", "indep_hash", "previous_block", "timestamp", "txs", "tx_root", "weave_size", "block_size",
        "reward_addr", "nonce", "diff", "hash", "wallet_list",
    }  # fmt: skip
    assert wanted <= value.keys() and isinstance(value["timestamp"], int)
    assert value["previous_block"] == at.weave.block(0).indep_hash
    assert json.loads((await at.get("/peers"))[1]) == []


async def test_statements_10_and_11_large_data_goes_up_in_chunks_and_comes_back_by_offset(at, rsa_wallet):
    tx = at.signed(rsa_wallet, BIG)
    assert await at.post_tx(tx, data=b"") == (200, b"OK")
    posted = [chunk async for chunk in chunks(at, BIG)]
    bad = posted[0] | {"data_path": posted[1]["data_path"]}
    assert await at.post("/chunk", json=bad) == (400, b'{"error":"invalid_proof"}')
    assert await at.get(f"/{tx.id}") == (202, b"Pending")
    for chunk in posted:
        assert (await at.post("/chunk", json=chunk))[0] == 200
    assert (await at.get(f"/tx/{tx.id}/offset"))[0] == 404
    await at.weave.mine()
    place = json.loads((await at.get(f"/tx/{tx.id}/offset"))[1])
    start, read = int(place["offset"]) - int(place["size"]) + 1, b""
    while len(read) < int(place["size"]):
        status, body = await at.get(f"/chunk/{start + len(read)}")
        assert status == 200
        read += b64url_decode(json.loads(body)["chunk"])
    assert read == BIG
    assert await at.get(f"/{tx.id}") == (200, BIG)


BAD_CHUNKS = [
    ({"offset": None}, "offset_field_required"), ({"offset": "9" * 25}, "offset_too_big"),
    ({"data_size": "9" * 25}, "data_size_too_big"), ({"chunk": "?"}, "invalid_json"),
    ({"data_path": 7}, "invalid_json"), ({"data_root": 7}, "invalid_json"), ({"offset": "-1"}, "invalid_json"),
    ({"data_root": NOBODY}, "data_root_not_found"), ({"chunk": b64url_encode(bytes(262145))}, "chunk_too_big"),
    ({"data_path": b64url_encode(bytes(5000))}, "data_path_too_big"),
    ({"chunk": "QQ"}, "chunk_proof_ratio_not_attractive"),
]  # fmt: skip


async def test_a_bad_chunk_gets_its_code(at, rsa_wallet):
    await at.post_tx(at.signed(rsa_wallet, BIG), data=b"")
    good = [chunk async for chunk in chunks(at, BIG)][0]
    for change, code in BAD_CHUNKS:
        chunk = {name: value for name, value in (good | change).items() if value is not None}
        assert await at.post("/chunk", json=chunk) == (400, b'{"error":"%s"}' % code.encode())


async def test_bad_transactions_get_a_clear_word_and_the_node_goes_on(at, rsa_wallet):
    tx = at.signed(rsa_wallet, b"ten bytes!")
    good = transaction_to_json(tx, data=tx.data)
    flipped = bytes([rsa_wallet.owner[0] ^ 1]) + rsa_wallet.owner[1:]
    for bad, words in (
        (good | {"id": NOBODY}, b"Invalid hash."),
        (good | {"owner": b64url_encode(flipped)}, b"Transaction verification failed."),
        (good | {"reward": "0"}, b"Transaction verification failed."),
        (good | {"tags": [{"name": "QQ", "value": "QQ"}]}, b"Transaction verification failed."),
        (good | {"data": "QQ"}, b"Transaction verification failed."),
        (good | {"data": b64url_encode(b"ten bytes?")}, b"The attached data is split in an unknown way."),
        (transaction_to_json(replace(at.signed(rsa_wallet, last_tx=b"\1" * 48))), b"Invalid anchor (last_tx)."),
    ):
        assert await at.post("/tx", json=bad) == (400, words)
    for junk in (b'{"format":"\xff"}', b"", b"{", b"[]", b"null", b"{}", b"[" * 100_000, b'{"format":2}', b"\xff\xfe"):
        status, words = await at.post("/tx", data=junk, headers=JSON)
        assert status == 400 and words.startswith((b"Invalid JSON.", b"Invalid hash."))
        status, words = await at.post("/chunk", data=junk)
        assert status == 400 and b"error" in words
    assert await at.post("/chunk", data=b"x" * 2_000_000) == (413, b"Payload too large")
    assert await at.post("/tx", data=b"x" * 26_000_000, headers=JSON) == (413, b"Payload too large")
    assert await at.post_tx(tx) == (200, b"OK")


async def test_a_faucet_gives_local_winston(at):
    assert await at.get(f"/mint/{NOBODY}/5") == (200, b"5")
    assert await at.get(f"/mint/{NOBODY}/5") == (200, b"10")


async def test_strangers_neither_mint_nor_mine(at):
    app = gateway_application(Library(at.weave), "test")
    for path in (f"/mint/{NOBODY}/5", "/mine"):
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "unix"):
            said = []

            async def send(event, said=said):
                said.append(event)

            scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"",
                     "client": (host, 1)}  # fmt: skip
            await app(scope, None, send)
            assert said[0]["status"] == 403
    assert at.weave.tip.height == 0 and at.weave.balance(NOBODY) == 0


async def test_any_page_in_a_browser_may_ask(at):
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST",
               "Access-Control-Request-Headers": "content-type,x-anything"}  # fmt: skip
    async with at.web.options(at.url + "/tx", headers=headers) as reply:
        assert reply.status == 200 and reply.headers["Access-Control-Allow-Origin"] in ("*", "https://example.org")
    async with at.web.get(at.url + "/info", headers={"Origin": "https://example.org"}) as reply:
        assert reply.headers["Access-Control-Allow-Origin"] == "*"

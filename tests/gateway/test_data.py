"""Permanent data by id, whole and in parts; the uploader; path manifests."""

import json
from dataclasses import replace

from arweave.strategies import ED25519, ETHEREUM
from gateway.serving import OCTETS
from hypothesis import given
from hypothesis import strategies as st

from puna.arweave.bundle import BUNDLE_TAGS, encode_bundle
from puna.arweave.dataitem import encode_item, sign_item
from puna.arweave.deephash import deep_hash
from puna.arweave.gateway.reply import range_of
from puna.arweave.ids import b64url_decode
from puna.arweave.keys import rsa

HUNDRED = bytes(range(100))


async def test_statement_18_an_item_is_taken_with_a_receipt_and_read_back(at):
    for path in ("/tx", "/tx/arweave"):
        item = sign_item(ETHEREUM, path.encode(), [("Content-Type", "text/css")])
        status, body = await at.post(path, data=encode_item(item), headers=OCTETS)
        receipt = json.loads(body)
        assert status == 200 and receipt["id"] == item.id and isinstance(receipt["timestamp"], int)
        said = ["Bundlr", receipt["version"], item.id, str(receipt["deadlineHeight"]), str(receipt["timestamp"])]
        message = deep_hash([word.encode() for word in said])
        assert rsa.verify(b64url_decode(receipt["public"]), message, b64url_decode(receipt["signature"]))
        async with at.web.get(f"{at.url}/{item.id}") as reply:
            assert reply.content_type == "text/css" and await reply.read() == path.encode()
            assert "immutable" in reply.headers["Cache-Control"]
        assert await at.get(f"/raw/{item.id}") == (200, path.encode())


async def test_statement_18_what_is_not_a_sound_item_is_not_stored(at):
    item = sign_item(ED25519, b"true")
    forged = replace(item, data=b"lies")
    before = at.weave.store.last_sequence()
    for body, headers, words in (
        (encode_item(forged), OCTETS, b"Invalid Data Item!"),
        (encode_item(item)[:70], OCTETS, b"Data item parsing error!"),
        (b"", OCTETS, b"Data item parsing error!"),
        (encode_item(item), {"Content-Type": "text/plain"}, b"Invalid Content Type"),
    ):
        assert await at.post("/tx/arweave", data=body, headers=headers) == (400, words)
    assert at.weave.store.last_sequence() == before


RANGES = [
    ("bytes=0-9", 206, (0, 9)), ("bytes=90-100", 206, (90, 99)), ("bytes=90-", 206, (90, 99)),
    ("bytes=-5", 206, (95, 99)), ("bytes=0100-99", 200, None), ("bytes=5-4", 200, None),
    ("bytes=1-2,4-5", 200, None), ("bytes=-", 200, None), ("lines=1-2", 200, None), ("bytes=a-b", 200, None),
    ("bytes=100-200", 416, None), ("bytes=99-99", 206, (99, 99)),
]  # fmt: skip


async def test_statement_14_ranges(at):
    item = sign_item(ED25519, HUNDRED)
    await at.weave.upload(item)
    for asked, status, part in RANGES:
        async with at.web.get(f"{at.url}/{item.id}", headers={"Range": asked}) as reply:
            body = await reply.read()
            assert reply.status == status, asked
            if part:
                assert reply.headers["Content-Range"] == f"bytes {part[0]}-{part[1]}/100"
                assert reply.headers["Accept-Ranges"] == "bytes"
            if status != 416:
                start, end = part or (0, 99)
                assert body == HUNDRED[start : end + 1] and reply.headers["Content-Length"] == str(len(body))


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,5}-\d{0,5}", fullmatch=True), st.integers(0, 1000))
def test_a_range_is_within_the_body_whatever_is_asked(header, size):
    try:
        part = range_of(header, size)
    except ValueError:
        return
    assert part is None or 0 <= part[0] < part[1] <= size


async def test_statement_15_head_tells_the_true_length_and_never_compresses(at):
    item = sign_item(ED25519, b"a" * 300_000)
    await at.weave.upload(item)
    for path in (f"/{item.id}", f"/raw/{item.id}"):
        async with at.web.head(at.url + path, headers={"Accept-Encoding": "gzip, br"}) as reply:
            assert reply.status == 200 and reply.headers["Content-Length"] == "300000"
            assert "Content-Encoding" not in reply.headers
    async with at.web.head(f"{at.url}/{'A' * 43}") as reply:
        assert reply.status == 404


async def test_a_large_item_comes_and_goes_in_parts(at):
    data = bytes(range(256)) * 12_000  # 3 MB: over every bound under which bodies are held in memory
    item = sign_item(ED25519, data)
    assert (await at.post("/tx", data=encode_item(item), headers=OCTETS))[0] == 200
    assert await at.get(f"/{item.id}") == (200, data)
    status, part = await at.get(f"/raw/{item.id}", headers={"Range": "bytes=1000000-2000000"})
    assert status == 206 and part == data[1_000_000:2_000_001]
    await at.weave.mine()
    bundle = at.weave.tip.bundle
    status, part = await at.get(f"/{bundle}", headers={"Range": "bytes=-1000"})
    assert status == 206 and part == data[-1000:]


async def test_statement_8_a_posted_bundle_is_unpacked(at, rsa_wallet):
    items = [sign_item(ED25519, b"%d" % number) for number in range(3)]
    await at.post_tx(at.signed(rsa_wallet, encode_bundle(items), tags=BUNDLE_TAGS))
    for number, item in enumerate(items):
        assert await at.get(f"/{item.id}") == (200, b"%d" % number)


async def test_a_type_that_no_header_can_say_is_not_said(at):
    for type in ("text/html\r\nX-Evil: 1", "é", "", "x" * 300):
        item = sign_item(ED25519, b"data", [("Content-Type", type)])
        await at.weave.upload(item)
        async with at.web.get(f"{at.url}/{item.id}") as reply:
            assert reply.status == 200 and reply.content_type == "application/octet-stream"
            assert "X-Evil" not in reply.headers


async def test_a_path_manifest_leads_to_what_it_names(at):
    page, other = sign_item(ED25519, b"<p>", [("Content-Type", "text/html")]), sign_item(ED25519, b"gone")
    manifest = {
        "manifest": "arweave/paths", "version": "0.2.0", "index": {"path": "index.html"},
        "fallback": {"id": other.id}, "paths": {"index.html": {"id": page.id}, "a/b": {"id": "A" * 43}},
    }  # fmt: skip
    kind = [("Content-Type", "application/x.arweave-manifest+json")]
    item = sign_item(ED25519, json.dumps(manifest).encode(), kind)
    broken = sign_item(ED25519, b"[1]", kind)
    for stored in (page, other, item, broken):
        await at.weave.upload(stored)
    assert await at.get(f"/{item.id}") == (200, b"<p>")
    assert await at.get(f"/{item.id}/index.html") == (200, b"<p>")
    assert await at.get(f"/{item.id}/nowhere") == (404, b"gone")
    assert await at.get(f"/{item.id}/a/b") == (404, b"Not found")
    assert await at.get(f"/raw/{item.id}") == (200, json.dumps(manifest).encode())
    assert await at.get(f"/{broken.id}") == (200, b"[1]")
    assert await at.get(f"/{page.id}/x") == (404, b"Not found")

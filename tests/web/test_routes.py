"""The web room over HTTP: who gets a page, what files are served, and what pages may do."""

import json

import aiohttp
import pytest
from yarl import URL

from puna.arweave.dataitem import encode_item, sign_item
from puna.arweave.tags import Tag
from puna.arweave.wallet import new_ed25519_wallet
from puna.cli.up import pages_of


@pytest.fixture
async def get(node):
    async with aiohttp.ClientSession() as session:

        async def get(path: str, **headers: str):
            async with session.get(URL(node.places["gateway"] + path, encoded=True), headers=headers) as reply:
                return reply.status, reply.headers, await reply.read()

        yield get


async def test_the_root_is_a_page_for_browsers_and_arweaves_info_for_programs(get):
    _, headers, body = await get("/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert headers["Content-Type"].startswith("text/html") and b"<title>Puna" in body
    for accept in ("*/*", "application/json"):
        _, _, body = await get("/", Accept=accept)
        assert json.loads(body)["network"] == "puna.N.1"


async def test_a_page_may_run_files_of_its_node_and_talk_to_its_doors_only(get, node):
    _, headers, _ = await get("/", Accept="text/html")
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'" and rules["style-src"] == "'self'"
    assert {node.places[door] for door in ("gateway", "mu", "su", "cu")} <= set(rules["connect-src"].split())
    assert not any("unsafe-inline" in value for value in rules.values())


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("/web/vendor/pixi.js", "text/javascript"),
        ("/web/vendor/pixi-no-eval.js", "text/javascript"),
        ("/web/vendor/uplot.js", "text/javascript"),
        ("/web/vendor/uplot.css", "text/css"),
        ("/web/vendor/aoconnect.js", "text/javascript"),
        ("/web/vendor/noble/ed25519.js", "text/javascript"),
        ("/web/vendor/index.json", "application/json"),
        ("/web/puna-kernel.wasm", "application/wasm"),
    ],
)
async def test_files_have_their_types_and_are_asked_for_again_only_when_changed(get, path, type):
    status, headers, body = await get(path)
    assert status == 200 and headers["Content-Type"].startswith(type) and headers["X-Content-Type-Options"] == "nosniff"
    status, _, body = await get(path, **{"If-None-Match": headers["ETag"]})
    assert status == 304 and body == b""


@pytest.mark.parametrize(
    "path",
    ["/web/routes.py", "/web/%2e%2e/cli/up.py", "/web/vendor/%2e%2e/%2e%2e/routes.py", "/web/_built/vendor/uplot.js",
     "/web/vendor/none.js", "/web/vendor/", "/web/%00.js", "/web/..%5crun.py"],
)  # fmt: skip
async def test_nothing_else_of_the_disk_is_served(get, path):
    status, _, body = await get(path)
    assert status == 404 and b"There is no file" in body


async def test_a_page_that_a_stranger_stored_runs_as_nobodys(get, node):
    page = sign_item(
        new_ed25519_wallet(), data=b"<script>alert(localStorage)</script>", tags=[Tag("Content-Type", "text/html")]
    )
    async with aiohttp.ClientSession() as session:
        posted = {"Content-Type": "application/octet-stream"}
        async with session.post(node.places["gateway"] + "/tx", data=encode_item(page), headers=posted) as reply:
            assert reply.status == 200
    status, headers, _ = await get(f"/{page.id}")
    assert status == 200 and headers["Content-Type"] == "text/html"
    assert (
        "sandbox" in headers["Content-Security-Policy"]
        and "allow-same-origin" not in headers["Content-Security-Policy"]
    )


def test_the_links_that_are_printed():
    assert pages_of("http://127.0.0.1:4000", ["192.168.0.7"])["explorer"] == "http://localhost:4000/"
    assert "friends" not in pages_of("http://127.0.0.1:4000", ["192.168.0.7"])
    assert pages_of("http://0.0.0.0:4000", ["192.168.0.7"])["friends"] == "http://192.168.0.7:4000/"
    assert pages_of("http://[::]:80", ["[fe80::1]"])["friends"] == "http://[fe80::1]:80/"
    assert pages_of("http://10.0.0.2:80", [])["explorer"] == "http://10.0.0.2:80/"

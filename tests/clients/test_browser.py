"""The browser build of @permaweb/aoconnect, unmodified, in headless Chromium, on a page of another origin than the
node's: requests are checked and preflighted as a user's browser does it.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from clients.driving import HERE, installed
from playwright.async_api import async_playwright
from web.browser import chromium

from puna.arweave.keys.ethereum import native_address

WALLET = HERE.parent / "arweave" / "rsa-test-wallet.json"
WALLET_ADDRESS = "roeWBrLOIPT8bCGXt_Bo9f4XrmqHRR9UmE-CA3dzJF4"
PAGE = '<!doctype html><meta charset="utf-8"><title>ao</title><script src="/arbundles.js"></script>'
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing beyond loopback, whatever a package tries
]  # fmt: skip


@asynccontextmanager
async def page_server(packages: Path):
    """Serves the page, its script and the two packages; yields its origin."""
    files = {
        "/tell.js": HERE / "browser.mjs",
        "/aoconnect.js": packages / "@permaweb" / "aoconnect" / "dist" / "browser.js",
        "/arbundles.js": packages / "@dha-team" / "arbundles" / "build" / "web" / "bundle.js",
    }
    script = {"Content-Type": "text/javascript; charset=utf-8"}

    async def serve(request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(text=PAGE, content_type="text/html")
        if request.path not in files:
            raise web.HTTPNotFound
        return web.FileResponse(files[request.path], headers=script)

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(origin: str):
    """A page of a fresh browser, and what it sends over the network as (method, URL), preflights included."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        try:
            page = await browser.new_page()
            sent = []
            network = await page.context.new_cdp_session(page)
            network.on(
                "Network.requestWillBeSent",
                lambda said: sent.append((said["request"]["method"], said["request"]["url"])),
            )
            await network.send("Network.enable")
            await page.goto(origin)
            yield page, sent
        finally:
            await browser.close()


def check_story(seen: dict, signer: str) -> None:
    assert set(seen["boot"]) >= {"Messages", "Spawns", "Output"} and "Error" not in seen["boot"]
    assert seen["result"]["Output"]["data"] == f"{signer} ñandú" and "Error" not in seen["result"]
    assert seen["results"]["edges"][0]["node"]["Output"] == seen["result"]["Output"]
    assert seen["dry"]["Messages"][0]["Data"] == "hi somebody"


async def test_aoconnect_in_a_browser_spawns_asks_and_reads_with_an_injected_wallet_and_with_a_key_of_the_page(node):
    packages = await asyncio.to_thread(installed) / "node_modules"
    jwk = json.loads(WALLET.read_text())
    async with page_server(packages) as origin, opened(origin) as (page, sent):
        tell = "async ([places, jwk]) => (await import('/tell.js')).tell(places, jwk)"
        seen = await page.evaluate(tell, [node.places, jwk])
    check_story(seen["injected"], WALLET_ADDRESS)
    check_story(seen["page"], native_address(bytes(seen["owner"])))
    assert seen["asked"].count("SIGN_TRANSACTION") == 2, "a wallet is asked before each signature"
    assert "is not scheduled here" in seen["unknown"]
    assert seen["network"]["module"] == node.places["module"] and seen["clock"]["timestamp"].isdigit()
    # Once for each address the browser asked by OPTIONS whether it may post JSON or items there.
    asked = [url for method, url in sent if method == "OPTIONS"]
    for door in ("gateway", "mu", "cu"):
        assert any(url.startswith(node.places[door]) for url in asked), (door, asked)
    known = (origin, *(node.places[door] for door in ("gateway", "mu", "su", "cu")))
    assert [url for _, url in sent if not url.startswith(known)] == []

"""The web room's routes: the explorer at `/`, the game at `/land`, and the files of both below `/web/`.

Called by `cli/up.py`, which hands these routes down to the node; they go before the gateway's own.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from puna.node.gateway import seen_from
from puna.node.node import Node
from puna.web.api import api_routes
from puna.web.files import Files, inside, missing, policy

HERE = Path(__file__).resolve().parent
VENDOR = HERE / "_built" / "vendor"
LAND_ART = HERE.parent / "llamaland" / "assets"
KERNEL = HERE.parent / "llm" / "kernel" / "_built" / "puna-kernel.wasm"
BUILD_AGAIN = "Connect this machine to the network and build Puna again (in a working copy: python hatch_build.py)."


class ForBrowsers(Route):
    """A route for those who want a page; others go on to the gateway's route of the same path."""

    def matches(self, scope):
        accept = next((value for name, value in scope.get("headers", ()) if name == b"accept"), b"")
        if scope["type"] == "http" and not wants_html(accept.decode("latin-1")):
            return Match.NONE, {}
        return super().matches(scope)


def wants_html(accept: str) -> bool:
    """Whether a client prefers a page: browsers name text/html, programs say */* or nothing."""
    return any(part.split(";")[0].strip().lower() == "text/html" for part in accept.split(","))


def web_routes(node: Node, gifts: bool = True) -> Sequence[BaseRoute]:
    """The routes for one node. With `gifts` new wallets in browsers get a little wAR from the wallet of its home."""
    files = Files()

    async def page(request: Request, path: Path) -> Response:
        doors = [seen_from(request, url) for url in node.doors.urls.values()]
        # The game's live door is a WebSocket beside the page, which an old browser does not count as 'self'.
        doors.append(f"ws://{request.headers.get('host', request.url.netloc)}")
        headers = {"Content-Security-Policy": policy(doors), "Referrer-Policy": "no-referrer"}
        return await files.reply(request, path, headers)

    async def home(request: Request) -> Response:
        return await page(request, HERE / "explorer" / "index.html")

    async def land(request: Request) -> Response:
        path = HERE / "land" / "index.html"
        if not path.is_file():
            return missing("land/index.html", "This build of Puna has no Llama Land.")
        return await page(request, path)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        folder, _, rest = name.partition("/")
        if name == "puna-kernel.wasm":
            path, words = (KERNEL if KERNEL.is_file() else None), BUILD_AGAIN
        elif name.startswith("land/assets/"):
            path, words = inside(LAND_ART, name.removeprefix("land/assets/")), "Draw it: python -m puna.llamaland.art"
        elif folder == "vendor":
            path, words = inside(VENDOR, rest), BUILD_AGAIN + _why_missing()
        else:
            path, words = inside(HERE, name), "See the source of Puna for what there is."
        if path is None or "_built" in Path(name).parts or path.suffix == ".txt" and folder != "vendor":
            return missing(name, words)
        # A script of a worker is bound by its own policy, not by that of the page which starts it.
        return await files.reply(request, path, {"Content-Security-Policy": policy([])})

    return [
        ForBrowsers("/", home),
        Route("/land", land),
        Route("/land/", land),
        *api_routes(node, gifts),
        Route("/web/{name:path}", file),
    ]


def _why_missing() -> str:
    try:
        why = json.loads((VENDOR / "index.json").read_bytes()).get("missing", "")
    except (OSError, ValueError):
        return ""
    return f" The build said: {why}" if why else ""

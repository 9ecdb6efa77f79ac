"""A gateway at work on a free port of this machine, over a store of its own, for tests that speak HTTP to it."""

from contextlib import asynccontextmanager

import aiohttp

from puna.arweave.gateway.library import Library
from puna.arweave.gateway.routes import gateway_application
from puna.arweave.gateway.upstream import Upstream
from puna.arweave.ids import b64url_decode
from puna.arweave.store.sqlite import open_store
from puna.arweave.transaction import sign_transaction, transaction_to_json
from puna.arweave.wallet import wallet_from_jwk
from puna.arweave.weave import Weave
from puna.node.doors import Serving, open_doors

OPERATOR = wallet_from_jwk({"kty": "OKP", "crv": "Ed25519", "d": "A" * 43})
OCTETS = {"Content-Type": "application/octet-stream"}


class Gateway:
    """What a test needs of one gateway: its weave, its URL, and a client session."""

    def __init__(self, weave: Weave, url: str, web: aiohttp.ClientSession):
        self.weave, self.url, self.web = weave, url, web

    async def get(self, path: str, **options) -> tuple[int, bytes]:
        async with self.web.get(self.url + path, **options) as reply:
            return reply.status, await reply.read()

    async def post(self, path: str, **options) -> tuple[int, bytes]:
        async with self.web.post(self.url + path, **options) as reply:
            return reply.status, await reply.read()

    async def ask(self, query: str, status: int = 200, **variables) -> dict:
        async with self.web.post(self.url + "/graphql", json={"query": query, "variables": variables}) as reply:
            assert reply.status == status, await reply.text()
            return await reply.json()

    def signed(self, wallet, data: bytes = b"", **fields):
        fields = {"last_tx": b64url_decode(self.weave.tip.indep_hash), "reward": self.weave.price(len(data))} | fields
        return sign_transaction(wallet, data=data, **fields)

    async def post_tx(self, tx, data: bytes | None = None) -> tuple[int, bytes]:
        return await self.post("/tx", json=transaction_to_json(tx, data=tx.data if data is None else data))


@asynccontextmanager
async def gateway(folder, bundler, behind: str | None = None):
    """A served gateway whose bundler and richest wallet is `bundler`; `behind` is the URL of one to read through to."""
    weave = await Weave.open(open_store(folder), OPERATOR, lambda: bundler)
    await weave.endow(bundler.address)
    doors = open_doors("127.0.0.1", 0)
    unused = [door for name, door in doors.sockets.items() if name != "gateway"]
    upstream = Upstream(weave, behind) if behind else None
    library = Library(weave, upstream.fetch if upstream else None)
    serving = Serving(doors, {"gateway": gateway_application(library, "test")})
    await serving.start()
    try:
        async with aiohttp.ClientSession() as web:
            yield Gateway(weave, doors.urls["gateway"], web)
    finally:
        await serving.stop()
        if upstream:
            await upstream.close()
        for door in unused:
            door.close()
        await weave.store.close()

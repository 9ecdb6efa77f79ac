"""Carries our bundles to an uploader elsewhere, so that what lives here also lives on a weave that others keep.

Started by a node that was told of one. A note says how far it has come: after any stop it goes on from there, and an
uploader that is away is asked again until it takes the bundle.
"""

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp

from puna.arweave.block import Block
from puna.arweave.bundle import BUNDLE_TAGS
from puna.arweave.dataitem import Signer, encode_header, sign_item
from puna.arweave.gateway.reply import OCTETS
from puna.arweave.store.payloads import map_file
from puna.arweave.weave import Weave

log = logging.getLogger("puna.forward")

PART_BYTES = 1 << 20
LOOK_S = 1.0
AGAIN_S = (1, 2, 4, 8, 16, 32)  # as clients of uploaders wait; the last for ever after
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
NOTE = "weave-forwarded"


class Forwarder:
    """Posts each block's bundle to `url` as a data item signed by `wallet`, in order, once each."""

    def __init__(
        self,
        weave: Weave,
        wallet: Signer,
        url: str,
        scratch: Path | None = None,
        sleep: Callable = asyncio.sleep,
    ):
        self._weave, self._wallet, self._url, self._scratch, self._sleep = (
            weave,
            wallet,
            url.rstrip("/"),
            scratch,
            sleep,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="forwarder")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def forward_all(self) -> None:
        """Posts every bundle that was not posted yet, however often that takes."""
        store = self._weave.store
        height = int(store.note(NOTE) or 0)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as web:
            while height < self._weave.tip.height:
                height += 1
                block = self._weave.block(height)
                if block.bundle:
                    await self._until_taken(web, block)
                await store.append([], {NOTE: b"%d" % height})

    async def _run(self) -> None:
        while True:
            try:
                await self.forward_all()
            except Exception:  # a full disk, or a fault of ours: told, and tried again
                log.exception("a bundle was not forwarded")
            await self._sleep(LOOK_S)

    async def _until_taken(self, web: aiohttp.ClientSession, block: Block) -> None:
        attempt = 0
        while True:
            try:
                if await self._post(web, block):
                    return
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("the uploader %s does not answer: %s", self._url, error)
            await self._sleep(AGAIN_S[min(attempt, len(AGAIN_S) - 1)])
            attempt += 1

    async def _post(self, web: aiohttp.ClientSession, block: Block) -> bool:
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            body = self._weave.transaction_body(block.bundle)
            for part in body.parts():
                await asyncio.to_thread(file.write, part)
            file.flush()
            view = map_file(file.fileno())
            item = await asyncio.to_thread(sign_item, self._wallet, view, BUNDLE_TAGS)
            header = encode_header(item)
            headers = {"Content-Type": OCTETS, "Accept": "application/json"}
            headers["Content-Length"] = str(len(header) + len(view))
            async with web.post(f"{self._url}/tx", data=_parts(header, view), headers=headers) as reply:
                if reply.status < 300 or reply.status == 208:
                    return True
                log.warning("the uploader %s answers %s: %.200s", self._url, reply.status, await reply.text())
                return False


async def _parts(header: bytes, data: memoryview) -> AsyncIterator[bytes]:
    yield header
    for start in range(0, len(data), PART_BYTES):
        yield bytes(data[start : start + PART_BYTES])

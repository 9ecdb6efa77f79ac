"""Client of the workers: nobody asks them directly, but a node may wake them before the first question comes."""

import asyncio
from collections.abc import Iterable

from puna.ao.link import Link
from puna.errors import NodeError

from ..outbox import first, question


async def warm(link: Link, workers: Iterable[str], owner: str) -> int:
    """Have each worker's memory and model loaded, by a dry-run of `Init` as its owner; returns how many are ready.

    Changes nothing on chain. A worker that cannot load its model is left out of the count: it will say why, and the
    payer be refunded, when it gets a job.
    """
    return sum(await asyncio.gather(*(_warm(link, worker, owner) for worker in workers)))


async def _warm(link: Link, worker: str, owner: str) -> bool:
    try:
        result = await link.preview(worker, question(worker, owner, {"Action": "Init"}))
    except NodeError:
        return False
    return first(result.messages, "Worker-Initialized") is not None

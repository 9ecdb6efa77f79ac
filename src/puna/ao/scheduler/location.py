"""Scheduler-Location: the signed record by which the world finds the URL of a scheduler. Called by the node at start.

The newest record of a scheduler's wallet counts; readers keep it for its time to live. Source: protocol reference
1.10, 3.8.
"""

from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.store.port import Query, Store
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet

from ..message import PROTOCOL, VARIANT, tag

TIME_TO_LIVE_MS = 3_600_000  # an hour: a node at home changes its address more often than a service does


def newest_location(store: Store, scheduler: str) -> DataItem | None:
    """The record that counts now of the scheduler with this address."""
    query = Query(owners=(scheduler,), tags=(("Type", ("Scheduler-Location",)),), limit=1, newest_first=True)
    found = store.find(query)
    return found[0].item if found else None


async def publish_location(store: Store, wallet: Wallet, url: str, now_ms: int) -> DataItem:
    """Make `url`, without a trailing slash, where this scheduler is found; writes nothing when it is so already."""
    newest = newest_location(store, wallet.address)
    if newest is not None and tag(newest, "Url") == url:
        return newest
    tags = (
        PROTOCOL,
        VARIANT,
        Tag("Type", "Scheduler-Location"),
        Tag("Url", url),
        Tag("Time-To-Live", str(TIME_TO_LIVE_MS)),
        # Without it, going back to an earlier URL would be the earlier item again, and so not the newest.
        Tag("Timestamp", str(now_ms)),
    )
    item = sign_item(wallet, data=b" ", tags=tags)
    await store.append([item])
    return item

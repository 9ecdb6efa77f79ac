"""@permaweb/ao-scheduler-utils as npm publishes it, unmodified, against a node as a user starts it.

The public router whose name is written into it is answered for inside its process (`offline.mjs`), with a status that
is no success; the clock by which its caches forget is moved there, too.
"""

import json
from pathlib import Path

from clients.driving import drive

WALLET = Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json"


async def test_47_scheduler_utils_finds_the_scheduler_and_its_newer_record_after_the_time_to_live(node):
    seen = await drive("scheduler-utils.mjs", json.dumps(node.places), str(WALLET))
    own = {"url": node.places["su"], "address": node.places["scheduler"]}
    assert seen["own"] == seen["ownHinted"] == own
    assert seen["ownRaw"] == {"url": own["url"]} and seen["valid"] is True
    assert seen["shown"]["id"] == node.places["herder"] and seen["shown"]["type"] == "Process"

    assert seen["noRecord"] == "TransactionNotFound" and seen["noUrl"] == "InvalidSchedulerLocation"
    old, new = "http://127.0.0.1:1/old", "http://127.0.0.1:2/new"
    assert seen["before"][0] == {"url": old, "address": seen["address"]}
    assert seen["within"][0] == seen["before"][0] and seen["within"][1]["url"].rstrip("/") == old
    assert seen["stale"] == seen["within"], "the library answers once more with what is over, and asks the next time"
    assert seen["after"] == [{"url": new, "address": seen["address"]}, {"url": new}]
    assert seen["unknown"] == "TransactionNotFound"
    assert seen["behindRouter"]["url"] == node.places["su"]

    assert f"?process-id={node.places['herder']}" in seen["routerAsked"]
    assert [url for url in seen["strays"] if "127.0.0.1" not in url] == []

"""Transactions of arweave js, as npm publishes it, assigned to processes by aoconnect and read through WeaveDrive."""

import json

from clients.driving import drive
from vm.published import samples


async def test_24_65_a_transaction_of_arweave_js_reaches_a_process_as_a_message_and_as_a_file(node):
    seen = await drive("base-layer.mjs", json.dumps(node.places), str(samples.module("aos2_0_6")))
    assert "Not enough confirmations to assign (it has" in seen["fresh"]
    assert "the process asks for 60" in seen["fresh"]
    assert "Error" not in seen["result"]
    owner = seen["address"]
    told = [seen["id"], owner, owner, "", seen["anchor"], seen["signature"], "Got = 'from layer 1'"]
    assert seen["told"] == told and seen["ran"] == "from layer 1"
    assert seen["excluded"] == f"{seen['bigId']} nil"
    assert seen["size"] == seen["expectedSize"]
    assert (seen["json"]["id"], seen["json"]["ownerAddress"]) == (seen["id"], owner)
    assert seen["strays"] == []

"""@permaweb/aoconnect as npm publishes it, unmodified, against a node as a user starts it."""

import base64
import json
import urllib.request
from pathlib import Path

from clients.driving import drive

WALLET = Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json"


def decoded(cursor: str) -> dict:
    return json.loads(base64.b64decode(cursor, validate=True))


def check_story(seen: dict, signer: str) -> None:
    """Statements 48 to 50, 53 to 55 and 68, as the client sees them."""
    assert set(seen["boot"]) == {"Messages", "Spawns", "Assignments", "Output", "GasUsed"}
    assert seen["one"]["Output"]["data"] == "2" and "Error" not in seen["one"]
    assert "boom" in seen["failed"]["Error"] and seen["failed"]["Messages"] == []
    assert seen["loud"]["Output"]["data"] == "1", "what a failed evaluation changed is undone"
    assert seen["dry"]["Messages"][0]["Data"] == "hi somebody"
    assert seen["dryPlain"]["Messages"][0]["Data"] == "hi 1234"
    first, second = seen["page"]["edges"]
    assert decoded(first["cursor"])["ordinate"] == "0" and second["node"]["Output"]["data"] == "2"
    # The failed one is not among them.
    assert [decoded(edge["cursor"])["ordinate"] for edge in seen["next"]["edges"]] == ["3"]
    assert decoded(seen["newest"]["edges"][0]["cursor"]) | {"timestamp": 0} == {
        "timestamp": 0, "ordinate": "3", "sort": "DESC",
    }  # fmt: skip
    assert seen["monitored"] == seen["unmonitored"] == 43
    assert "Process already being monitored" in seen["twice"]
    assert signer in seen["assigned"]["Output"]["data"] and "not trusted" in seen["assigned"]["Output"]["data"]
    assert seen["sent"]["Output"]["data"] == "2"
    assert str(seen["slot"]) == seen["lastSlot"] == "5"
    assert seen["feed"]["ids"][:2] == seen["firstIds"] and len(seen["feed"]["ids"]) == 3 and seen["feed"]["more"]
    assert seen["byId"] == "N = 1 return 1 + 1"


async def test_68_every_function_of_aoconnect_succeeds_with_an_rsa_and_with_an_ethereum_key(node):
    seen = await drive("aoconnect.mjs", json.dumps(node.places), str(WALLET))
    check_story(seen["rsa"], "roeWBrLOIPT8bCGXt_Bo9f4XrmqHRR9UmE-CA3dzJF4")
    check_story(seen["ethereum"], "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F")
    assert "is not scheduled here" in seen["unknown"] and seen["noModule"] != "accepted"
    assert seen["strays"] == [], "nothing is asked of anybody but the node"
    process = seen["rsa"]["process"]
    with urllib.request.urlopen(f"{node.places['cu']}/state/{process}") as reply:
        memory = reply.read()
    assert len(memory) % 65536 == 0 and b"aos" in memory and reply.headers["Last-Ordinate"].isdigit()


def test_47_the_scheduler_is_found_by_the_record_of_its_wallet(node):
    query = """query ($owner: String!) { transactions(owners: [$owner], sort: HEIGHT_DESC, first: 1, tags: [
        { name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Scheduler-Location"] } # the newest
    ]) { edges { node { tags { name value } } } } }"""
    body = json.dumps({"query": query, "variables": {"owner": node.places["scheduler"]}}).encode()
    request = urllib.request.Request(
        node.places["gateway"] + "/graphql", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        (edge,) = json.load(reply)["data"]["transactions"]["edges"]
    tags = {tag["name"]: tag["value"] for tag in edge["node"]["tags"]}
    assert tags["Url"] == node.places["su"] and tags["Time-To-Live"].isdigit()

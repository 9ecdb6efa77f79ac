"""The scheduler over HTTP: each test is a statement of the conformance list, by its number, or a kind of bad input."""

import asyncio

from ao.fakes import ALICE, BOB, MESSENGER, MODULE, SCHEDULER, Town, message_item, process_item, wallet
from ao.served import served

from puna.arweave.dataitem import decode_item, encode_item, sign_item, verify_item
from puna.arweave.ids import b64url_decode

NOBODY = "A" * 43


def tags_in(node) -> dict[str, str]:
    return {tag["name"]: tag["value"] for tag in node["tags"]}


def pushed(process: str, *, by, root: str = NOBODY, swapped: bool = False):
    tags = [("From-Process", NOBODY), ("Reference", "7"), ("Pushed-For", root)]
    tags += [("Data-Protocol", "ao"), ("Type", "Message"), ("Variant", "ao.TN.1")]
    return sign_item(by, data=b"same", target=process, tags=tags[::-1] if swapped else tags, anchor=b"7" * 32)


async def test_20_36_39_a_posted_process_and_message_get_assignments_in_the_form_of_the_network():
    town = await Town.founded()
    process = process_item()
    message = message_item(process.id, anchor=b"0" * 32)
    async with served(town) as wire:
        reply = await wire("POST", "su", "/", encode_item(process))
        assert reply.status == 200 and reply.json["id"] == process.id and isinstance(reply.json["timestamp"], int)
        assert (await wire("POST", "su", "/", encode_item(message))).json["id"] == message.id
        first = (await wire("GET", "su", f"/{process.id}/latest")).json
        assert first["message"]["id"] == message.id and first["message"]["anchor"] == "0" * 32
        feed = (await wire("GET", "su", f"/{process.id}", process_id=process.id)).json
        boot, said = (edge["node"]["assignment"] for edge in feed["edges"])
        order = "Process Epoch Nonce Hash-Chain Block-Height Timestamp Data-Protocol Type Variant".split()
        assert [tag["name"] for tag in boot["tags"]] == order
        assert [tag["name"] for tag in said["tags"]] == [*order, "Message"]
        assert tags_in(boot)["Nonce"] == "0" and len(tags_in(boot)["Block-Height"]) == 12
        address = (await wire("GET", "su", "/")).json["address"]
        assert address == said["owner"]["address"] == SCHEDULER.address
        raw = await wire("GET", "su", f"/raw/{process.id}/{said['id']}")
        signed = decode_item(raw.body)
        verify_item(signed)
        assert signed.id == said["id"] and signed.address == address
        whole = decode_item((await wire("GET", "su", f"/raw/{process.id}/{message.id}")).body)
        assert whole.id == message.id


async def test_40_an_item_posted_twice_is_refused_and_uses_up_no_nonce():
    town = await Town.founded()
    process = await town.spawn()
    item = encode_item(message_item(process))
    async with served(town) as wire:
        first = await wire("POST", "su", "/", item)
        again = await wire("POST", "su", "/", item)
        assert again.status == 400 and again.json["error"] == 'MessageExists("Message already exists")'
        assert again.json["id"] == first.json["id"] and again.json["timestamp"] == first.json["timestamp"]
    assert len(await town.schedule(process)) == 2


async def test_41_two_messengers_pushing_one_outbox_entry_have_one_place_and_users_saying_the_same_have_two():
    town = await Town.founded()
    process = await town.spawn()
    mine, theirs = pushed(process, by=MESSENGER), pushed(process, by=wallet("another"), root="B" * 43, swapped=True)
    async with served(town) as wire:
        first = await wire("POST", "su", "/", encode_item(mine))
        second = await wire("POST", "su", "/", encode_item(theirs))
        assert first.status == 200
        assert second.status == 400 and second.json["error"] == 'MessageExists("Deep hash already exists")'
        assert second.json["id"] == mine.id
        for by in (ALICE, BOB):
            assert (await wire("POST", "su", "/", encode_item(message_item(process, by=by)))).status == 200
    assert len(await town.schedule(process)) == 4


async def test_42_and_each_refusal_of_an_item_has_the_text_that_messengers_know():
    town = await Town.founded()
    process = await town.spawn()
    ao = ("Data-Protocol", "ao")

    def item(*tags, target=process, data=b" "):
        return encode_item(sign_item(ALICE, data=data, target=target, tags=tags))

    spoiled = bytearray(encode_item(message_item(process)))
    spoiled[-1] ^= 1
    cases = {
        "Type tag not present": item(ao),
        "Unsupported Type tag value": item(ao, ("Type", "Song")),
        "Data-Protocol tag not present": item(("Type", "Message")),
        "Required Module and Scheduler tags for Process type not present": item(ao, ("Type", "Process"), target=""),
        "Tag a+link cannot contain +link": item(ao, ("Type", "Message"), ("a+link", "x")),
        "Signature verification failed": bytes(spoiled),
        "BuilderError": b"no item at all",
        "Invalid tx id for On-Boot tag": encode_item(process_item(("On-Boot", NOBODY))),
        "is not scheduled here": encode_item(message_item(NOBODY)),
        "body is larger than": b"x" * (11 << 20),
    }
    async with served(town) as wire:
        for text, body in cases.items():
            reply = await wire("POST", "su", "/", body)
            assert reply.status == 400 and text in reply.json["error"], text
        for query in ({"process_id": process}, {"assign": process}):
            reply = await wire("POST", "su", "/", **query)
            assert reply.status == 400 and reply.json["error"].startswith("If sending assign or process-id")
        reply = await wire("POST", "su", "/", process_id=process, assign="short")
        assert reply.status == 400 and reply.json["error"] == "assign param must be 43 characters"
        reply = await wire("POST", "su", "/", process_id=process, assign=NOBODY)
        assert reply.status == 400 and "Transaction not found" in reply.json["error"]


async def test_43_44_paging_yields_every_entry_once_and_from_is_exclusive_to_inclusive():
    town = await Town.founded()
    process = await town.spawn()
    for n in range(6):
        await town.do(process, ["set", "x", n])
    async with served(town) as wire:

        async def page(**query):
            return (await wire("GET", "su", f"/{process}", process_id=process, **query)).json

        seen, query = [], {"limit": 2}
        while True:
            feed = await page(**query)
            seen += [edge["node"]["message"]["id"] for edge in feed["edges"]]
            if not feed["page_info"]["has_next_page"]:
                break
            query["from"] = feed["edges"][-1]["cursor"]
        assert seen[0] == process and len(seen) == len(set(seen)) == 7
        times = [int(edge["cursor"]) for edge in (await page())["edges"]]
        part = await page(**{"from": times[1], "to": times[3]})
        assert [int(edge["cursor"]) for edge in part["edges"]] == times[2:4]
        by_nonce = await page(**{"from-nonce": -1, "to-nonce": 2})
        assert [edge["cursor"] for edge in by_nonce["edges"]] == ["0", "1", "2"]
        assert by_nonce["edges"][0]["node"]["message"]["id"] == process
        assert (await page(limit="many")).get("error") == "'limit' parameter must be a valid number"
        assert len((await page(limit=-3))["edges"]) == 1


async def test_45_an_entry_is_found_by_message_id_and_by_assignment_id_and_nothing_else_is():
    town = await Town.founded()
    process = await town.spawn()
    message = await town.do(process)
    async with served(town) as wire:
        by_message = (await wire("GET", "su", f"/{message}", process_id=process)).json
        assignment = by_message["assignment"]["id"]
        assert (await wire("GET", "su", f"/{assignment}", process_id=process)).json == by_message
        # Clients that list messages leave the process out.
        assert len((await wire("GET", "su", f"/{process}")).json["edges"]) == 2
        for id in (NOBODY, "short", message):
            other = NOBODY if id == message else process
            reply = await wire("GET", "su", f"/{id}", process_id=other)
            assert reply.status == 400 and reply.json["error"].startswith("Message or Process not found")


async def test_46_keys_and_types_of_root_timestamp_and_process():
    town = await Town.founded()
    item = process_item(("Name", "x"), data=b"\xff")
    await town.link.submit(item)
    async with served(town) as wire:
        root = (await wire("GET", "su", "/", process_id=item.id)).json
        assert list(root) == ["timestamp", "address"] and root["timestamp"].isdigit()
        unknown = await wire("GET", "su", "/", process_id=NOBODY)
        assert unknown.status == 400 and unknown.json["error"] == "Process not found"
        tip = (await wire("GET", "su", "/timestamp", process_id=item.id)).json
        assert list(tip) == ["timestamp", "block_height"] and len(tip["block_height"]) == 12
        shown = (await wire("GET", "su", f"/processes/{item.id}")).json
        assert list(shown) == "process_id block owner tags timestamp data anchor signature target".split()
        assert isinstance(shown["timestamp"], int) and len(shown["block"]) == 12 and shown["data"] is None
        assert b64url_decode(shown["owner"]["key"]) == item.owner
        health = await wire("GET", "su", "/health")
        assert (health.status, health.body) == (200, b"")


async def test_24_an_item_of_the_weave_is_assigned_with_exclusions_and_shown_by_its_id_alone():
    town = await Town.founded()
    process = await town.spawn()
    async with served(town) as wire:
        query = {"process_id": process, "assign": MODULE.id, "exclude": "Data,Tags"}
        reply = await wire("POST", "su", "/", **query)
        assert reply.status == 200
        entry = (await wire("GET", "su", f"/{reply.json['id']}", process_id=process)).json
        excluded = [tag["value"] for tag in entry["assignment"]["tags"] if tag["name"] == "Exclude"]
        assert excluded == ["Data", "Tags"] and entry["assignment"]["id"] == reply.json["id"]
        assert entry["message"] is None, "readers take it from a gateway, as an item that was not sent here"
        again = await wire("POST", "su", "/", **query)
        assert again.status == 400 and "MessageExists" in again.json["error"]


async def test_any_origin_may_ask_and_the_preflight_succeeds():
    town = await Town.founded()
    async with served(town) as wire:
        wanted = {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
        wanted["Access-Control-Request-Headers"] = "content-type,accept,x-max-age"
        answers = await asyncio.gather(*(wire("OPTIONS", unit, "/", headers=wanted) for unit in ("mu", "su", "cu")))
        for reply in answers:
            assert reply.status == 200 and reply.headers["Access-Control-Allow-Origin"] == "*"

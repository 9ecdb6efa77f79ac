"""The compute unit over HTTP: each test is a statement of the conformance list by number, or a kind of bad input."""

import base64
import json

import msgspec
import pytest
from ao.fakes import ALICE, BOB, MODULE, FakeEvaluators, Town, message_item, process_item
from ao.served import served

from puna.arweave.dataitem import sign_item

NOBODY = "A" * 43
JSON = {"Content-Type": "application/json"}


async def counting(count: int, *failing: int) -> tuple[Town, str]:
    """A process whose n-th message shows n, or fails."""
    town = await Town.founded()
    process = await town.spawn()
    for n in range(1, count + 1):
        await town.do(process, ["set", "n", n], ["get", "n"], *([["fail", "odd"]] if n in failing else []))
        town.clock.pass_ms(1000)
    await town.quiet()
    return town, process


def decoded(cursor: str) -> dict:
    return json.loads(base64.b64decode(cursor, validate=True))


async def test_root_tells_address_and_time():
    town = await Town.founded()
    async with served(town) as wire:
        root = (await wire("GET", "cu", "/")).json
        assert root["address"] == town.units.compute.address and isinstance(root["timestamp"], int)


async def test_48_49_50_results_have_arrays_text_and_an_error_only_when_there_was_one():
    town, process = await counting(3, 2)
    ids = [item.id for item, _ in await town.schedule(process)]
    async with served(town) as wire:
        boot, fine, failed, after = [(await wire("GET", "cu", f"/result/{id}", process_id=process)) for id in ids]
        assert {reply.status for reply in (boot, fine, failed, after)} == {200}
        assert set(boot.json) == {"Messages", "Spawns", "Assignments", "Output", "GasUsed"}
        assert fine.json["Output"] == "1" and isinstance(fine.json["GasUsed"], int)
        assert failed.json["Error"] == "odd" and failed.json["Messages"] == []
        assert after.json["Output"] == "3"
        (_, assignment) = (await town.schedule(process))[1]
        by_assignment = await wire("GET", "cu", f"/result/{assignment.id}", process_id=process, no_busy="1")
        assert by_assignment.json == fine.json


async def test_53_a_dry_run_sees_the_newest_state_changes_nothing_and_is_read_only():
    town, process = await counting(2)

    async def dry(wire, body, **query):
        return await wire(
            "POST", "cu", "/dry-run", json.dumps(body), {**JSON, "x-max-age": "5"}, process_id=process, **query
        )

    async with served(town) as wire:
        reply = await dry(wire, {"Owner": "1234", "Data": '[["get","n"],["set","n",9]]', "Tags": []})
        assert reply.status == 200 and reply.json["Output"] == "2"
        tags = [{"name": "From-Process", "value": BOB.address}, {"name": "Owner", "value": "liar"}]
        shown = json.loads(
            (await dry(wire, {"Id": "1", "Owner": "o", "Tags": tags, "Data": '[["show"]]'})).json["Output"]["data"]
        )
        assert shown["Read-Only"] is True and shown["Cron"] is False and shown["From"] == BOB.address
        assert [tag["name"] for tag in shown["Tags"]] == ["From-Process"] and "Nonce" not in shown
        assert shown["Timestamp"] == town.units.compute.evaluated(process).timestamp_ms
        assert (await dry(wire, {})).status == 200


async def test_a_dry_run_up_to_a_message_sees_the_state_right_after_it():
    town, process = await counting(3)
    ids = [item.id for item, _ in await town.schedule(process)]
    body = json.dumps({"Data": '[["get","n"]]', "Tags": [], "Owner": "o"})
    async with served(town) as wire:
        for n, id in enumerate(ids[1:], 1):
            reply = await wire("POST", "cu", "/dry-run", body, JSON, process_id=process, to=id)
            assert reply.json["Output"] == str(n)
        reply = await wire("POST", "cu", "/dry-run", body, JSON, process_id=process, to=NOBODY)
        assert reply.status == 404
    assert set(town.evaluators.memories) == {process}


async def test_54_pages_go_forward_cursors_tell_where_and_failures_are_absent():
    town, process = await counting(6, 2, 5)
    async with served(town) as wire:
        seen, query = [], {"limit": 2}
        while True:
            page = (await wire("GET", "cu", f"/results/{process}", **query)).json
            seen += [edge["node"]["Output"] for edge in page["edges"]]
            for edge in page["edges"]:
                assert list(decoded(edge["cursor"])) == ["timestamp", "ordinate", "sort"]
                assert isinstance(decoded(edge["cursor"])["ordinate"], str)
            if not page["pageInfo"]["hasNextPage"]:
                break
            query["from"] = page["edges"][-1]["cursor"]
        assert seen == ["", "1", "3", "4", "6"]
        times = [
            decoded(edge["cursor"])["timestamp"]
            for edge in (await wire("GET", "cu", f"/results/{process}")).json["edges"]
        ]
        by_time = (await wire("GET", "cu", f"/results/{process}", **{"from": times[1], "to": times[3]})).json
        assert [edge["node"]["Output"] for edge in by_time["edges"]] == ["3", "4"]


async def test_55_a_cursor_of_a_newest_first_page_leads_to_what_came_after_it():
    town, process = await counting(2)
    async with served(town) as wire:
        (edge,) = (await wire("GET", "cu", f"/results/{process}", sort="DESC", limit=1)).json["edges"]
        assert decoded(edge["cursor"])["sort"] == "DESC" and edge["node"]["Output"] == "2"
        empty = (await wire("GET", "cu", f"/results/{process}", sort="ASC", **{"from": edge["cursor"]})).json
        assert empty == {"pageInfo": {"hasNextPage": False}, "edges": []}
        for n in (3, 4):
            await town.do(process, ["set", "n", n], ["get", "n"])
        await town.quiet()
        page = (await wire("GET", "cu", f"/results/{process}", sort="ASC", **{"from": edge["cursor"]})).json
        assert [found["node"]["Output"] for found in page["edges"]] == ["3", "4"]
        older = (await wire("GET", "cu", f"/results/{process}", sort="DESC", **{"from": edge["cursor"]})).json
        assert [found["node"]["Output"] for found in older["edges"]] == ["1", ""]


def module(**changed: str):
    tags = {name: value for name, value in MODULE.tags} | {
        name.replace("_", "-"): value for name, value in changed.items()
    }
    return sign_item(ALICE, data=b"\0asm" + json.dumps(changed).encode(), tags=[*tags.items()])


@pytest.mark.parametrize("made, process_tags, status, words", [
    (module(Module_Format="wasm128"), (), 422, "Module-Format for module"),
    (module(Input_Encoding="XML"), (), 422, "Input-Encoding for module"),
    (module(Memory_Limit="900-gb"), (), 413, "Memory-Limit for process"),
    (MODULE, (("Compute-Limit", "9" * 17),), 413, "Compute-Limit for process"),
    (MODULE, (("Cron-Tag-Action", "x"),), 400, "Unmatched Cron-Tag with no preceding Cron-Interval"),
    (MODULE, (("Cron-Interval", "1-millisecond"),), 400, "time-based cron cannot be less than 1 second"),
])  # fmt: skip
async def test_58_what_cannot_run_here_is_told_with_its_status(made, process_tags, status, words):
    town = await Town.founded()
    await town.store.append([made])
    tags = [(name, made.id if name == "Module" else value) for name, value in process_item(*process_tags).tags]
    process = sign_item(ALICE, data=b" ", tags=tags)
    await town.units.scheduler.submit(process)
    async with served(town) as wire:
        reply = await wire("GET", "cu", f"/result/{process.id}", process_id=process.id)
        assert reply.status == status and words in reply.json["error"]


async def test_60_the_state_is_the_memory_now_or_at_a_time_and_headers_say_when():
    town, process = await counting(3)
    times = [assignment.timestamp_ms for _, assignment in await town.schedule(process)]
    async with served(town) as wire:
        now = await wire("GET", "cu", f"/state/{process}")
        assert now.status == 200 and now.headers["Content-Type"] == "application/octet-stream"
        assert json.loads(now.body)["n"] == 3
        assert (now.headers["Last-Timestamp"], now.headers["Last-Ordinate"]) == (str(times[3]), "3")
        then = await wire("GET", "cu", f"/state/{process}", to=times[1] + 5)
        assert json.loads(then.body)["n"] == 1 and then.headers["Last-Ordinate"] == "1"
        assert int(then.headers["Last-Block-Height"]) >= 1
        assert (await wire("GET", "cu", f"/state/{process}", to=5)).status == 404


async def test_unknown_things_and_nonsense_are_refused_in_json_and_the_unit_goes_on():
    town, process = await counting(1)
    async with served(town) as wire:
        for path in (f"/result/{NOBODY}", "/result/x"):
            assert (await wire("GET", "cu", path, process_id=process)).status == 404
        for path in (f"/results/{NOBODY}", f"/cron/{NOBODY}", f"/state/{NOBODY}", "/results/short"):
            reply = await wire("GET", "cu", path)
            assert reply.status == 404 and reply.json["error"]
        reply = await wire("GET", "cu", f"/result/{process}")
        assert reply.status == 400 and reply.json["error"].startswith("'process-id': Required")
        bad_cursors = ["%%%", "bm8=", base64.b64encode(b'{"timestamp":"x"}').decode(), "-5"]
        bad_cursors.append(base64.b64encode(b'{"timestamp":1,"ordinate":"one"}').decode())
        for cursor in bad_cursors:
            assert (await wire("GET", "cu", f"/results/{process}", **{"from": cursor})).status == 400, cursor
        for query in ({"sort": "SIDEWAYS"}, {"limit": "many"}):
            assert (await wire("GET", "cu", f"/results/{process}", **query)).status == 400
        bodies = [
            b'{"Data":"\xff"}',
            "",
            "[]",
            "{",
            '{"Tags":{}}',
            '{"Tags":[{"name":1,"value":"x"}]}',
            '{"Tags":["x"]}',
            "[" * 100_000,
        ]
        for body in bodies:
            reply = await wire("POST", "cu", "/dry-run", body, JSON, process_id=process)
            assert reply.status == 400 and reply.json["error"], body[:20]
        assert (await wire("POST", "cu", "/dry-run", b"x" * (11 << 20), process_id=process)).status == 400
        assert (await wire("GET", "cu", f"/result/{process}", process_id=process)).status == 200
    assert NOBODY not in town.units.compute._streams


async def test_an_engine_away_is_a_503_and_later_the_same_question_is_answered():
    from puna.errors import NotYet

    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators)
    process = await town.spawn()
    await town.quiet()
    evaluators.refuse = [NotYet("the engine is away")] * 8
    item = message_item(process, ["get", "x"])
    async with served(town) as wire:
        await town.units.scheduler.submit(item)
        reply = await wire("GET", "cu", f"/result/{item.id}", process_id=process)
        assert reply.status == 503 and "engine is away" in reply.json["error"]
        assert (await wire("GET", "cu", f"/result/{item.id}", process_id=process)).status == 200
    assert msgspec.json.decode(reply.body)

"""What a client can do with a network. Every story is told twice: in the program of the network, and over HTTP."""

import asyncio
import json

import pytest
from ao.fakes import ALICE, BOB, MESSENGER, MODULE, SCHEDULER
from client.village import WAYS

from puna.arweave.dataitem import sign_item
from puna.client import (
    Accepted,
    AsyncClient,
    Evaluated,
    Finished,
    Gap,
    Invalid,
    Missed,
    Missing,
    NotYet,
    ProcessFailed,
    Stored,
    Tags,
    Token,
)

NOBODY = "A" * 43


def steps(*does) -> str:
    """The data that makes the test module do these things."""
    return json.dumps(does)


async def test_a_spawned_process_takes_messages_and_tells_results(ao):
    process = await ao.spawn(tags={"Name": "Counter"})
    assert (await ao.result(process)).error is None
    message = await ao.message(process, {"Action": "Set"}, steps(["set", "x", 7], ["get", "x"]))
    result = await ao.result(process, message)
    assert (result.output, result.error, result.messages) == ("7", None, ())
    assert result.gas_used == 10 and result.check() is result
    assert (await ao.send(process, data=steps(["get", "x"]))).output == "7"


async def test_what_a_spawn_does_not_name_is_the_networks_own(ao):
    process = await ao.spawn("hello", tags=[("Name", "x"), ("Name", "y")])
    item = await ao.item(process)
    assert item.data == b"hello" and item.owner == ALICE.address and item.target == ""
    assert item.tags["Module"] == MODULE.id and item.tags["Scheduler"] == SCHEDULER.address
    assert item.tags["Authority"] == MESSENGER.address
    assert item.tags["Name"] == "x" and item.tags.all("Name") == ("x", "y")
    trusting = await ao.item(await ao.spawn(tags={"Authority": BOB.address}))
    assert trusting.tags.all("Authority") == (BOB.address,)


async def test_what_a_message_sends_comes_as_records(ao):
    process = await ao.spawn()
    note = await ao.upload("read this")
    result = await ao.send(process, data=steps(
        ["send", BOB.address, {"Action": "Greet", "Colour": "red"}, "hi"],
        ["spawn", {"Name": "Child"}],
        ["raw", "Assignments", {"Processes": [process], "Message": note}],
    ))  # fmt: skip
    (letter,) = result.messages
    assert (letter.target, letter.action, letter.data) == (BOB.address, "Greet", "hi")
    assert letter.tags["Colour"] == "red" and len(letter.anchor) == 32
    assert result.first("Greet") == letter and result.first("Part") is None
    assert result.spawns[0].tags["Name"] == "Child" and result.spawns[0].data == "NODATA"
    assert (result.assignments[0].processes, result.assignments[0].message) == ((process,), note)
    assert result.raw["Messages"][0]["Target"] == BOB.address


async def test_a_process_that_fails_is_a_result_and_an_error_only_when_asked(ao):
    process = await ao.spawn()
    await ao.send(process, data=steps(["set", "x", 1]))
    failed = await ao.send(process, data=steps(["set", "x", 2], ["fail", "no \x1b[31mred\x1b[0m llama"]))
    assert failed.error == "no red llama"
    with pytest.raises(ProcessFailed, match="no red llama.*Nothing in it was changed"):
        failed.check()
    assert (await ao.send(process, data=steps(["get", "x"]))).output == "1"


async def test_results_are_paged_both_ways_and_leave_out_failures(ao):
    process = await ao.spawn()
    for number in range(4):
        await ao.send(process, data=steps(["set", "x", number], ["get", "x"]))
    await ao.send(process, data=steps(["fail", "no"]))
    first = await ao.results(process, limit=3)
    assert [kept.result.output for kept in first] == ["", "0", "1"] and first.more and len(first) == 3
    rest = await ao.results(process, after=first.cursor)
    assert [(kept.nonce, kept.result.output, kept.cron) for kept in rest] == [(3, "2", ""), (4, "3", "")]
    assert not rest.more
    last = await ao.results(process, newest_first=True, limit=1)
    assert [kept.nonce for kept in last] == [4] and last.more
    until = await ao.results(process, until=first.kept[1].timestamp_ms)
    assert [kept.nonce for kept in until] == [0, 1]
    nothing = await ao.results(process, after=rest.cursor)
    assert len(nothing) == 0 and nothing.cursor is None


async def test_a_dry_run_changes_nothing_knows_who_asks_and_can_look_back(ao):
    process = await ao.spawn()
    old = await ao.message(process, data=steps(["set", "x", "old"]))
    await ao.send(process, data=steps(["set", "x", "new"]))
    assert (await ao.dry_run(process, data=steps(["set", "x", 9], ["get", "x"]))).output == "9"
    assert (await ao.dry_run(process, data=steps(["get", "x"]))).output == "new"
    assert (await ao.dry_run(process, data=steps(["get", "x"]), at=old)).output == "old"
    seen = json.loads((await ao.dry_run(process, {"Action": "Who"}, steps(["show"]))).output)
    assert seen["From"] == ao.address and {"name": "Action", "value": "Who"} in seen["Tags"]
    seen = json.loads((await ao.dry_run(process, data=steps(["show"]), sender=BOB.address)).output)
    assert seen["From"] == BOB.address


async def test_an_item_of_the_weave_is_assigned_and_its_result_read_by_the_assignment(ao):
    process = await ao.spawn()
    note = await ao.upload(steps(["show"]))
    assignment = await ao.assign(process, note, exclude=["Signature"])
    seen = json.loads((await ao.result(process, assignment)).output)
    assert seen["Id"] == note and seen["From"] == ao.address
    place = (await ao.schedule(process))[-1]
    assert (place.assignment, place.item_id, place.message) == (assignment, note, None)


async def test_only_the_owner_of_a_process_has_it_monitored_once(ao, place, request):
    process = await ao.spawn()
    await ao.monitor(process)
    with pytest.raises(Invalid, match="already"):
        await ao.monitor(process)
    assert place.town.units.messenger.monitors.monitored() == [process]
    async with WAYS[request.node.callspec.params["ao"]](place, wallet=BOB) as bob:
        with pytest.raises(Invalid, match="only the owner"):
            await bob.unmonitor(process)
    await ao.unmonitor(process)
    with pytest.raises(Missing, match="not found"):
        await ao.unmonitor(process)


async def test_a_schedule_is_read_by_nonce_with_every_item_verified(ao):
    process = await ao.spawn()
    ids = [await ao.message(process, {"Action": f"N{n}"}, b"\xff\xfe" if n == 1 else "plain") for n in range(3)]
    places = await ao.schedule(process)
    assert [place.nonce for place in places] == [0, 1, 2, 3]
    assert [place.item_id for place in places] == [process, *ids]
    assert places[2].message.data == b"\xff\xfe" and places[2].message.sender == ALICE.address
    assert [place.nonce for place in await ao.schedule(process, after=1, limit=1)] == [2]
    assert places[0].timestamp_ms < places[3].timestamp_ms


async def test_events_of_a_journey_come_as_records_until_it_is_finished(ao):
    process = await ao.spawn()
    message = await ao.sign(process, {"Action": "Go"}, steps(["send", BOB.address, {"Action": "Hello"}, "hi"]))
    async with ao.events(message.id) as events:
        await ao.submit(message)
        news = [event async for event in events]
    assert [event.kind for event in news] == ["accepted", "assigned", "token", "evaluated", "stored", "finished"]
    assert isinstance(news[0], Accepted) and news[0].process == process and news[0].message == message.id
    assert isinstance(news[2], Token) and (news[2].text, news[2].index) == ("a", 0)
    assert isinstance(news[3], Evaluated) and (news[3].nonce, news[3].error, news[3].gas) == (1, None, 10)
    assert isinstance(news[4], Stored) and (news[4].target, news[4].data) == (BOB.address, "hi")
    assert news[4].tags["Action"] == "Hello" and (await ao.item(news[4].item)).text == "hi"
    assert isinstance(news[5], Finished) and {event.root for event in news} == {message.id}


async def test_a_journey_can_be_followed_after_it_was_begun_and_without_a_with(ao):
    process = await ao.spawn()
    message = await ao.message(process, data=steps(["get", "x"]))
    kinds = [event.kind async for event in ao.events(message)]
    assert kinds[0] == "accepted" and kinds[-1] == "finished"


async def test_one_process_is_watched_among_others(ao):
    mine, other = await ao.spawn(), await ao.spawn()
    await ao.result(mine), await ao.result(other)
    async with ao.watch(mine) as news:
        await ao.send(other, data=steps(["get", "x"]))
        message = await ao.message(mine, data=steps(["get", "x"]))
        async for event in news:
            assert event.process == mine
            if isinstance(event, Evaluated) and event.message == message:
                break


async def test_what_processes_send_to_a_wallet_arrives_whole(ao):
    process = await ao.spawn()
    long = "x" * 70_000  # more than an event shows
    async with ao.inbox() as inbox, ao.inbox(BOB.address) as bobs:
        await ao.message(process, data=steps(
            ["send", BOB.address, {"Action": "Not-Ours"}, "no"], ["send", ALICE.address, {"Action": "Ours"}, long]
        ))  # fmt: skip
        item = await inbox.get()
        assert (item.action, item.text, item.sender) == ("Ours", long, process)
        assert item.owner == MESSENGER.address and item.target == ALICE.address
        assert (await bobs.get()).action == "Not-Ours"
        assert [found.id for found in await ao.find(recipients=ALICE.address)] == [item.id]


async def test_who_waits_in_vain_is_told_and_misses_nothing(ao):
    process = await ao.spawn()
    await ao.result(process)
    async with ao.inbox() as inbox:
        with pytest.raises(NotYet, match="Nothing came"):
            await inbox.get(timeout_s=0.01)
        await ao.message(process, data=steps(["send", ALICE.address, {}, "late"]))
        assert (await inbox.get()).text == "late"


async def test_a_slow_listener_is_told_what_passed_it_by():
    class Told:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        def __aiter__(self):
            return self

        async def __anext__(self):
            return {"kind": "gap", "root": None, "missed": 3}

    class Link:
        def events(self, root=None):
            return Told()

    from puna.client.reach import Reached

    ao = AsyncClient(Reached(Link(), None, None))
    assert await anext(ao.watch(NOBODY)) == Gap("gap", missed=3)
    inbox = ao.inbox(NOBODY)
    for _ in range(2):
        with pytest.raises(Missed, match="3 events passed it by.*find"):
            await anext(inbox)


async def test_data_is_kept_and_read_back(ao, tmp_path):
    file = tmp_path / "page.html"
    file.write_bytes(b"<p>" + bytes(range(256)) * 9000)
    text, raw, page = await ao.upload("hello"), await ao.upload(b"\x00\xff"), await ao.upload(file)
    assert (await ao.item(text)).tags["Content-Type"] == "text/plain"
    assert (await ao.item(raw)).tags["Content-Type"] == "application/octet-stream"
    assert (await ao.item(page)).tags["Content-Type"] == "text/html"
    own = await ao.upload("{}", tags={"Content-Type": "application/json", "App": "Arena"})
    assert (await ao.item(own)).tags.pairs == (("Content-Type", "application/json"), ("App", "Arena"))
    assert await ao.data(text) == b"hello" and (await ao.item(raw)).data == b"\x00\xff"
    assert await ao.download(page, tmp_path / "again") == file.stat().st_size
    assert (tmp_path / "again").read_bytes() == file.read_bytes()
    (tmp_path / "empty").touch()
    assert await ao.data(await ao.upload(tmp_path / "empty")) == b""


async def test_a_download_never_replaces_a_file_nor_leaves_half_of_one(ao, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(Invalid, match="exists already"):
        await ao.download(await ao.upload("x"), tmp_path / "mine")
    with pytest.raises(Missing, match="no item"):
        await ao.download(NOBODY, tmp_path / "new")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "new").exists()


async def test_items_are_found_by_tags_owners_and_recipients_page_by_page(ao):
    ids = [await ao.upload(f"{n}", tags={"App": "Arena", "Round": str(n)}) for n in range(5)]
    newest = await ao.find(tags={"App": "Arena"}, limit=2)
    assert [found.id for found in newest] == [ids[4], ids[3]] and newest[0].size == 1
    rest = await ao.find(tags={"App": "Arena"}, after=newest[-1].cursor)
    assert [found.id for found in rest] == [ids[2], ids[1], ids[0]]
    some = await ao.find(tags={"Round": ["1", "3"]}, owners=[ALICE.address], newest_first=False)
    assert [(found.id, found.tags["Round"]) for found in some] == [(ids[1], "1"), (ids[3], "3")]
    assert await ao.find(tags={"App": "Other"}) == ()


async def test_a_message_handed_over_again_counts_once(ao):
    process = await ao.spawn()
    message = await ao.sign(process, data=steps(["get", "seen"]))
    assert await ao.submit(message) == await ao.submit(message) == message.id
    assert [place.nonce for place in await ao.schedule(process)] == [0, 1]


async def test_two_messages_of_the_same_words_are_two(ao):
    process = await ao.spawn()
    assert await ao.message(process, {"Action": "Hit"}) != await ao.message(process, {"Action": "Hit"})


async def test_many_results_are_waited_for_at_once(ao):
    process = await ao.spawn()
    sent = [await ao.message(process, data=steps(["set", "x", n], ["get", "x"])) for n in range(150)]
    results = await asyncio.gather(*(ao.result(process, message) for message in sent))
    assert [result.output for result in results] == [str(n) for n in range(150)]


# Bad input ------------------------------------------------------------------------------------------------------------


async def test_what_nobody_has_is_missing(ao):
    process = await ao.spawn()
    for asked in (
        ao.message(NOBODY), ao.result(NOBODY), ao.result(process, NOBODY), ao.results(NOBODY), ao.dry_run(NOBODY),
        ao.item(NOBODY), ao.data(NOBODY), ao.spawn(module=NOBODY), ao.schedule(NOBODY), ao.assign(process, NOBODY),
    ):  # fmt: skip
        with pytest.raises(Missing, match=NOBODY):
            await asked


async def test_a_process_of_what_is_no_module_is_not_spawned(ao):
    note = await ao.upload("not a module")
    with pytest.raises(Invalid, match="is no module"):
        await ao.spawn(module=note)
    assert await ao.find(owners=ALICE.address, tags={"Type": "Process"}) == ()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda ao: ao.message("arena"), "The process 'arena' is not an id"),
        (lambda ao: ao.message(None), "The process None is not an id"),
        (lambda ao: ao.message(NOBODY, "Action"), "Tags are 'Action'.*dict"),
        (lambda ao: ao.message(NOBODY, ["Action"]), "A tag is 'Action'"),
        (lambda ao: ao.message(NOBODY, {"Quantity": 5}), r"tag Quantity is 5, which is not text.*str\(5\)"),
        (lambda ao: ao.message(NOBODY, {5: "x"}), "name of a tag is 5"),
        (lambda ao: ao.message(NOBODY, {"": "x"}), "tag name is 0 bytes"),
        (lambda ao: ao.message(NOBODY, {"A": "x" * 5000}), "tag block is 50.. bytes"),
        (lambda ao: ao.message(NOBODY, {}, {"a": 1}), r"The data is \{'a': 1\}.*json.dumps"),
        (lambda ao: ao.dry_run(NOBODY, {}, b"x"), "data of a dry-run is b'x'.*text"),
        (lambda ao: ao.submit({"id": "x"}), "is no signed item"),
        (lambda ao: ao.result(NOBODY, "x"), "The message 'x' is not an id"),
        (lambda ao: ao.results(NOBODY, limit=0), "limit is 0.*1 to 1000"),
        (lambda ao: ao.schedule(NOBODY, limit="all"), "limit is 'all'"),
        (lambda ao: ao.find(limit=101), "limit is 101.*1 to 100"),
        (lambda ao: ao.find(tags=[("a", "b")]), "tags to find"),
        (lambda ao: ao.find(owners=[5]), r"owners is \[5\]"),
        (lambda ao: ao.find(ids=7), "ids is 7"),
        (lambda ao: ao.spawn(module="aos"), "The module 'aos' is not an id"),
        (lambda ao: ao.spawn(scheduler="x"), "The scheduler 'x' is not an id"),
        (lambda ao: ao.assign(NOBODY, "x"), "The item 'x' is not an id"),
        (lambda ao: ao.transfer(BOB.address, 1.5), "1.5 is no amount"),
        (lambda ao: ao.transfer(BOB.address, -1), "-1 is no amount"),
    ],
)
async def test_wrong_types_are_named_before_anything_is_sent(place, call, words):
    async with WAYS["near"](place) as ao:
        with pytest.raises(Invalid, match=words):
            await call(ao)


async def test_an_upload_of_a_file_that_is_not_there_is_missing(ao, tmp_path):
    with pytest.raises(Missing, match="There is no file"):
        await ao.upload(tmp_path / "nothing")
    with pytest.raises(Invalid, match="cannot be read"):
        await ao.upload(tmp_path)


async def test_a_cursor_that_is_none_is_refused(ao):
    process = await ao.spawn()
    await ao.result(process)
    with pytest.raises(Invalid, match="neither a cursor nor a time"):
        await ao.results(process, after="yesterday")
    with pytest.raises(Invalid, match="not a cursor"):
        await ao.find(after="yesterday")


async def test_without_a_wallet_one_reads_but_does_not_write(place, request):
    async with WAYS["near"](place) as ao:
        process = await ao.spawn()
    async with WAYS["far"](place, wallet=None) as reader:
        assert (await reader.result(process)).error is None
        assert json.loads((await reader.dry_run(process, data=steps(["show"]))).output)["From"] == "1234"
        for asked in (reader.message(process), reader.upload("x"), reader.monitor(process)):
            with pytest.raises(Missing, match="no wallet to sign with.*wallet="):
                await asked


async def test_a_closed_client_says_so_and_its_listeners_end(place):
    async with WAYS["near"](place) as ao:
        process = await ao.spawn()
        inbox = await ao.inbox().__aenter__()
    with pytest.raises(Invalid, match="closed"):
        await ao.result(process)
    assert await inbox.get() is None


async def test_an_item_signed_elsewhere_is_taken(ao):
    process = await ao.spawn()
    tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")]
    message = await ao.submit(sign_item(BOB, data=steps(["show"]).encode(), tags=tags, target=process))
    assert json.loads((await ao.result(process, message)).output)["From"] == BOB.address


def test_tags_do_not_change():
    tags = Tags({"A": "1"})
    with pytest.raises(AttributeError, match="never change"):
        tags.pairs = ()

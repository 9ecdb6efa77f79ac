"""Crons in the units: evaluated in their places, attested, replayed, verified, shown, and carried while monitored."""

import base64
import json

from ao.fakes import FakeEvaluators, Town
from ao.served import served

from puna.ao.compute.cron import Block
from puna.ao.compute.verify import verify

EVERY_TEN = (("Cron-Interval", "10-seconds"), ("Cron-Tag-Action", "Cron"))


async def ticking(*tags, **options) -> tuple[Town, str]:
    town = await Town.founded(**options)
    process = await town.spawn(*(tags or EVERY_TEN))
    await town.quiet()
    return town, process


async def seen_by(town: Town, process: str) -> list[tuple[str, str]]:
    """What the process saw: of each message its id and action."""
    return [(id, action) for id, _, action in town.evaluators.memories[process][1]["seen"]]


async def test_56_between_two_messages_thirty_seconds_apart_three_crons_come_before_the_later_one():
    town, process = await ticking()
    town.clock.pass_ms(5000)
    first = await town.do(process, tags=[("Action", "First")])
    town.clock.pass_ms(30_000)
    second = await town.do(process, tags=[("Action", "Second")])
    await town.quiet()
    crons = [(None, "Cron")] * 3
    assert (await seen_by(town, process))[1:] == [(first, "First"), *crons, (second, "Second")]
    page, _ = await town.units.compute.results(process, only_crons=True)
    origin = (await town.schedule(process))[0][1].timestamp_ms
    assert [(kept.timestamp_ms // 1000 - origin // 1000, kept.cron) for kept, _ in page] == [
        (10, "0-10-seconds"), (20, "0-10-seconds"), (30, "0-10-seconds"),
    ]  # fmt: skip


async def test_52_a_unit_that_forgot_its_memory_replays_crons_in_their_places_and_verification_agrees():
    for checkpoints in (1, 2, 64):
        town, process = await ticking(checkpoint_evaluations=checkpoints)
        for n in range(4):
            town.clock.pass_ms(17_000)
            await town.do(process, ["set", "n", n])
        await town.quiet()
        await town.units.compute.crons(process)
        live = await seen_by(town, process)
        reborn = Town(store=town.store, clock=town.clock)
        reborn.clock.pass_ms(12_000)
        await reborn.do(process, ["set", "n", 4])
        await reborn.quiet()
        again = await seen_by(reborn, process)
        assert again[: len(live)] == live and len(again) > len(live) + 1
        report = await verify(reborn.store, FakeEvaluators(), process)
        assert report.agrees, report.first
        assert report.replayed == len(again) and report.state_root == reborn.units.compute.evaluated(process).root


async def test_verification_names_the_cron_that_differs():
    town, process = await ticking()
    town.clock.pass_ms(25_000)
    await town.units.compute.crons(process)

    class Twisted(FakeEvaluators):
        async def _evaluate(self, process_id, message_json):
            message = json.loads(message_json)
            if message["Cron"]:
                message["From"] = "someone"
            return await super()._evaluate(process_id, json.dumps(message).encode())

    report = await verify(town.store, Twisted(), process)
    assert "0-10-seconds at" in report.first.message and "State-Root" in report.first.field


async def test_crons_of_silence_are_evaluated_when_somebody_reads_and_not_twice():
    town, process = await ticking()
    compute = town.units.compute
    assert await compute.crons(process) == ([], False)
    town.clock.pass_ms(35_000)
    first, _ = await compute.crons(process)
    assert len(first) == 3
    again, _ = await compute.crons(process, after=first[0][0].position)
    assert [kept for kept, _ in again] == [kept for kept, _ in first[1:]]
    town.clock.pass_ms(6_000)
    assert len((await compute.crons(process))[0]) == 4
    assert len(await seen_by(town, process)) == 5


async def test_the_clock_going_back_puts_no_message_before_crons_that_were_evaluated():
    town, process = await ticking()
    town.clock.pass_ms(35_000)
    await town.units.compute.crons(process)
    town.clock.pass_ms(-30_000)
    await town.do(process, tags=[("Action", "Late")])
    await town.quiet()
    assert [action for _, action in await seen_by(town, process)][1:] == ["Cron", "Cron", "Cron", "Late"]
    assert (await verify(town.store, FakeEvaluators(), process)).agrees


async def test_57_block_crons_follow_the_blocks_of_the_weave():
    chain: list[Block] = []

    def blocks(first, end):
        return [block for block in chain if first <= block.timestamp_ms // 1000 < end]

    town, process = await ticking(
        ("Cron-Interval", "10-blocks"), ("Cron-Tag-Action", "Block"), *EVERY_TEN, blocks=blocks
    )
    (_, boot), *_ = await town.schedule(process)
    chain += [Block(boot.block_height + n, boot.timestamp_ms + n * 1000) for n in range(1, 40)]
    town.clock.now_ms += 25_000
    page, _ = await town.units.compute.crons(process)
    assert [kept.cron for kept, _ in page] == ["0-10-blocks", "0-10-seconds", "0-10-blocks", "0-10-seconds"]
    assert (await verify(town.store, FakeEvaluators(), process, blocks=blocks)).agrees


async def test_a_cron_that_fails_changes_nothing_and_is_left_out_of_pages():
    town, process = await ticking(("Cron-Interval", "10-seconds"), ("Cron-Tag-Ball", "no number"))

    town.clock.pass_ms(11_500)
    town.evaluators._evaluate_plain = town.evaluators._evaluate

    async def failing(process_id, message_json):
        message = json.loads(message_json)
        if message["Cron"]:
            message["Data"], message["Tags"] = '[["set","x",1],["fail","no"]]', []
        return await town.evaluators._evaluate_plain(process_id, json.dumps(message).encode())

    town.evaluators._evaluate = failing
    assert await town.units.compute.crons(process) == ([], False)
    assert town.units.compute.evaluated(process).ticks == 1
    assert "x" not in town.evaluators.memories[process][1]


async def test_the_cron_page_over_http_has_cursors_that_name_the_cron():
    town, process = await ticking()
    await town.do(process, ["set", "n", 1])
    town.clock.pass_ms(45_000)
    async with served(town) as wire:
        page = (await wire("GET", "cu", f"/cron/{process}", limit=2)).json
        assert len(page["edges"]) == 2 and page["pageInfo"]["hasNextPage"]
        cursor = json.loads(base64.b64decode(page["edges"][1]["cursor"]))
        assert list(cursor) == ["timestamp", "ordinate", "cron", "sort"] and cursor["cron"] == "0-10-seconds"
        rest = (await wire("GET", "cu", f"/cron/{process}", **{"from": page["edges"][1]["cursor"]})).json
        assert len(rest["edges"]) == 2 and not rest["pageInfo"]["hasNextPage"]
        everything = (await wire("GET", "cu", f"/results/{process}")).json["edges"]
        assert len(everything) == 6
        newest = (await wire("GET", "cu", f"/results/{process}", sort="DESC", limit=1)).json["edges"]
        assert newest[0]["cursor"][:20] == rest["edges"][-1]["cursor"][:20]
        after = (await wire("GET", "cu", f"/results/{process}", **{"from": everything[3]["cursor"]})).json["edges"]
        assert after == everything[4:]

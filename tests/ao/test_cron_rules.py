"""Cron by its pure rules: which messages a process's tags ask for between two neighbours of its schedule."""

import json

import pytest
from ao.fakes import ALICE, process_item
from hypothesis import given
from hypothesis import strategies as st

from puna.ao.compute.cron import Block, Moment, cron_json, crons_of, no_blocks, ticks
from puna.errors import Invalid

T = 1_700_000_000_000
ORIGIN = Moment(T, 100)


def crons(*tags):
    return crons_of(process_item(*tags))


def shown(found):
    return [((tick.timestamp_ms - T) / 1000, tick.cron.name) for tick in found]


TEN = crons(("Cron-Interval", "10-seconds"), ("Cron-Tag-Action", "Cron"))


def test_56_ten_second_crons_come_three_times_between_messages_thirty_seconds_apart():
    found = list(ticks(TEN, ORIGIN, Moment(T + 5000, 100), T + 35_000, no_blocks))
    assert shown(found) == [(10, "0-10-seconds"), (20, "0-10-seconds"), (30, "0-10-seconds")]


def test_57_block_crons_count_from_the_origin_and_come_before_time_crons_of_their_second():
    both = crons(("Cron-Interval", "10-seconds"), ("Cron-Interval", "10-blocks"), ("Cron-Tag-Action", "B"))
    chain = [Block(100 + n, T + n * 1000 - 500) for n in range(1, 40)]

    def blocks(first, end):
        return [block for block in chain if first <= block.timestamp_ms // 1000 < end]

    found = list(ticks(both, ORIGIN, Moment(T, 100), T + 35_000, blocks))
    assert shown(found) == [
        (9.5, "0-10-blocks"), (10, "0-10-seconds"), (19.5, "0-10-blocks"), (20, "0-10-seconds"),
        (29.5, "0-10-blocks"), (30, "0-10-seconds"),
    ]  # fmt: skip
    assert [tick.block_height for tick in found] == [110, 111, 120, 121, 130, 131]
    same_second = [Block(110, T + 10_200)]
    found = ticks(both, ORIGIN, Moment(T, 100), T + 11_000, lambda first, end: same_second)
    assert [tick.cron.name for tick in found] == ["0-10-blocks", "0-10-seconds"]


def test_finer_intervals_come_first_whatever_their_order_in_the_tags():
    mixed = crons(("Cron-Interval", "1-minute"), ("Cron-Interval", "20-secs"), ("Cron-Interval", "30-seconds"))
    assert [cron.name for cron in mixed] == ["0-20-secs", "1-30-seconds", "2-1-minute"]
    at_a_minute = list(ticks(mixed, ORIGIN, Moment(T + 60_000, 100), T + 61_000, no_blocks))
    assert [tick.cron.every for tick in at_a_minute] == [20, 30, 60]


def test_the_origin_itself_never_matches():
    assert not list(ticks(TEN, ORIGIN, ORIGIN, T + 1000, no_blocks))
    own_block = crons(("Cron-Interval", "1-block"))
    assert not list(ticks(own_block, ORIGIN, ORIGIN, T + 1000, lambda first, end: [Block(100, T)]))


@given(
    st.lists(st.integers(1, 4000), min_size=1, max_size=8),
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.integers(0, 999),
)
def test_wherever_messages_fall_every_interval_is_kept_exactly_once(gaps, intervals, offset):
    wanted = crons(*(("Cron-Interval", f"{n}-seconds") for n in intervals))
    origin = Moment(T + offset, 1)
    moments = [origin.timestamp_ms]
    for gap in gaps:
        moments.append(moments[-1] + gap)
    found = []
    for left, right in zip(moments, moments[1:], strict=False):
        found += [
            (tick.timestamp_ms // 1000, tick.cron.name)
            for tick in ticks(wanted, origin, Moment(left, 1), right, no_blocks)
        ]
    whole = [
        (tick.timestamp_ms // 1000, tick.cron.name) for tick in ticks(wanted, origin, origin, moments[-1], no_blocks)
    ]
    assert found == whole and len(set(found)) == len(found)


@given(st.integers(0, 30), st.integers(0, 60), st.data())
def test_going_on_where_one_stopped_gives_what_one_look_would_have(first_s, more_s, data):
    wanted = crons(("Cron-Interval", "2-blocks"), ("Cron-Interval", "2-seconds"), ("Cron-Interval", "3-seconds"))
    chain = [Block(100 + n, T + n * 1500) for n in range(1, 100)]

    def blocks(first, end):
        return [block for block in chain if first <= block.timestamp_ms // 1000 < end]

    def look(right_s, after=None):
        return list(ticks(wanted, ORIGIN, Moment(T + 300, 100), T + right_s * 1000, blocks, after))

    whole = look(first_s + more_s)
    early = look(first_s)
    assert whole[: len(early)] == early
    cut = data.draw(st.integers(0, len(whole)))
    assert whole[cut:] == look(first_s + more_s, whole[cut - 1].place if cut else None)


def test_a_year_of_silence_costs_no_step_per_second():
    yearly = crons(("Cron-Interval", "1-year"))
    assert len(list(ticks(yearly, ORIGIN, ORIGIN, T + 31_557_600_000 * 50 + 1000, no_blocks))) == 50


@pytest.mark.parametrize("interval, words", [
    ("500-milliseconds", "cannot be less than 1 second"),
    ("0-seconds", "cannot be less than 1 second"),
    ("0-blocks", "not understood"),
    ("often", "not understood"),
    ("10-fortnights", "not understood"),
    ("-5-seconds", "not understood"),
])  # fmt: skip
def test_an_interval_that_is_none_is_named(interval, words):
    with pytest.raises(Invalid, match=words):
        crons(("Cron-Interval", interval))


def test_a_cron_tag_before_any_interval_is_an_error():
    with pytest.raises(Invalid, match="Unmatched Cron-Tag with no preceding Cron-Interval: Cron-Tag-Action"):
        crons(("Cron-Tag-Action", "x"), ("Cron-Interval", "1-second"))


def test_59_a_cron_message_has_exactly_these_fields_in_this_order():
    process = process_item(("Cron-Interval", "10-seconds"), ("Cron-Tag-Action", "Cron"))
    (tick,) = ticks(crons_of(process), ORIGIN, ORIGIN, T + 11_000, no_blocks)
    message = json.loads(cron_json(process, tick))
    assert list(message) == ["Owner", "Target", "From", "Tags", "Timestamp", "Block-Height", "Cron", "Read-Only"]
    assert message == {
        "Owner": ALICE.address, "Target": process.id, "From": ALICE.address, "Timestamp": T + 10_000,
        "Tags": [{"name": "Action", "value": "Cron"}], "Block-Height": 100, "Cron": True, "Read-Only": False,
    }  # fmt: skip

"""What a live door shows of a world and what it sends on: laws over any walk, against the world's own law of speed."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid, Missing, NotYet
from puna.llamaland import presence
from puna.llamaland.genesis import WORLD
from puna.llamaland.presence import Presence, Rules, TooFast, read_move
from puna.services import letters

ANN = new_ed25519_wallet()
START = {"Position": [50, 50], "Type": "Avatar", "Metadata": {"DisplayName": "Ann"}, "StateCode": 2, "At": 1}
RULES = Rules(2, (0.0, 0.0), (100.0, 100.0))
ITEM = letters.message(ANN, "A" * 43, {"Action": "Reality.EntityUpdatePosition"})


def law_of_the_world(name: str) -> float:
    """A number that world.lua keeps for itself."""
    return float(re.search(rf"^local {name} = (\d+)", Path(WORLD).read_text(), re.MULTILINE)[1])


def world_with_ann() -> Presence:
    it = Presence(RULES)
    it.hear_people({ANN.address: START}, 0.0)
    return it


def to(*place: float):
    return read_move(json.dumps({"Position": place}).encode(), RULES)


def shown(it: Presence, version: int = 0, line: int = 0):
    frame, last = it.frame(version, line, 7)
    return json.loads(frame), last


def test_the_door_is_a_little_stricter_than_the_world():
    assert presence.SPEED < law_of_the_world("SPEED")
    assert presence.STRIDE < law_of_the_world("STRIDE")
    assert presence.PATH_MAX <= law_of_the_world("PATH_MAX")
    assert presence.LINES_MAX == law_of_the_world("LINES_MAX")


# A pause in ms, a direction, how far of what the world would allow, how long the messenger takes in ms.
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(100, 300), st.integers(20, 9000)), st.sampled_from([(1, 0), (-1, 0), (0, 1), (0, -1)]),
        st.floats(0, 1.3), st.integers(0, 400),
    ),
    min_size=1, max_size=80,
)  # fmt: skip


@settings(max_examples=400)
@given(steps)
def test_whatever_somebody_walks_the_world_takes_every_sample_and_the_last_one_is_where_he_stands(walk):
    it, speed, stride = world_with_ann(), law_of_the_world("SPEED"), law_of_the_world("STRIDE")
    ann = it.walkers[ANN.address]
    world_at, world_reach, world_ms, heard = (50.0, 50.0), stride, 0.0, []
    places = {}

    def listen(now: float, delay: float) -> None:
        """The world hears what is due; the messenger takes `delay` ms, and the door knows when it did."""
        nonlocal world_at, world_reach, world_ms
        while it.due(now):
            item, way = it.take(ann)
            assert not it.due(now)
            place = places[item.id]
            world_reach = min(stride, world_reach + (now + delay - world_ms) * speed / 1000)
            world_ms = now + delay
            assert math.dist(world_at, place) <= min(way + 1e-6, world_reach), "the world refuses this sample"
            world_reach -= math.dist(world_at, place)
            world_at = place
            heard.append(now)
            it.heard(ann, way, now + delay)
            now += delay

    now = 0.0
    for pause, way, share, delay in walk:
        now += pause
        listen(now, delay)
        now += delay
        far = min(stride, speed * pause / 1000) * share
        place = tuple(
            round(min(100.0, max(0.0, at + far * each)), 3) for at, each in zip(ann.position, way, strict=True)
        )
        item = letters.message(ANN, "A" * 43, {"Action": "Reality.EntityUpdatePosition"})
        places[item.id] = place
        try:
            it.move(ANN.address, to(*place), item, now)
        except (TooFast, NotYet):
            continue
        listen(now, delay)
        now += delay
    for _ in range(20):
        now += 6000
        listen(now, 0)
    assert world_at == ann.position
    assert not it.is_restless


def test_a_long_walk_is_heard_of_every_few_seconds_and_when_it_ends():
    it, now, samples = world_with_ann(), 1000.0, []
    ann = it.walkers[ANN.address]

    def listen():
        for walker in it.due(now):
            samples.append(now)
            it.heard(walker, it.take(walker)[1], now)

    for step in range(60 * 4):
        it.move(ANN.address, to(50 + (step % 40) / 2 if step % 80 < 40 else 70 - (step % 40) / 2, 50), ITEM, now)
        listen()
        now += 250
    assert 14 <= len(samples) <= 17
    now += presence.STILL_MS
    listen()
    assert not ann.is_unheard and len(samples) <= 18


def test_a_sample_that_could_not_be_sent_stays_the_next_and_a_world_that_is_behind_stops_the_walk():
    it = world_with_ann()
    ann = it.walkers[ANN.address]
    it.move(ANN.address, to(51, 50), ITEM, 0.0)
    sample = it.take(ann)
    it.move(ANN.address, to(52, 50), ITEM, 250.0)
    assert it.due(250.0) == []
    it.unheard(ann, sample)
    assert it.due(250.0) == [ann] and it.take(ann) == sample
    now, x = 250.0, 52
    with pytest.raises(NotYet, match="busy"):
        while now < 200_000:
            now, x = now + 4000, 20 if x > 40 else 49
            it.move(ANN.address, to(x, 50), ITEM, now)
    assert ann.position == (x, 50) or len(ann.samples) == presence.SAMPLES_MAX


def test_a_frame_tells_what_is_new_since_a_version_and_no_more():
    it = world_with_ann()
    first, _ = shown(it)
    assert first["people"] == {ANN.address: {key: START[key] for key in ("Position", "Type", "Metadata", "StateCode")}}
    assert first["moves"] == [[ANN.address, 50, 50]] and "lines" not in first
    seen = it.version
    assert shown(it, seen)[0] == {"t": 7}
    it.move(ANN.address, read_move(b'{"Path":[[51,50],[51,51]],"Direction":"up"}', RULES), ITEM, 0.0)
    assert shown(it, seen)[0] == {"t": 7, "moves": [[ANN.address, 51, 51, "up"]]}
    it.hear_people({ANN.address: {**START, "StateCode": 0}}, 1.0)
    hidden, _ = shown(it, seen)
    assert hidden["people"][ANN.address]["StateCode"] == 0 and "moves" not in hidden
    it.move(ANN.address, to(51, 52), ITEM, 300.0)
    back, _ = shown(it, seen)
    assert back["people"][ANN.address]["StateCode"] == 2 and back["moves"] == [[ANN.address, 51, 52]]


def test_where_somebody_just_moved_the_worlds_older_word_changes_nothing_later_it_does():
    it = world_with_ann()
    ann = it.walkers[ANN.address]
    it.move(ANN.address, to(55, 50), ITEM, 0.0)
    it.heard(ann, it.take(ann)[1], 100.0)
    it.hear_people({ANN.address: START}, 200.0)
    assert ann.position == (55, 50)
    it.doubt(ANN.address)
    it.hear_people({ANN.address: START}, 300.0)
    assert ann.position == (50, 50)
    it.move(ANN.address, to(55, 50), ITEM, 400.0)
    it.correct({ANN.address: {**START, "Position": [49, 50]}})
    assert ann.position == (49, 50) and not it.is_restless


lines = st.lists(st.integers(1, 900), max_size=80)


@given(lines, st.integers(0, 900))
def test_lines_come_in_order_once_and_in_frames_of_bounded_size(numbers, seen):
    it, told = Presence(RULES), []
    for number in numbers:
        it.hear_lines([{"Id": each, "Content": "x"} for each in range(number + 3, number - 1, -1)])
    kept = [line["Id"] for line in it.lines]
    at = seen
    while at < it.line:
        frame, at = shown(it, 0, at)
        assert 1 <= len(frame["lines"]) <= presence.LINES_A_FRAME
        told += [line["Id"] for line in frame["lines"]]
    assert told == [number for number in kept if number > seen] == sorted(set(told))


def test_nobody_is_kept_for_longer_than_the_world_keeps_him():
    it = world_with_ann()
    it.tidy(presence.IDLE_MS, 0.0)
    assert ANN.address in it.walkers
    it.move(ANN.address, to(51, 50), ITEM, 1000.0)
    it.tidy(10 * presence.IDLE_MS, 2000.0)
    assert ANN.address in it.walkers
    it.forget_moves(ANN.address)
    it.tidy(10 * presence.IDLE_MS, 2000.0 + presence.IDLE_MS)
    assert it.walkers == {}
    with pytest.raises(Invalid, match="not in this world"):
        it.move(ANN.address, to(51, 50), ITEM, 0.0)


@pytest.mark.parametrize("info, parameters", [
    ({}, {}), ({"Dimensions": "x"}, {}), ({"Dimensions": 0}, {}), ({"Dimensions": 2}, {"Bounds": {"Lower": [0]}}),
    ({"Dimensions": 2}, {"Bounds": 7}), ([], {}), ({"Dimensions": 2}, []),
])  # fmt: skip
def test_a_process_that_is_no_world_is_told_apart(info, parameters):
    with pytest.raises(Missing, match="no world"):
        Rules.of(info, parameters)

"""Records of what the wire says: tables for what is known, laws for what a module may come up with."""

import base64
import copy
import dataclasses
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.ao.result import Page as PageTold
from puna.ao.result import Result as ResultTold
from puna.client.events import KINDS, Event, Failed, Token, read_event
from puna.client.records import Tags, read_page, read_result, shown, told_tags

NAMES = st.text(min_size=1, max_size=4)
SETTINGS = settings(max_examples=60, deadline=None)
PAIRS = st.lists(st.tuples(NAMES, st.text(max_size=4)), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from("Target Tags Data Anchor Processes Message name value data output".split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@SETTINGS
@given(PAIRS)
def test_tags_keep_all_pairs_and_are_a_mapping_of_the_first_of_each(pairs):
    tags = Tags(pairs)
    assert tags.pairs == tuple(pairs) == Tags(tags).pairs
    assert dict(tags) == dict(reversed(pairs)) and len(tags) == len(dict(pairs))
    assert Tags([{"name": name, "value": value} for name, value in pairs]).pairs == tags.pairs
    assert all(tags.all(name) == tuple(value for known, value in pairs if known == name) for name in tags)


@SETTINGS
@given(st.dictionaries(NAMES, st.text(max_size=4), max_size=5))
def test_tags_equal_the_mapping_they_were_made_of(named):
    assert Tags(named) == named and hash(Tags(named)) == hash(Tags(list(named.items())[::-1]))


@SETTINGS
@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3), st.lists(JSON, max_size=3), JSON, JSON)
def test_whatever_a_module_answers_can_be_read(messages, spawns, assignments, output, error):
    told = ResultTold(tuple(messages), tuple(spawns), tuple(assignments), output, error)
    result = read_result(told)
    assert isinstance(result.output, str) and (result.error is None) == (error is None)
    assert all(isinstance(message.target, str) and isinstance(message.tags, Tags) for message in result.messages)
    assert all(isinstance(process, str) for share in result.assignments for process in share.processes)
    assert result == read_result(told) and hash(result) == hash(read_result(told))


def test_records_can_be_copied_and_sent_to_other_programs():
    entry = {"Target": "T", "Tags": [{"name": "A", "value": "1"}], "Data": "d"}
    result = read_result(ResultTold((entry,), (), (), "out", None, 5))
    assert pickle.loads(pickle.dumps(result)) == result == copy.deepcopy(result)
    assert dataclasses.asdict(result)["messages"][0]["tags"] == {"A": "1"}


@SETTINGS
@given(JSON)
def test_told_tags_are_those_that_are_tags(told):
    for name, value in told_tags(told).pairs:
        assert isinstance(name, str) and isinstance(value, str)


@pytest.mark.parametrize(
    "output, text",
    [
        ("2", "2"),
        ("", ""),
        (None, ""),
        (2, "2"),
        (2.0, "2"),
        (0.5, "0.5"),
        (True, "true"),
        ({"data": "2", "prompt": "aos> "}, "2"),
        ({"data": {"output": "2", "prompt": "aos> "}, "print": True}, "2"),
        ({"data": {"json": "undefined", "output": ""}}, ""),
        ({"output": "2"}, "2"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ("\x1b[32m2\x1b[0m", "2"),
    ],
)
def test_what_a_person_is_shown(output, text):
    assert shown(output) == text


def test_cursors_of_other_units_are_kept_as_they_are():
    named = base64.b64encode(b'{"timestamp":5,"ordinate":"7","cron":"0-10-seconds","sort":"ASC"}').decode()
    page = read_page(PageTold(((named, ResultTold()), ("whatever", ResultTold()), ("W10=", ResultTold())), True))
    assert [(kept.nonce, kept.timestamp_ms, kept.cron) for kept in page] == [
        (7, 5, "0-10-seconds"), (None, None, ""), (None, None, ""),
    ]  # fmt: skip
    assert page.cursor == "W10="


def test_every_kind_of_event_is_read_and_new_kinds_are_no_trouble():
    for kind, record in KINDS.items():
        event = read_event({"kind": kind, "root": "R", "process": "P", "message": "M"})
        assert type(event) is record and (event.kind, event.root) == (kind, "R")
    assert read_event({"kind": "weather", "root": "R", "sky": "blue"}) == Event("weather", "R")
    piece = {"kind": "token", "root": "R", "text": "a", "index": 3, "tokens": 2}
    assert read_event(piece) == Token("token", "R", text="a", index=3, tokens=2, place=0)
    assert read_event(piece | {"place": 1}) == Token("token", "R", text="a", index=3, tokens=2, place=1)
    dropped = read_event({"kind": "failed", "root": "R", "error": "no", "entry": "Messages[2]"})
    assert dropped == Failed("failed", "R", error="no", entry="Messages[2]")
    evaluated = read_event({"kind": "evaluated", "data": {"output": "x"}, "error": {"code": 1}})
    assert (evaluated.output, evaluated.error) == ("x", '{"code":1}')

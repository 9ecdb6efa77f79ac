"""From a module's answer to a result, rule by rule."""

import pytest

from puna.vm.result import Reading, decode, read_answer

WHOLE = b'{"ok":true,"response":{"Output":{"data":"x"},"Messages":[1],"Spawns":[2],"Assignments":[3]}}'


def test_a_whole_answer():
    assert read_answer(WHOLE, None) == Reading({"data": "x"}, [1], [2], [3], None, True)


@pytest.mark.parametrize(
    "answer",
    [b'{"ok":true}', b'{"ok":true,"response":{}}', b'{"ok":true,"response":null}', b'{"ok":true,"response":[]}'],
)
def test_absent_parts_are_empty(answer):
    assert read_answer(answer, None) == Reading("", [], [], [], None, True)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"ok":false,"response":"boom"}', "boom"),
        (b'{"ok":false,"response":{"a":1}}', '{"a":1}'),
        (b'{"ok":false}', "the module failed without a reason"),
        (b'{"ok":1,"response":{"Messages":[1]}}', '{"Messages":[1]}'),
        (b"[]", "the module's answer is not an object"),
        (b"", "the module's answer is not JSON"),
        (b"{", "the module's answer is not JSON"),
        (b"[" * 100_000, "the module's answer is not JSON"),
        (None, "out of gas: ..."),
    ],
)
def test_a_failure_is_its_text_and_an_empty_outbox(answer, error):
    reading = read_answer(answer, "out of gas: ...")
    assert reading.error.startswith(error)
    assert (reading.output, reading.messages, reading.spawns, reading.assignments) == ("", [], [], [])
    assert not reading.keeps


def test_a_returned_error_keeps_the_outbox_and_loses_the_memory():
    reading = read_answer(WHOLE.replace(b'"Spawns"', b'"Error":"no","Spawns"'), None)
    assert (reading.error, reading.messages, reading.keeps) == ("no", [1], False)
    assert read_answer(b'{"ok":true,"response":{"Error":{"code":1}}}', None).error == '{"code":1}'


@pytest.mark.parametrize("nothing", [b'""', b"null", b"false"])
def test_an_empty_error_is_none(nothing):
    assert read_answer(b'{"ok":true,"response":{"Error":' + nothing + b"}}", None).keeps


@pytest.mark.parametrize("output", [b'"%s"', b'{"data":{"output":"%s"}}'])
def test_too_little_memory_takes_memory_back_without_an_error(output):
    text = output % b"x: not enough memory for buffer allocation"
    reading = read_answer(b'{"ok":true,"response":{"Output":' + text + b"}}", None)
    assert (reading.error, reading.keeps) == (None, False)


def test_json_that_only_lua_would_write_is_understood():
    assert decode(b'"\xff"') == "�"
    assert decode(b'"\\ud83d"') == "?"
    assert decode(b'"\\ud83d\\ude00"') == "😀"
    assert decode(b'"tab\there"') == "tab\there"
    assert decode(b'{"n":NaN,"i":-Infinity}') == {"n": None, "i": None}

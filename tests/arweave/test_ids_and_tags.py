"""Ids and tags: witnesses from the wire, and laws over everything hypothesis can think of."""

import pytest
from arweave.strategies import tag_lists
from hypothesis import given
from hypothesis import strategies as st

from puna.arweave.ids import b64url_decode, b64url_encode, id_bytes, is_id
from puna.arweave.tags import TAG_BLOCK_MAX, Tag, decode_tags, encode_tags, first, values
from puna.errors import Invalid


@given(st.binary(max_size=100))
def test_decode_undoes_encode_of_base64url(data):
    assert b64url_decode(b64url_encode(data)) == data


@given(st.text(max_size=50))
def test_only_one_text_stands_for_each_value(text):
    try:
        data = b64url_decode(text)
    except Invalid:
        return
    assert b64url_encode(data) == text


@pytest.mark.parametrize("text", ["a", "ab=", "ab==", "a+b/", "abcd\n", "ab cd", "é", "AB", "A" * 42 + "B", None, 7])
def test_text_that_encode_never_writes_is_refused(text):
    with pytest.raises(Invalid):
        b64url_decode(text)


def test_an_id_is_43_characters_of_32_bytes():
    assert is_id("A" * 43)
    assert id_bytes("A" * 43) == bytes(32)
    for text in ["", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "+", None]:
        assert not is_id(text)
        with pytest.raises(Invalid):
            id_bytes(text)


@pytest.mark.parametrize(
    ("tags", "block"),
    [
        ([("A", "b")], "020241026200"),
        (
            [("Data-Protocol", "ao"), ("Type", "Message")],
            "041a446174612d50726f746f636f6c04616f08547970650e4d65737361676500",
        ),
        ([("K", "x" * 64)], "02024b8001" + "78" * 64 + "00"),
        ([], ""),
    ],
)
def test_tag_blocks_agree_with_the_network(tags, block):
    assert encode_tags(tags).hex() == block
    assert decode_tags(bytes.fromhex(block)) == tuple(tags)


@given(tag_lists)
def test_decode_undoes_encode_of_tags(tags):
    assert decode_tags(encode_tags(tags)) == tags


def test_a_block_in_several_parts_with_negative_counts_decodes():
    parts = bytes.fromhex("0108" + "02410262" + "02" + "02430264" + "00")
    assert decode_tags(parts) == (Tag("A", "b"), Tag("C", "d"))


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("02", "middle of a tag"),
        ("0202410262", "middle of a tag"),
        ("020341026200", "-2 bytes long"),
        ("0202410262" + "00" + "00", "after its end"),
        ("0106" + "02410262" + "00", "not as long"),
        ("0107" + "02410262" + "00", "not as long"),
        ("02" + "02ff" + "0262" + "00", "not UTF-8"),
        ("02" + "00" + "0262" + "00", "tag name is 0 bytes"),
        ("ff" * 10, "more than 64 bits"),
        ("ff" * 9 + "01" + "00", "tags, at most 128"),
        ("fe" + "ff" * 8 + "01", "tags, at most 128"),
        ("8402" + "00", "130 tags, at most 128"),
        ("00" * (TAG_BLOCK_MAX + 1), "at most 4096"),
    ],
)
def test_a_hostile_block_is_refused_with_the_reason(block, why):
    with pytest.raises(Invalid, match=why):
        decode_tags(bytes.fromhex(block))


@given(st.binary(max_size=200))
def test_no_block_raises_anything_but_invalid(block):
    try:
        tags = decode_tags(block)
    except Invalid:
        return
    assert decode_tags(encode_tags(tags)) == tags


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ([("", "x")], "0 bytes"),
        ([("n" * 1025, "x")], "1025 bytes"),
        ([("n", "x" * 4096)], "at most 4096"),
        ([("n", "x")] * 129, "129 tags"),
        ([("n", "\ud800")], "not valid text"),
        ([("n", 7)], "not valid text"),
    ],
)
def test_tags_over_a_limit_are_not_written(tags, why):
    with pytest.raises(Invalid, match=why):
        encode_tags(tags)


def test_first_and_values_follow_the_order():
    tags = (Tag("A", "1"), Tag("B", "2"), Tag("A", "3"))
    assert first(tags, "A") == "1"
    assert first(tags, "C") is None
    assert values(tags, "A") == ["1", "3"]

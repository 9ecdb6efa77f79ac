"""Bundles: laws of packing, bundles within bundles, and counts that lie."""

import pytest
from arweave.strategies import ED25519, data_items
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.arweave.bundle import (
    BUNDLE_TAGS,
    NESTING_MAX,
    Bundled,
    decode_bundle,
    encode_bundle,
    encode_bundle_header,
    is_bundle,
    unpack,
)
from puna.arweave.dataitem import encode_item, sign_item
from puna.arweave.ids import b64url_decode
from puna.errors import Invalid

CARRIER = "C" * 42 + "A"


def item(text, tags=()):
    return sign_item(ED25519, text, tags)


@settings(deadline=None)
@given(st.lists(data_items(), max_size=5))
def test_a_bundle_lists_back_its_items(items):
    wire = encode_bundle(items)
    assert decode_bundle(wire) == tuple(items)
    assert decode_bundle(memoryview(wire)) == tuple(items)
    assert wire == encode_bundle_header(items) + b"".join(map(encode_item, items))


def test_a_bundle_is_laid_out_as_the_network_does():
    one = item(b"x")
    wire = encode_bundle([one])
    assert wire[:32] == b"\1" + bytes(31)
    assert wire[32:64] == len(encode_item(one)).to_bytes(32, "little")
    assert wire[64:96] == b64url_decode(one.id)
    assert wire[96:] == encode_item(one)
    assert encode_bundle([]) == bytes(32)


def test_items_of_nested_bundles_know_their_carriers():
    leaf, other = item(b"leaf"), item(b"other")
    inner = item(encode_bundle([leaf]), BUNDLE_TAGS)
    outer = encode_bundle([inner, other])
    assert list(unpack(CARRIER, memoryview(outer))) == [
        Bundled(inner, CARRIER),
        Bundled(leaf, inner.id),
        Bundled(other, CARRIER),
    ]


def test_an_inner_bundle_that_is_not_sound_is_only_data():
    broken = item(b"no bundle at all", BUNDLE_TAGS)
    fine = item(b"fine")
    assert [found.item for found in unpack(CARRIER, encode_bundle([broken, fine]))] == [broken, fine]


def test_bundles_nested_to_death_end():
    nested = item(b"bottom")
    for _ in range(NESTING_MAX + 50):
        nested = item(encode_bundle([nested]), BUNDLE_TAGS)
    assert len(list(unpack(CARRIER, encode_bundle([nested])))) == NESTING_MAX


def test_both_tags_make_a_bundle():
    assert is_bundle([("X", "y"), *BUNDLE_TAGS])
    assert not is_bundle(BUNDLE_TAGS[:1])
    assert not is_bundle([("Bundle-Format", "binary"), ("Bundle-Version", "1.0.0")])


def number(value):
    return value.to_bytes(32, "little")


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"", "middle of its header"),
        (number(1), "more than fit"),
        (b"\xff" * 32, "over 2\\^64 items, more than fit"),
        (number(1) + b"\xff" * 64, "over 2\\^64 bytes long"),
        (number(1) + number(5) + bytes(32), "says it is 101 bytes long, it is 96"),
        (number(0) + b"rest", "says it is 32 bytes long, it is 36"),
        (number(1) + number(3) + bytes(32) + b"abc", "Signature type|middle of its header"),
    ],
)
def test_counts_and_sizes_that_lie_are_refused(wire, why):
    with pytest.raises(Invalid, match=why):
        decode_bundle(wire)


def test_an_item_listed_under_a_foreign_id_is_refused():
    wire = bytearray(encode_bundle([item(b"x")]))
    wire[70] ^= 1
    with pytest.raises(Invalid, match="listed as"):
        decode_bundle(wire)


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_invalid(noise):
    for wire in (noise, number(1) + number(len(noise)) + bytes(32) + noise):
        try:
            list(unpack(CARRIER, wire))
        except Invalid:
            pass


@settings(deadline=None)
@given(st.lists(data_items(), min_size=1, max_size=3), st.data())
def test_a_damaged_bundle_raises_nothing_but_invalid(items, data):
    wire = bytearray(encode_bundle(items))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        list(unpack(CARRIER, bytes(wire)))
    except Invalid:
        pass

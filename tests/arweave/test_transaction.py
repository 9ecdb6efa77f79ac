"""Layer-1 transactions: signing, both formats, and JSON that strangers send."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.arweave.ids import b64url_encode
from puna.arweave.transaction import (
    Transaction,
    sign_transaction,
    signed_bytes,
    transaction_from_json,
    transaction_to_json,
    verify_transaction,
)
from puna.errors import Invalid


@pytest.fixture(scope="module")
def tx(rsa_wallet):
    return sign_transaction(rsa_wallet, last_tx=b"\1" * 48, reward=5, tags=[("App", "x"), ("é", "")], data=b"hello")


def test_what_was_signed_verifies_and_survives_its_json(tx):
    verify_transaction(tx)
    assert transaction_from_json(transaction_to_json(tx, data=tx.data)) == tx


@pytest.mark.parametrize(
    "change",
    [
        {"target": b"\2" * 32}, {"quantity": 1}, {"reward": 6}, {"last_tx": b"\1" * 47}, {"data_size": 6},
        {"data_root": b"\3" * 32}, {"raw_tags": ()}, {"raw_tags": ((b"A", b"ppx"), ("é".encode(), b""))},
    ],
    ids=str,
)  # fmt: skip
def test_a_change_to_anything_signed_breaks_the_signature(tx, change):
    with pytest.raises(Invalid):
        verify_transaction(replace(tx, **change))


def test_format_1_signs_its_data_itself(rsa_wallet):
    unsigned = Transaction(1, b"", rsa_wallet.owner, ((b"a", b"b"),), b"", 0, 1, 0, b"", b"", b"old")
    tx = replace(unsigned, signature=rsa_wallet.sign(signed_bytes(unsigned)))
    verify_transaction(tx)
    read = transaction_from_json(transaction_to_json(tx, data=b"old"))
    assert read.data_size == 3 and read.data_root
    verify_transaction(read)
    with pytest.raises(Invalid):
        verify_transaction(replace(tx, data=b"new"))


def test_a_wallet_that_is_not_rsa_is_told_so(wallet):
    with pytest.raises(Invalid, match="RSA"):
        sign_transaction(wallet, last_tx=b"", reward=1)


BAD = [
    ("id", "A" * 43), ("id", None), ("format", 3), ("format", True), ("owner", 7), ("owner", "?"), ("quantity", "-1"),
    ("quantity", "1e3"), ("reward", "9" * 31), ("data_size", None), ("tags", {}), ("tags", [1]),
    ("tags", [{"name": "QQ"}, {"name": 1}]), ("tags", [{"name": "QQ", "value": "A" * 4000}]), ("target", "QQ"),
    ("data_root", "QQ"), ("signature", "===="),
]  # fmt: skip


@pytest.mark.parametrize("name, value", BAD, ids=lambda x: str(x)[:20])
def test_json_with_a_bad_field_is_refused(tx, name, value):
    with pytest.raises(Invalid):
        transaction_from_json(transaction_to_json(tx) | {name: value})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["format", "id", "last_tx", "owner", "tags", "target", "quantity", "data", "data_size", "data_root", "reward"]


@settings(max_examples=300)
@given(json_values | st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_json_is_a_transaction_or_refused(value):
    try:
        tx = transaction_from_json(value)
    except Invalid:
        return
    assert b64url_encode(tx.signature) is not None

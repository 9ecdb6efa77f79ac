"""Conformance statements 1 to 7 of the Arweave layer, each by its number.

1 has more in test_dataitem.py (items made by arbundles) and 4 in test_merkle.py; 8 to 18 are told in test_weave.py, in
tests/gateway and, with the real clients, in tests/clients.
"""

from dataclasses import fields

import pytest
from arweave.strategies import data_items
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given

from puna.arweave.dataitem import decode_item, encode_header, encode_item, sign_item, verify_item
from puna.arweave.deephash import deep_hash
from puna.arweave.ids import b64url_decode
from puna.arweave.keys import rsa as rsa_kind
from puna.arweave.tags import Tag, decode_tags, encode_tags
from puna.errors import Invalid

ETHEREUM_OWNER = (
    "044f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa"
    "385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1"
)
ETHEREUM_SIGNATURE = (
    "8a8bbf7ec5302442830fe6bc003c526a7420dbbcfd2547a071740a10e79a2ba46d"
    "7959811d1edf8861ff0aab54a7714f2bfc7bd454d0f5bf35b2c2378680b6a11c"
)


def test_statement_1_a_type_1_item_with_any_one_part_changed_does_not_verify(rsa_wallet):
    item = sign_item(rsa_wallet, b"data", [("A", "b")], "B" * 42 + "A", b"c" * 32)
    verify_item(decode_item(encode_item(item)))
    encoded, header = encode_item(item), len(encode_header(item))
    places = {
        "signature": 2, "signature's end": 513, "owner": 514, "owner's end": 1025, "target": 1027, "anchor": 1060,
        "tag name": header - 4, "tag value": header - 2, "data": header, "data's end": len(encoded) - 1,
    }  # fmt: skip
    for place, at in places.items():
        changed = bytearray(encoded)
        changed[at] ^= 1
        with pytest.raises(Invalid):
            verify_item(decode_item(bytes(changed)))
            pytest.fail(f"the {place} was changed and nobody noticed")
    assert {"signature", "owner", "target", "anchor", "tags", "data"} <= {field.name for field in fields(item)}


@pytest.mark.parametrize("salt", [0, 32, padding.PSS.MAX_LENGTH], ids=["none", "32", "longest"])
def test_statement_2_signatures_with_any_length_of_salt_verify(rsa_wallet, salt):
    jwk = {name: int.from_bytes(value, "big") for name, value in _decoded(rsa_wallet.to_jwk()).items()}
    public = rsa.RSAPublicNumbers(jwk["e"], jwk["n"])
    key = rsa.RSAPrivateNumbers(
        jwk["p"], jwk["q"], jwk["d"], jwk["dp"], jwk["dq"], jwk["qi"], public
    ).private_key()  # fmt: skip
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    assert rsa_kind.verify(rsa_wallet.owner, b"m" * 48, key.sign(b"m" * 48, scheme, hashes.SHA256()))


def test_statement_3_the_ethereum_vector_parses_verifies_and_has_its_id():
    target = bytes.fromhex("00" * 32)
    encoded = b"".join(
        (
            (3).to_bytes(2, "little"), bytes.fromhex(ETHEREUM_SIGNATURE), bytes.fromhex(ETHEREUM_OWNER),
            b"\x01" + target, b"\x00", (1).to_bytes(8, "little"), (6).to_bytes(8, "little"),
            bytes.fromhex("020241026200"), b"hi",
        )
    )  # fmt: skip
    item = decode_item(encoded)
    assert len(encoded) == 190 and item.id == "FHqkYICvSHyeB__vePltN7CdnVA9eDnv_IHeUoQnUkM"
    verify_item(item)


@pytest.mark.parametrize(
    "value, digest",
    [
        (b"", "fbf00cc444f5fea9dc3bedf62a13fba8ae87e7445fc910567a23bec4eb82fadb1143c433069314d8362983dc3c2e4a38"),
        (b"abc", "71115a30152ebcffb6defbb643abc8ef76f01fe323f1d62340646085960f6e347cb2d8e9a46ddee655b3012c6131d4e0"),
        ([], "a69e7d37fdc7f040a9ec16aae84de24fab4a653dac4de0bd247e36bab9fe45d9289c5a04a893c95285812f5cefc9707a"),
        (
            [b"a", [b"b", b"c"]],
            "30bce0a753c170f214f57dd0244bc29c76526aea405cd8bff8af8301a7d10424e1c57f63ab4d55070b99f48f72a8c2e7",
        ),
    ],
)
def test_statement_4_deep_hashes_of_the_network_come_out_exact(value, digest):
    assert deep_hash(value).hex() == digest


@pytest.mark.parametrize(
    "tags, block",
    [
        ([("A", "b")], "020241026200"),
        (
            [("Data-Protocol", "ao"), ("Type", "Message")],
            "041a446174612d50726f746f636f6c04616f08547970650e4d65737361676500",
        ),
        ([("K", "x" * 64)], "02024b8001" + "78" * 64 + "00"),
    ],
)
def test_statement_4_tag_blocks_of_the_network_come_out_exact(tags, block):
    assert encode_tags(tags).hex() == block and list(decode_tags(bytes.fromhex(block))) == tags


@given(data_items())
def test_statement_5_decoding_undoes_encoding(item):
    assert decode_item(encode_item(item)) == item


def test_statement_5_order_and_duplicates_are_kept_and_no_tags_are_no_bytes(wallet):
    tags = (Tag("b", "2"), Tag("a", "1"), Tag("b", "2"), Tag("b", "1"))
    assert decode_item(encode_item(sign_item(wallet, b"x", tags))).tags == tags
    assert encode_header(sign_item(wallet, b"x")).endswith(bytes(16))


def test_statement_6_a_negative_count_decodes():
    assert decode_tags(bytes.fromhex("0108") + bytes.fromhex("02410262") + b"\0") == (Tag("A", "b"),)


def test_statement_7_blocks_over_4096_bytes_wrong_counts_and_presence_2_are_refused(wallet):
    item = sign_item(wallet, b"x" * 100, [("A", "b")])
    encoded, end = encode_item(item), 2 + 64 + 32
    counts = end + 2
    for at, bytes_, words in (
        (counts + 8, (4097).to_bytes(8, "little"), "4097 bytes"),
        (counts, (2).to_bytes(8, "little"), "says 2 tags"),
        (end, b"\2", "presence byte"),
        (end + 1, b"\2", "presence byte"),
    ):
        changed = encoded[:at] + bytes_ + encoded[at + len(bytes_) :]
        with pytest.raises(Invalid, match=words):
            decode_item(changed)
    with pytest.raises(Invalid, match="at most 4096"):
        sign_item(wallet, b"", [("A", "x" * 3000), ("B", "x" * 1200)])


def _decoded(jwk):
    return {name: b64url_decode(value) for name, value in jwk.items() if name != "kty"}

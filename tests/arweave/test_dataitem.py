"""Data items and keys: the network's witnesses, what each key kind signs, and hostile bytes."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from arweave.strategies import ED25519, ETHEREUM, data_items
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric import rsa as crypto_rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.arweave.bundle import decode_bundle
from puna.arweave.dataitem import DataItem, decode_item, encode_header, encode_item, sign_item, verify_item
from puna.arweave.deephash import deep_hash
from puna.arweave.ids import b64url_decode
from puna.arweave.keys import SIGNATURE_KINDS, secp256k1
from puna.arweave.keys.ethereum import keccak256, native_address
from puna.arweave.keys.typed_ethereum import typed_digest
from puna.arweave.tags import Tag
from puna.errors import Invalid

# Items of each kind, and a bundle, made by arbundles 1.0.3 with the keys that these tests publish.
WITNESSES = json.loads(Path(__file__).with_name("arbundles-items.json").read_text())


@pytest.mark.parametrize(
    ("value", "expected"),
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
def test_deep_hash_agrees_with_the_network(value, expected):
    assert deep_hash(value).hex() == expected


CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1


def test_the_ethereum_witness_is_what_we_sign_and_verify():
    item = sign_item(ETHEREUM, b"hi", [("A", "b")], target="A" * 43)
    assert item.owner.hex() == (
        "044f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa"
        "385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1"
    )
    assert item.signature.hex() == (
        "8a8bbf7ec5302442830fe6bc003c526a7420dbbcfd2547a071740a10e79a2ba4"
        "6d7959811d1edf8861ff0aab54a7714f2bfc7bd454d0f5bf35b2c2378680b6a11c"
    )
    assert item.id == "FHqkYICvSHyeB__vePltN7CdnVA9eDnv_IHeUoQnUkM"
    assert len(encode_item(item)) == 190
    verify_item(decode_item(encode_item(item)))


def test_items_of_every_wallet_travel_and_verify(each_wallet):
    item = sign_item(each_wallet, b"data", [("B", "2"), ("A", "1"), ("B", "2")], target="A" * 43, anchor=b"a" * 32)
    again = decode_item(encode_item(item))
    assert again == item
    assert again.tags == (Tag("B", "2"), Tag("A", "1"), Tag("B", "2"))
    assert (again.id, again.address) == (item.id, each_wallet.address)
    verify_item(again)


@pytest.mark.parametrize("name", [name for name in WITNESSES if name != "bundle"])
def test_what_arbundles_signed_verifies_and_is_encoded_alike(name):
    wire = bytes.fromhex(WITNESSES[name]["hex"])
    item = decode_item(wire)
    verify_item(item)
    assert item.id == WITNESSES[name]["id"]
    assert SIGNATURE_KINDS[item.signature_type].name == name.split()[0]
    assert encode_item(replace(item)) == wire  # a copy encodes its tags anew
    if name.endswith("full"):
        assert (item.target, item.anchor) == ("A" * 42 + "E", b"anchor-of-exactly-32-characters!")
        assert item.tags[1:3] == (Tag("Type", "Message"), Tag("Type", "Llama \N{LLAMA}"))


def test_what_arbundles_bundled_is_unpacked():
    items = decode_bundle(bytes.fromhex(WITNESSES["bundle"]["hex"]))
    assert [item.id for item in items] == WITNESSES["bundle"]["ids"]
    assert [item.data for item in items] == [b"one", b"two"]
    for item in items:
        verify_item(item)


@pytest.mark.parametrize("salt", [0, 32, padding.PSS.MAX_LENGTH], ids=["none", "32", "longest"])
def test_rsa_signatures_of_any_salt_length_verify(rsa_wallet, salt):
    item = sign_item(rsa_wallet, b"data")
    jwk = rsa_wallet.to_jwk()
    p, q, d, dp, dq, qi = (
        int.from_bytes(b64url_decode(jwk[name]), "big") for name in ("p", "q", "d", "dp", "dq", "qi")
    )
    public = crypto_rsa.RSAPublicNumbers(65537, int.from_bytes(item.owner, "big"))
    key = crypto_rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key(unsafe_skip_rsa_key_validation=True)
    message = deep_hash([b"dataitem", b"1", b"1", item.owner, b"", b"", b"", b"data"])
    signature = key.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
    verify_item(replace(item, signature=signature))


def test_rsa_owners_that_are_no_keys_are_refused(rsa_wallet):
    item = sign_item(rsa_wallet, b"data")
    for owner in (bytes(512), b"\xff" * 512, b"\0" * 511 + b"\1", b"\0" * 500 + b"\xff" * 12):
        with pytest.raises(Invalid, match="does not match"):
            verify_item(replace(item, owner=owner))


def test_solana_items_sign_the_hexadecimal_text():
    item = DataItem(4, bytes(64), ED25519.owner, "", b"", (), b"data")
    message = deep_hash([b"dataitem", b"1", b"4", item.owner, b"", b"", b"", b"data"])
    verify_item(replace(item, signature=ED25519.sign(message.hex().encode())))
    with pytest.raises(Invalid):
        verify_item(replace(item, signature=ED25519.sign(message)))


def openssl_key(secret: bytes) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """A secp256k1 key of OpenSSL's, and its public point, 65 bytes."""
    key = ec.derive_private_key(int.from_bytes(secret), ec.SECP256K1())
    return key, key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def openssl_signature(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """r and s, the lower of the two that are valid, 64 bytes: what OpenSSL does not say is v."""
    r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
    return r.to_bytes(32) + min(s, CURVE_ORDER - s).to_bytes(32)


def recovered(digest: bytes, signature: bytes) -> dict[int, bytes]:
    """The public keys that r and s may come from, by v."""
    found = {}
    for v in (27, 28):
        with contextlib.suppress(Invalid, ValueError):
            found[v] = secp256k1.recover(digest, signature + bytes([v]))
    return found


def test_typed_ethereum_items_recover_their_owner_from_the_signature():
    key, point = openssl_key(b"\x11" * 32)
    owner = native_address(point).encode()
    message = deep_hash([b"dataitem", b"1", b"7", owner, b"", b"", b"", b"data"])
    digest = typed_digest(bytes.fromhex(owner[2:].decode()), message)
    signature = openssl_signature(key, digest)
    (v,) = [v for v, found in recovered(digest, signature).items() if found == point]
    item = DataItem(7, signature + bytes([v]), owner, "", b"", (), b"data")
    verify_item(decode_item(encode_item(item)))
    for stranger in (b"0x" + b"0" * 40, b"1x" + owner[2:], b"0x" + b"g" * 40, bytes(42)):
        with pytest.raises(Invalid, match="does not match"):
            verify_item(replace(item, owner=stranger))


def test_an_ethereum_owner_has_the_checksummed_native_address():
    assert native_address(ETHEREUM.owner) == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=32, max_size=32).filter(any), st.binary(min_size=32, max_size=32))
def test_recovered_keys_agree_with_openssl(secret, digest):
    secret = (int.from_bytes(secret) % (CURVE_ORDER - 1) + 1).to_bytes(32)
    key, point = openssl_key(secret)
    assert list(recovered(digest, openssl_signature(key, digest)).values()).count(point) == 1


def test_the_twin_of_an_ethereum_signature_is_refused():
    item = sign_item(ETHEREUM, b"pay once")
    high = secp256k1.N - int.from_bytes(item.signature[32:64], "big")
    for v in (27, 28):
        twin = item.signature[:32] + high.to_bytes(32, "big") + bytes([v])
        with pytest.raises(Invalid, match="does not match"):
            verify_item(replace(item, signature=twin))


@pytest.mark.parametrize("signature", [bytes(65), b"\xff" * 64 + b"\x1b", bytes(31) + b"\5" + bytes(31) + b"\1\x1b"])
def test_ethereum_signatures_that_no_key_makes_are_refused(signature):
    assert secp256k1.recover(keccak256(b""), signature) is None


def test_ed25519_signing_is_deterministic():
    assert sign_item(ED25519, b"same", [("A", "1")]).id == sign_item(ED25519, b"same", [("A", "1")]).id


@given(data_items())
def test_decode_undoes_encode(item):
    again = decode_item(encode_item(item))
    assert again == item
    assert encode_item(again) == encode_item(item)
    verify_item(again)


@settings(deadline=None)
@given(data_items(), st.data())
def test_flipping_any_byte_makes_verification_fail(item, data):
    wire = bytearray(encode_item(item))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Invalid):
        verify_item(decode_item(bytes(wire)))


def test_flipping_any_byte_fails_for_every_kind(each_wallet):
    wire = encode_item(sign_item(each_wallet, b"d", [("A", "b")], target="A" * 43, anchor=b"a" * 32))
    kind = SIGNATURE_KINDS[each_wallet.signature_type]
    header = 2 + kind.signature_bytes + kind.owner_bytes
    spread = [0, 1, 2, 40, kind.signature_bytes, kind.signature_bytes + 1, kind.signature_bytes + 2, header - 1]
    for at in [*spread, *range(header, len(wire))]:
        flipped = wire[:at] + bytes([wire[at] ^ 1]) + wire[at + 1 :]
        with pytest.raises(Invalid):
            verify_item(decode_item(flipped))


@given(data_items(), st.data())
def test_a_cut_item_is_never_taken_for_a_whole_one(item, data):
    wire = encode_item(item)
    with pytest.raises(Invalid):
        verify_item(decode_item(wire[: data.draw(st.integers(0, len(wire) - 1))]))


@given(st.binary(max_size=300), st.sampled_from([b"", b"\1\0", b"\2\0", b"\3\0", b"\4\0", b"\7\0"]))
def test_random_bytes_raise_nothing_but_invalid(noise, start):
    try:
        verify_item(decode_item(start + noise))
    except Invalid:
        pass


@given(st.binary(max_size=120))
def test_random_headers_raise_nothing_but_invalid(noise):
    try:
        verify_item(decode_item(b"\2\0" + bytes(96) + noise))
    except Invalid:
        pass


def test_refusals_name_the_reason():
    wire = encode_item(sign_item(ED25519, b"data", [("A", "b")]))
    tags_at = 2 + 64 + 32 + 2

    def with_bytes(at, new):
        return wire[:at] + new + wire[at + len(new) :]

    for hostile, why in [
        (b"", "middle of its header"),
        (with_bytes(0, b"\x09\0"), "Signature type 9"),
        (with_bytes(98, b"\2"), "target's presence byte is 2"),
        (with_bytes(99, b"\xff"), "anchor's presence byte is 255"),
        (with_bytes(tags_at, b"\2"), "says 2 tags and 1 follow"),
        (with_bytes(tags_at + 8, (4097).to_bytes(8, "little")), "4097 bytes, at most 4096"),
        (with_bytes(tags_at + 8, b"\xff" * 8), "at most 4096"),
        (wire[:110], "middle of its header"),
    ]:
        with pytest.raises(Invalid, match=why):
            decode_item(hostile)


def test_parts_that_do_not_fit_the_wire_are_not_signed(wallet):
    with pytest.raises(Invalid, match="anchor"):
        sign_item(wallet, anchor=b"short")
    with pytest.raises(Invalid, match="not an id"):
        sign_item(wallet, target="nobody")
    with pytest.raises(Invalid, match="raw bytes"):
        encode_item(replace(sign_item(wallet), signature=b"short"))


def test_a_tag_block_cut_into_parts_by_another_encoder_still_verifies(wallet):
    block = bytes.fromhex("0108" + "02410262" + "02" + "02430264" + "00")
    message = deep_hash([b"dataitem", b"1", b"2", wallet.owner, b"", b"", block, b"data"])
    counts = (2).to_bytes(8, "little") + len(block).to_bytes(8, "little")
    wire = b"\2\0" + wallet.sign(message) + wallet.owner + b"\0\0" + counts + block + b"data"
    item = decode_item(wire)
    verify_item(item)
    assert encode_item(item) == wire
    with pytest.raises(Invalid):
        verify_item(replace(item, tags=item.tags[:1]))


def test_a_view_is_decoded_without_copying_its_data(wallet):
    wire = encode_item(sign_item(wallet, b"d" * 1000))
    item = decode_item(memoryview(wire))
    assert item.data.obj is wire
    assert item == decode_item(wire)
    assert hash(item) == hash(decode_item(wire))
    assert encode_header(item) + bytes(item.data) == wire
    verify_item(item)

"""Ed25519: the same bytes as the standard's, and the same answers from libsodium and OpenSSL, odd points included."""

from hashlib import sha512

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from puna.arweave.keys import ed25519

# The curve in its plainest form, to make the signatures that no signer makes. Points are (x, y).
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1)
LOW_BYTES = 255


def added(one, other):
    (a, b), (c, e) = one, other
    t = D * a * b * c * e % P
    return (a * e + b * c) * pow(1 + t, -1, P) % P, (b * e + a * c) * pow(1 - t, -1, P) % P


def times(number, point):
    found = NEUTRAL
    while number:
        if number & 1:
            found = added(found, point)
        point, number = added(point, point), number >> 1
    return found


def point_at(y):
    """The point of this y with an even x; None where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    for x in (root := pow(square, (P + 3) // 8, P), root * ROOT_OF_MINUS_ONE % P):
        if (x * x - square) % P == 0:
            return (P - x if x & 1 else x), y
    return None


def encoded(point):
    return (point[1] | (point[0] & 1) << LOW_BYTES).to_bytes(32, "little")


def scalar(*parts):
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little") % L


BASE = point_at(4 * pow(5, -1, P) % P)
TORSION = (times(L, point) for point in map(point_at, range(2, 50)) if point)
ORDER_8 = next(point for point in TORSION if times(4, point) != NEUTRAL)
SMALL = [times(n, ORDER_8) for n in range(8)]
SECRET = scalar(b"secret")
MESSAGES = [b"message %d" % n for n in range(24)]


def signed(message, owner_twist, nonce_twist):
    """Owner and signature by the rules, with a point of small order added to the key and to the signature's R."""
    nonce = scalar(b"nonce", message)
    owner = encoded(added(times(SECRET, BASE), SMALL[owner_twist]))
    r = encoded(added(times(nonce, BASE), SMALL[nonce_twist]))
    s = (nonce + scalar(r, owner, message) * SECRET) % L
    return owner, r + s.to_bytes(32, "little")


def openssl_says(owner, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(owner).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def same(owner, message, signature):
    """What both say. A libsodium that says yes where OpenSSL says no would split nodes in two."""
    answer = ed25519.verify(owner, message, signature)
    assert answer == openssl_says(owner, message, signature)
    return answer


def test_signs_the_bytes_of_the_standard():
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032, 7.1, test 1
    key = ed25519.key_of(seed)
    assert ed25519.owner_of(key).hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert ed25519.sign(key, b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert ed25519.seed_of(key) == seed


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 511))
def test_agrees_with_openssl(seed, message, flipped):
    key, other = ed25519.key_of(seed), Ed25519PrivateKey.from_private_bytes(seed)
    signature, owner = ed25519.sign(key, message), ed25519.owner_of(key)
    assert (signature, owner) == (other.sign(message), other.public_key().public_bytes_raw())
    assert same(owner, message, signature)
    broken = bytearray(signature)
    broken[flipped // 8] ^= 1 << flipped % 8
    assert not same(owner, message, bytes(broken))
    assert not same(owner, message + b"!", signature)


@pytest.mark.parametrize("nonce_twist", [0, 1, 4])
@pytest.mark.parametrize("owner_twist", range(8))
def test_twisted_keys_and_signatures_get_one_answer(owner_twist, nonce_twist):
    answers = []
    for message in MESSAGES:
        owner, signature = signed(message, owner_twist, nonce_twist)
        answers.append(same(owner, message, signature))
    # A verifier that multiplies by the cofactor, as newer rules have it, would accept all of them.
    assert all(answers) == (owner_twist == nonce_twist == 0)


def test_small_order_points_get_one_answer():
    # With such a key nearly anything is signed; libsodium alone would refuse them all.
    found = [
        same(encoded(owner), message, encoded(r) + bytes(32))
        for owner in SMALL
        for r in SMALL
        for message in MESSAGES[:8]
    ]
    assert any(found) and not all(found)


def test_numbers_that_are_not_reduced_get_one_answer():
    owner, signature = signed(b"m", 0, 0)
    s = int.from_bytes(signature[32:], "little")
    for k in range(1, 16):
        assert not same(owner, b"m", signature[:32] + ((s + k * L) % 2**256).to_bytes(32, "little"))
    for y in range(19):  # y and y + P are one point, written in two ways
        for sign in (0, 1 << LOW_BYTES):
            text = (y + P | sign).to_bytes(32, "little")
            same(text, b"m", signature)
            same(owner, b"m", text + signature[32:])
            same(text, b"m", encoded(NEUTRAL) + bytes(32))
            same(text, b"m", text + bytes(32))


def test_what_has_not_the_right_size_is_refused():
    owner, signature = signed(b"m", 0, 0)
    assert same(owner, b"m", signature)
    assert not same(owner[:-1], b"m", signature)
    assert not same(owner, b"m", signature[:-1])
    assert not same(owner, b"m", signature + b"\0")
    with pytest.raises(ValueError):
        ed25519.key_of(bytes(31))

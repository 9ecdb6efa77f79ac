"""Finding the public key behind a recoverable secp256k1 signature. Used by the two Ethereum kinds.

Plain integers, and not in constant time: everything here is public. No kept library that recovers keys has
wheels for every Python we run on; signing, which touches secrets, is left to `cryptography`.
Source: SEC 1 version 2, sections 2.3 and 4.1.6; SEC 2 version 2, section 2.4.1.
"""

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)

SIGNATURE_BYTES = 65  # r, s, v

Jacobian = tuple[int, int, int]  # x / z^2, y / z^3; z = 0 is the point at infinity
INFINITY: Jacobian = (0, 1, 0)


def recover(digest: bytes, signature: bytes) -> bytes | None:
    """The 65-byte uncompressed public key that made `signature` (r, s, v) over a 32-byte digest.

    None when there is none, when v is not 27 or 28, or when s is in the upper half: the twin (r, n - s, other v)
    of a signature verifies as well, and would give the same message a second id.
    """
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v not in (27, 28) or not 0 < r < N or not 0 < s <= N // 2:
        return None
    point = _lift(r, odd=v == 28)
    if point is None:
        return None
    inverse = pow(r, -1, N)
    z = int.from_bytes(digest, "big")
    owner = _to_affine(_sum_of_products(-z * inverse % N, G, s * inverse % N, point))
    return owner and b"\x04" + owner[0].to_bytes(32, "big") + owner[1].to_bytes(32, "big")


def _lift(x: int, odd: bool) -> tuple[int, int] | None:
    """The point of the curve with this x and an odd or even y."""
    square = (pow(x, 3, P) + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if y * y % P != square:
        return None
    return x, y if y & 1 == odd else P - y


def _sum_of_products(a: int, p: tuple[int, int], b: int, q: tuple[int, int]) -> Jacobian:
    """a p + b q, doubling once for both (Shamir's trick)."""
    jp, jq = (*p, 1), (*q, 1)
    choices = (None, jp, jq, _add(jp, jq))
    total = INFINITY
    for bit in range(max(a.bit_length(), b.bit_length()) - 1, -1, -1):
        total = _double(total)
        choice = choices[(a >> bit & 1) | (b >> bit & 1) << 1]
        if choice is not None:
            total = _add(total, choice)
    return total


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    if not z or not y:
        return INFINITY
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(left: Jacobian, right: Jacobian) -> Jacobian:
    x1, y1, z1 = left
    x2, y2, z2 = right
    if not z1:
        return right
    if not z2:
        return left
    zz1, zz2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * zz2 % P, x2 * zz1 % P
    s1, s2 = y1 * z2 * zz2 % P, y2 * z1 * zz1 % P
    if u1 == u2:
        return _double(left) if s1 == s2 else INFINITY
    h, r = u2 - u1, s2 - s1
    hh = h * h % P
    hhh = h * hh % P
    v = u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, z1 * z2 * h % P


def _to_affine(point: Jacobian) -> tuple[int, int] | None:
    x, y, z = point
    if not z:
        return None
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * pow(inverse, 3, P) % P

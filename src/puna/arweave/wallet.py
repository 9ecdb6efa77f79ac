"""Wallets: the keys that sign items, made, loaded from a JSON Web Key and saved as one.

Used by the units of a node for their own keys, and by the command line for its user's.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import rsa as crypto_rsa

from puna.arweave.ids import Address, b64url_decode, b64url_encode
from puna.arweave.keys import ed25519, ethereum, rsa
from puna.errors import Invalid, Missing, NodeError

RSA_BITS = 4096
WALLET_FILE_MODE = 0o600
WALLET_BYTES_MAX = 64 * 1024  # an RSA key takes about 3 KiB

_RSA_PRIVATE_FIELDS = ("p", "q", "d", "dp", "dq", "qi")


class Wallet:
    """A private key that signs items of one signature type. `sign` may be called from any thread."""

    def __init__(self, signature_type: int, owner: bytes, sign: Callable[[bytes], bytes], jwk: Mapping[str, str]):
        self.signature_type = signature_type
        self.owner = owner
        self._sign = sign
        self._jwk = dict(jwk)

    @cached_property
    def address(self) -> Address:
        return Address(b64url_encode(sha256(self.owner).digest()))

    def sign(self, message: bytes) -> bytes:
        """The signature over an item's 48-byte deep hash."""
        return self._sign(message)

    def to_jwk(self) -> dict[str, str]:
        """The private key as a JSON Web Key. Whoever reads it can sign as this wallet."""
        return dict(self._jwk)

    def __repr__(self) -> str:
        return f"<Wallet {self.address} of signature type {self.signature_type}>"


def new_rsa_wallet() -> Wallet:
    """A new Arweave key of 4096 bits, as every AO client has. Takes a second or more."""
    return _rsa_wallet(crypto_rsa.generate_private_key(public_exponent=rsa.PUBLIC_EXPONENT, key_size=RSA_BITS))


def new_ed25519_wallet() -> Wallet:
    """A new key for a unit of a node: signs a hundred times faster than RSA, and the same item to the same id."""
    return _ed25519_wallet(ed25519.key_of(secrets.token_bytes(ed25519.SEED_BYTES)))


def load_wallet(path: Path) -> Wallet:
    """The wallet of a JWK file: RSA of 4096 bits, Ed25519 or secp256k1. Raises Missing or Invalid."""
    try:
        with open(path, "rb") as file:
            text = file.read(WALLET_BYTES_MAX + 1)
    except FileNotFoundError:
        raise Missing(f"There is no wallet file {path}.", "Check the path, or make a new wallet.") from None
    except OSError as error:
        raise NodeError(
            f"The wallet file {path} cannot be read: {error.strerror}.", "Check its permissions."
        ) from error
    try:
        return wallet_from_jwk(json.loads(text))
    except (Invalid, ValueError, RecursionError) as error:
        why = error.what if isinstance(error, Invalid) else "It is not JSON text."
        raise Invalid(
            f"{path} is not a wallet. {why}",
            "Give the JSON key file that Arweave wallets export (RSA, 4096 bits), or one that puna wrote.",
        ) from None


def save_wallet(wallet: Wallet, path: Path) -> None:
    """Writes the key to a new file that only its user may read. Never replaces a file. Raises NodeError."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(draft, json.dumps(wallet.to_jwk()).encode())
        try:
            _rename_to_new(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise NodeError(f"{path} exists already.", "Choose another name, or move that file away first.") from None
    except OSError as error:
        raise NodeError(
            f"The wallet cannot be written to {path}: {error.strerror}.", "Choose another folder."
        ) from error


def wallet_from_jwk(jwk: object) -> Wallet:
    """The wallet of a decoded JSON Web Key. Raises Invalid, saying what is wrong with it."""
    if not isinstance(jwk, dict):
        raise Invalid("It is not a JSON object.")
    kind = " ".join(str(jwk[name]) for name in ("kty", "crv") if name in jwk)
    loader = _LOADERS.get(kind)
    if loader is None:
        raise Invalid(f"Its key type (kty, crv) is {kind!r:.60}, not one of {', '.join(_LOADERS)}.")
    try:
        return loader(jwk)
    except ValueError as error:
        raise Invalid(f"Its key is not sound: {error}.") from None


def _load_rsa(jwk: dict) -> Wallet:
    public = crypto_rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    if public.e != rsa.PUBLIC_EXPONENT or public.n.bit_length() != RSA_BITS:
        raise Invalid(f"Its RSA key must have {RSA_BITS} bits and e=AQAB.")
    p, q, d, dp, dq, qi = (_number(jwk, name) for name in _RSA_PRIVATE_FIELDS)
    numbers = crypto_rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public)
    return _rsa_wallet(numbers.private_key())


def _load_ed25519(jwk: dict) -> Wallet:
    wallet = _ed25519_wallet(ed25519.key_of(_bytes(jwk, "d")))
    if "x" in jwk and _bytes(jwk, "x") != wallet.owner:
        raise Invalid("Its private and public parts do not belong together.")
    return wallet


def _load_ethereum(jwk: dict) -> Wallet:
    wallet = _ethereum_wallet(ec.derive_private_key(_number(jwk, "d"), ec.SECP256K1()))
    if "x" in jwk and b"\x04" + _bytes(jwk, "x") + _bytes(jwk, "y") != wallet.owner:
        raise Invalid("Its private and public parts do not belong together.")
    return wallet


_LOADERS = {
    "RSA": _load_rsa,
    "OKP Ed25519": _load_ed25519,
    "EC secp256k1": _load_ethereum,
}


def _rsa_wallet(key: crypto_rsa.RSAPrivateKey) -> Wallet:
    numbers = key.private_numbers()
    fields = {
        "n": numbers.public_numbers.n,
        "e": numbers.public_numbers.e,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    jwk = {"kty": "RSA"} | {name: b64url_encode(_big_endian(number)) for name, number in fields.items()}
    return Wallet(1, rsa.owner_of(key), lambda message: rsa.sign(key, message), jwk)


def _ed25519_wallet(key: bytes) -> Wallet:
    owner = ed25519.owner_of(key)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(owner), "d": b64url_encode(ed25519.seed_of(key))}
    return Wallet(2, owner, lambda message: ed25519.sign(key, message), jwk)


def _ethereum_wallet(key: ec.EllipticCurvePrivateKey) -> Wallet:
    owner = ethereum.owner_of(key)
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    x, y, d = (b64url_encode(part) for part in (owner[1:33], owner[33:], secret))
    jwk = {"kty": "EC", "crv": "secp256k1", "x": x, "y": y, "d": d}
    return Wallet(3, owner, lambda message: ethereum.sign(key, message), jwk)


def _bytes(jwk: dict, name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str):
        raise Invalid(f"Its field {name!r} is missing: a private key is needed, not a public one.")
    try:
        return b64url_decode(text)
    except Invalid:
        # The value may be secret, so it is not repeated.
        raise Invalid(f"Its field {name!r} is not base64url text.") from None


def _number(jwk: dict, name: str) -> int:
    return int.from_bytes(_bytes(jwk, name), "big")


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _write_private(path: Path, content: bytes) -> None:
    # The mode is given at creation: a file that was open to all for an instant was open to all.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, WALLET_FILE_MODE)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename_to_new(draft: Path, path: Path) -> None:
    """Gives the finished draft its name. Raises FileExistsError if that name is taken."""
    try:
        os.link(draft, path)  # refuses a taken name in one step, which a POSIX rename does not
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: take the name first, then fill it
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, WALLET_FILE_MODE))
        os.replace(draft, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

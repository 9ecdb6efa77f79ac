"""API keys: each is bound to a wallet of its own, and what that wallet holds is what is left of the key's budget.

Used by the doors, which look a key up for every call, and by `puna key`. A folder of the home holds two files for a
key, both readable by their user only: what is known of it, the key itself only as a hash, and its wallet. Since a
budget is wAR in a wallet, it is the token process that says when it is spent, and calls at the same time cannot
overspend it.
"""

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from puna.ao.link import Link
from puna.arweave.wallet import Wallet, load_wallet, new_ed25519_wallet, save_wallet
from puna.errors import Invalid, Missing, NodeError
from puna.services.token.client import balance, format_war, transfer

from .refusals import Refusal

PREFIX = "sk-puna-"
ID_DIGITS = 12  # of the hash: enough to tell keys apart, and useless to guess one from
NAME_MAX = 64
HOW = "Make one with: puna key create"

NEW, ACTIVE, REVOKED = "new", "active", "revoked"


class Key(msgspec.Struct, frozen=True):
    """A key as it is kept. `hash` is the SHA-256 of the key in hex; `budget_winston` is what it began with."""

    id: str
    name: str
    hash: str
    wallet: str
    budget_winston: int
    created_ms: int
    state: str = NEW


@dataclass(frozen=True)
class Account:
    """A key that was shown, with the wallet that pays for it."""

    key: Key
    wallet: Wallet


class Keys:
    """The keys in one folder. Every look-up reads the file, so that a revoked key is refused at once."""

    def __init__(self, folder: Path):
        self.folder = folder

    def all(self) -> list[Key]:
        """All keys ever made, the oldest first."""
        found = (self._read(path) for path in self.folder.glob("*.key.json"))
        return sorted((key for key in found if key), key=lambda key: (key.created_ms, key.id))

    def account(self, shown: str | None) -> Account:
        """The account of a key that a caller showed. Raises Refusal 401."""
        if not shown:
            raise _no_key("This door takes an API key, as `Authorization: Bearer KEY`.")
        hashed = _hash(shown)
        key = self._read(self._path(hashed[:ID_DIGITS]))
        if key is None or not hmac.compare_digest(key.hash, hashed):
            raise _no_key(f"This API key is not one of this node's: {_hidden(shown)}.")
        if key.state != ACTIVE:
            raise _no_key(f"The API key {key.id} was revoked.")
        return Account(key, self.wallet(key))

    def find(self, named: str) -> Key:
        """A key by its id, its name or itself. Raises Missing, or Invalid when several have that name."""
        found = [key for key in self.all() if named in (key.id, key.name) or key.hash == _hash(named)]
        if not found:
            raise Missing(f"There is no key {_hidden(named)}.", "See them with: puna key ls")
        if len(found) > 1:
            raise Invalid(f"{len(found)} keys have the name {named}.", "Name one by its id: puna key ls")
        return found[0]

    def wallet(self, key: Key) -> Wallet:
        return _wallet(self.folder / f"{key.id}.wallet.json")

    def make(self, name: str, budget_winston: int) -> tuple[str, Key]:
        """A new key and its wallet, kept but not yet good: its budget is still to be paid in."""
        if len(name) > NAME_MAX or not name.isprintable():
            raise Invalid(f"A key's name has at most {NAME_MAX} printable characters.", "Choose another --name.")
        shown = PREFIX + secrets.token_urlsafe(32)
        hashed, wallet = _hash(shown), new_ed25519_wallet()
        key = Key(hashed[:ID_DIGITS], name, hashed, wallet.address, budget_winston, int(time.time() * 1000))
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        save_wallet(wallet, self.folder / f"{key.id}.wallet.json")
        self.keep(key)
        return shown, key

    def keep(self, key: Key) -> None:
        """Write down what is known of a key, in one step."""
        path = self._path(key.id)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(key))
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except OSError as error:
            raise NodeError(f"The key cannot be kept in {path}: {error.strerror}.", "See to that folder.") from error

    def _path(self, id: str) -> Path:
        return self.folder / f"{id}.key.json"

    def _read(self, path: Path) -> Key | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Key)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise NodeError(f"The key file {path} cannot be read: {error}.", "Remove it, or put it right.") from error


async def create(keys: Keys, link: Link, wallet: Wallet, token: str, name: str, winston: int) -> tuple[str, Key]:
    """A new key with `winston` of `wallet`'s in its own wallet. Raises Invalid when `wallet` has not that much.

    Killed before its end the key is not good, was never shown, and `revoke` gives back what it holds.
    """
    owned = await balance(link, token, wallet.address)
    if owned < winston:
        raise Invalid(
            f"The wallet {wallet.address} has {format_war(owned)} wAR, less than {format_war(winston)}.",
            "Give the key a smaller --budget, or send wAR to that wallet.",
        )
    shown, key = keys.make(name, winston)
    await transfer(link, wallet, token, key.wallet, winston)
    key = msgspec.structs.replace(key, state=ACTIVE)
    keys.keep(key)
    return shown, key


async def revoke(keys: Keys, link: Link, token: str, key: Key, recipient: str) -> int:
    """Make a key useless, then send what its wallet holds to `recipient`; returns how much. Safe to repeat.

    What calls under way give back arrives later; revoking again sends that on, too.
    """
    keys.keep(msgspec.structs.replace(key, state=REVOKED))
    left = await balance(link, token, key.wallet)
    if left:
        await transfer(link, keys.wallet(key), token, recipient, left)
    return left


def _hash(shown: str) -> str:
    # The key has 256 bits of chance: nothing can be guessed, so nothing is gained by a slow hash.
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()


def _hidden(shown: str) -> str:
    """A key as an error may repeat it."""
    return f"{shown[:10]}…{shown[-2:]}" if shown.startswith(PREFIX) else f"{shown[:3]}…"


def _no_key(what: str) -> Refusal:
    return Refusal(401, what, HOW, code="invalid_api_key")


@lru_cache(maxsize=256)
def _wallet(path: Path) -> Wallet:
    return load_wallet(path)

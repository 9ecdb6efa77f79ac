"""The one folder a network lives in: keys, the weave, caches, and the mark that a node is running.

Called by the node when it starts and by every command that needs to find it.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from puna.arweave.wallet import Wallet, load_wallet, new_ed25519_wallet, new_rsa_wallet, save_wallet
from puna.errors import Invalid, Missing, NodeError


def default_home() -> Path:
    """PUNA_HOME, or the platform's folder for a program's data."""
    named = os.environ.get("PUNA_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir("puna", appauthor=False))


@dataclass(frozen=True)
class Running:
    """What a running node tells the commands beside it. Written when everything answers."""

    pid: int
    gateway: str
    mu: str
    su: str
    cu: str


@dataclass(frozen=True)
class Keys:
    """The node's own keys. Ed25519: a restarted unit signs the same item to the same id."""

    operator: Wallet
    scheduler: Wallet
    messenger: Wallet
    compute: Wallet


class Home:
    """Paths and files of one home folder. Nothing is created before it is needed."""

    def __init__(self, folder: Path):
        self.folder = folder.expanduser().absolute()
        self.weave = self.folder / "weave"
        self.cache = self.folder / "cache"
        self.wallet_path = self.folder / "wallet.json"
        self.vault_path = self.folder / "keys" / "vault.json"
        self.log_path = self.folder / "node.log"
        self.engine_address = self.folder / "engine.sock"
        self._running_path = self.folder / "running.json"
        self._lock_path = self.folder / "lock"
        self._lock_file = None

    def create(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.cache.mkdir(exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise Invalid(f"The home {self.folder} is not a folder.", "Name another one with --home.") from error
        except OSError as error:
            raise NodeError(
                f"The home {self.folder} cannot be made: {error.strerror}.", "Name a writable one with --home."
            ) from error

    def exists(self) -> bool:
        return self.weave.is_dir()

    # One node at a time: two writers would each give out the same nonce.

    def lock(self) -> bool:
        """Take the home for this process; False when another node has it. Freed when the process ends."""
        self.create()
        handle = open(self._lock_path, "a+b")  # noqa: SIM115 - held open for as long as the node lives
        if not _try_lock(handle):
            handle.close()
            return False
        self._lock_file = handle
        self._running_path.unlink(missing_ok=True)  # left by a node that was killed
        return True

    def unlock(self) -> None:
        if self._lock_file is not None:
            self._running_path.unlink(missing_ok=True)
            self._lock_file.close()
            self._lock_file = None

    def is_locked(self) -> bool:
        """Whether a node runs on this home, or is starting."""
        if not self._lock_path.exists():
            return False
        with open(self._lock_path, "a+b") as handle:
            return not _try_lock(handle)

    def announce(self, running: Running) -> None:
        _write_private(self._running_path, json.dumps(asdict(running)).encode())

    def running(self) -> Running | None:
        """The node that runs on this home and answers; None when there is none or it is still starting."""
        try:
            announced = json.loads(self._running_path.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return Running(**announced) if self.is_locked() else None

    def keys(self) -> Keys:
        """The node's keys, made at the first start."""
        folder = self.folder / "keys"
        folder.mkdir(exist_ok=True, mode=0o700)
        return Keys(
            *(_load_or_make(folder / f"{name}.json") for name in ("operator", "scheduler", "messenger", "compute"))
        )

    def bundler(self) -> Wallet:
        """The RSA key that signs the weave's bundles, made when there is first something to carry."""
        path = self.folder / "keys" / "bundler.json"
        if not path.exists():
            save_wallet(new_rsa_wallet(), path)
        return load_wallet(path)

    def vault(self) -> Wallet:
        """The RSA key of the bridge's vault, made when a bridge is first raised. All AR behind wAR is its."""
        if not self.vault_path.exists():
            save_wallet(new_rsa_wallet(), self.vault_path)
        return load_wallet(self.vault_path)

    def wallet(self) -> Wallet:
        """The user's wallet in this home."""
        if not self.wallet_path.exists():
            raise Missing(f"There is no wallet at {self.wallet_path}.", "Make one with: puna wallet new")
        return load_wallet(self.wallet_path)

    def wallet_or_new(self) -> Wallet:
        """The user's wallet; at the first start a new RSA one, which every Arweave tool accepts."""
        if not self.wallet_path.exists():
            save_wallet(new_rsa_wallet(), self.wallet_path)
        return load_wallet(self.wallet_path)


def _load_or_make(path: Path) -> Wallet:
    if not path.exists():
        save_wallet(new_ed25519_wallet(), path)
    return load_wallet(path)


def _write_private(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as handle:
        handle.write(content)
    os.replace(partial, path)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle) -> bool:
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

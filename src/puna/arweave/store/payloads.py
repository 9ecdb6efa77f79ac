"""Payload files: the data of large items, each a file by itself that can be mapped as it is. Used by the SQLite store.

A payload is written as a draft, made durable, and only then given its id for a name, just before its row
commits. What a crash leaves over is a draft, or a payload without a row; both are swept at the next start.
"""

import mmap
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from puna.errors import NodeError

CHUNK_BYTES = 1 << 20
# Below this a payload is read into memory: a mapping costs a file descriptor for as long as it lives.
MAP_BYTES_MIN = 1 << 20
DRAFT_SUFFIX = ".draft"


class Payloads:
    """The payload files of one store. Drafts may be written from any thread."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, id: str) -> Path:
        return self.folder / id

    def read(self, id: str) -> bytes | memoryview:
        """A payload's bytes, mapped when they are many."""
        with open(self.path(id), "rb") as file:
            if os.fstat(file.fileno()).st_size < MAP_BYTES_MIN:
                return file.read()
            return map_file(file.fileno())

    def write_draft(self, data: bytes | memoryview) -> Path:
        """A new durable draft of `data`. Raises OSError, leaving nothing."""
        view = memoryview(data)
        return self._draft(len(view), (view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES)))

    def copy_draft(self, source: Path) -> Path:
        """A new durable draft with the bytes of `source`. Raises OSError, leaving nothing.

        A copy, never a link: whoever edits the source later must not change what was signed. Where the file system
        can share blocks between copies, it does.
        """
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if hasattr(os, "copy_file_range"):
                return self._draft(size, None, lambda to: _copy_in_kernel(file.fileno(), to))
            return self._draft(size, iter(lambda: file.read(CHUNK_BYTES), b""))

    def place(self, draft: Path, id: str) -> Path:
        final = self.path(id)
        os.replace(draft, final)
        return final

    def sweep(self, kept: Callable[[str], bool]) -> None:
        """Removes drafts, and payloads that `kept` does not know."""
        for path in self.folder.iterdir():
            if path.suffix == DRAFT_SUFFIX or not kept(path.name):
                path.unlink(missing_ok=True)

    def _draft(self, size: int, chunks: Iterator | None, fill: Callable[[int], None] | None = None) -> Path:
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise NodeError(
                f"The disk under {self.folder} has {free} bytes free, {size} are needed.", "Make room there."
            )
        path = self.folder / (secrets.token_hex(16) + DRAFT_SUFFIX)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
            try:
                if fill:
                    fill(descriptor)
                for chunk in chunks or ():
                    _write_all(descriptor, chunk)
                sync(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path


def map_file(descriptor: int) -> memoryview:
    """The file's bytes where they lie; unmapped when the last view of them is gone."""
    untracked = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ, **untracked))


def sync(descriptor: int) -> None:
    """Returns when the file is on the disk itself."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's cache
    else:
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Returns when the folder's names are on the disk. Windows has no such call, and orders them itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, chunk: bytes | memoryview) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _copy_in_kernel(source: int, to: int) -> None:
    try:
        while os.copy_file_range(source, to, 1 << 30):
            pass
        return
    except OSError:
        # Some file systems cannot, or not between each other: begin again by hand, and let real faults show there.
        os.ftruncate(to, 0)
        os.lseek(to, 0, os.SEEK_SET)
        os.lseek(source, 0, os.SEEK_SET)
    while chunk := os.read(source, CHUNK_BYTES):
        _write_all(to, chunk)

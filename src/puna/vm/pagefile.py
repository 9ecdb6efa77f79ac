"""Whole memories as files to map: what a process starts from in a moment, sharing its pages with whoever else does.

Called by `process.py`. A page file is derived from a whole snapshot and named by that snapshot's SHA-256: all of linear
memory as it is, holes where it is zero, then the digests of the state tree, then a footer. It may be deleted at any
moment; the snapshot makes it again. An evaluator compares a file with its digests when it first meets it. Files are
mapped privately: a write copies the page and leaves the file as it was. They are never changed or cut once they have
their name, since memories stand on them.

On Linux the file is mapped into linear memory itself, elsewhere its pages are copied there.
"""

import ctypes
import mmap
import os
import struct
import sys
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from .memory import PAGE_BYTES, Shadow, ranges_of
from .stateroot import BLOCK_BYTES, DIGEST_BYTES, ZERO, StateTree, hash_blocks

FOOTER = struct.Struct(">8s32sQ8Q")  # magic, SHA-256 of the digests, memory size, length of each level of the tree
MAGIC = b"PUNAPAG2"
LEVELS_MAX = 8
FOLDER_BYTES_MAX = 4 << 30  # on disk; past it the files longest unused are deleted
ROOM = 2  # times a memory's size; of addresses only
WORDS = PAGE_BYTES // 8
MAP_PRIVATE, MAP_FIXED, MAP_NORESERVE = 0x02, 0x10, 0x4000  # Linux
MAP_FAILED = ctypes.c_void_p(-1).value


class PageFile:
    """An open page file: `size` bytes of memory, and its state tree."""

    def __init__(self, file: Path, size: int, levels: list[bytes]):
        self.size = size
        self._file = file
        self._levels = levels
        self._content = np.memmap(file, np.uint64, "c", shape=(size // PAGE_BYTES, WORDS)) if size else None

    def shadow(self) -> Shadow:
        """A shadow that stands on the file. The file serves one shadow: open it anew for another."""
        if self._content is None:
            return Shadow(0)
        # With room to grow: a shadow of the file's own size would be copied whole, used or not, for one page more.
        roomy = Shadow(self.size, capacity=ROOM * self.size)
        if self.map_to(roomy.address):
            return roomy
        return Shadow.over(np.asarray(self._content), self.size)

    def tree(self) -> StateTree:
        return StateTree.of(self.size, self._levels)

    def check(self) -> None:
        """Compare every block with its digest. Raises ValueError.

        Holes of the file are zero without being read, which is most of a memory.
        """
        found = bytearray(ZERO * (self.size // BLOCK_BYTES))
        memory = self.shadow().view()
        for first, end in self._data():
            blocks = range(first // BLOCK_BYTES, -(-end // BLOCK_BYTES))
            digests = hash_blocks(memory, blocks)
            found[blocks.start * DIGEST_BYTES : blocks.stop * DIGEST_BYTES] = b"".join(digests)
        if found != self._levels[0]:
            raise ValueError("a block is damaged")

    def _data(self) -> list[tuple[int, int]]:
        """Where in memory the file has more than holes, in bytes; all of it where the system cannot tell."""
        found, end = [], 0
        try:
            with open(self._file, "rb", buffering=0) as content:
                while (start := content.seek(end, os.SEEK_DATA)) < self.size:  # the digests are data, so there is some
                    end = min(content.seek(start, os.SEEK_HOLE), self.size)
                    found.append((start, end))
        except (AttributeError, OSError):
            return [(0, self.size)]
        return found

    def map_to(self, address: int) -> bool:
        """Lay the file over the `size` bytes at `address`. False where that cannot be done, with nothing changed."""
        call = _mmap()
        if call is None or not self.size or address % PAGE_BYTES:
            return False
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False  # deleted since; the shadow still has it
        try:
            kind = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
            done = call(address, self.size, mmap.PROT_READ | mmap.PROT_WRITE, kind, descriptor, 0)
        finally:
            os.close(descriptor)
        return done == address


class PageFiles:
    """A folder of page files. Any process and thread may use it at the same time."""

    def __init__(self, folder: Path, bytes_max: int = FOLDER_BYTES_MAX):
        self._folder = folder
        self._bytes_max = bytes_max
        self._checked: set[tuple[str, int, int]] = set()  # files whose pages were found to be what their digests say

    def open(self, digest: bytes, module_digest: bytes) -> PageFile | None:
        """The file of the snapshot with this SHA-256, of this module; None when it is not there, or is damaged."""
        file = self._file(digest, module_digest)
        try:
            with open(file, "rb") as content:
                size, levels = _read_tail(content)
            found = PageFile(file, size, levels)
            status = os.stat(file)
            mark = (file.name, status.st_ino, status.st_size)
            if mark not in self._checked:
                found.check()
                self._checked.add(mark)
            os.utime(file)  # used now: the last to be deleted
            return found
        except (OSError, ValueError):
            return None

    def write(self, digest: bytes, module_digest: bytes, shadow: Shadow, tree: StateTree) -> None:
        """Keep a memory as the file of the snapshot with this SHA-256. A full disk leaves no file, and no harm."""
        file = self._file(digest, module_digest)
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, partial = tempfile.mkstemp(dir=self._folder, suffix=".part")
            try:
                with open(handle, "wb") as out:
                    _write(out, shadow, tree)
                    out.flush()
                    os.fsync(out.fileno())  # a name must never stand for half a memory
                os.replace(partial, file)
            except OSError:
                os.unlink(partial)
            self._prune()

    def _file(self, digest: bytes, module_digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}-{module_digest.hex()[:16]}.pages"

    def _prune(self) -> None:
        """Delete the files longest unused until the rest fit. Whoever has one mapped keeps it."""
        found = sorted(
            ((entry.stat(), entry.path) for entry in os.scandir(self._folder)), key=lambda row: -row[0].st_mtime
        )
        total = 0
        for status, path in found:
            total += getattr(status, "st_blocks", status.st_size // 512) * 512
            if total > self._bytes_max:
                with suppress(OSError):  # another system keeps a file that is mapped
                    os.unlink(path)


def _write(out, shadow: Shadow, tree: StateTree) -> None:
    memory = shadow.view()
    for first, end in ranges_of(shadow.used_pages()):
        out.seek(first * PAGE_BYTES)
        out.write(memory[first * PAGE_BYTES : end * PAGE_BYTES])
    out.seek(shadow.size)
    levels = tree.levels()
    digests = b"".join(levels)
    lengths = [len(level) for level in levels] + [0] * (LEVELS_MAX - len(levels))
    out.write(digests + FOOTER.pack(MAGIC, sha256(digests).digest(), shadow.size, *lengths))


def _read_tail(content) -> tuple[int, list[bytes]]:
    """Memory's size and the tree's digests. Raises ValueError when the file is not whole."""
    end = content.seek(0, os.SEEK_END)
    if end < FOOTER.size:
        raise ValueError("too short")
    content.seek(end - FOOTER.size)
    magic, digest, size, *lengths = FOOTER.unpack(content.read(FOOTER.size))
    if magic != MAGIC or size + sum(lengths) + FOOTER.size != end:
        raise ValueError("no page file")
    content.seek(size)
    levels = [content.read(length) for length in lengths if length]
    if sha256(b"".join(levels)).digest() != digest:
        raise ValueError("damaged")
    return size, levels


@cache
def _mmap():
    """The call that maps a file over memory; None where this is not Linux with pages of our size."""
    if sys.platform != "linux" or os.sysconf("SC_PAGE_SIZE") != PAGE_BYTES:
        return None
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
    return call

"""Which pages of a memory were written, asked of the Linux kernel instead of comparing all of them.

Called by `process.py`. Pages are write-protected through userfaultfd in its asynchronous mode, in which the kernel
itself lifts the protection at the first write; PAGEMAP_SCAN then reports the lifted ones and protects them again.
Where that does not exist, or is forbidden, `watch` answers None and memory is compared whole: the same pages result,
later. Source: the kernel's admin-guide pages on userfaultfd and pagemap (Linux 6.7 or newer).
"""

import ctypes
import os
import platform
import struct
import sys
import threading
from collections.abc import Callable
from functools import cache

from .memory import PAGE_BYTES, Range

if sys.platform == "linux":
    from fcntl import ioctl

SYSCALL_USERFAULTFD = {"x86_64": 323, "aarch64": 282}
O_CLOEXEC, O_NONBLOCK, USER_MODE_ONLY = 0o2000000, 0o4000, 1
UFFDIO_API, UFFDIO_REGISTER = 0xC018AA3F, 0xC020AA00
API, MODE_WRITE_PROTECT = 0xAA, 2
FEATURES = 1 << 0 | 1 << 13 | 1 << 15  # report write-protect faults; protect unpopulated pages; asynchronously

PAGEMAP_SCAN = 0xC0606610
PAGE_IS_WRITTEN = 1 << 1
PROTECT_MATCHING, CHECK_ASYNC = 1, 2
REGIONS = 4096  # per call of the kernel; it is called again until it has walked the whole range

OFF = "PUNA_VM_COMPARE"  # set in the environment: compare whole memories


# struct pm_scan_arg: size, flags, start, end, walk_end, regions, their number, most pages, and the masks inverted,
# required, any and returned
SCAN = struct.Struct("12Q")
WALK_END_AT = 4  # the place of walk_end


class Kernel:
    """The descriptors through which the kernel is asked. One of each serves all memories and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        libc, number = ctypes.CDLL(None, use_errno=True), SYSCALL_USERFAULTFD[platform.machine()]
        self.faults = libc.syscall(number, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY)
        if self.faults < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        ioctl(self.faults, UFFDIO_API, struct.pack("QQQ", API, FEATURES, 0))
        self.pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        regions = (ctypes.c_uint64 * (3 * REGIONS))()  # start, end and categories of each
        self._regions, self._regions_at = memoryview(regions).cast("B").cast("Q"), ctypes.addressof(regions)

    def protect(self, start: int, size: int) -> None:
        ioctl(self.faults, UFFDIO_REGISTER, struct.pack("QQQQ", start, size, MODE_WRITE_PROTECT, 0))
        self.take(start, start + size)

    def take(self, start: int, end: int) -> list[tuple[int, int]]:
        """The address ranges written since they were last taken. From here on they are watched again."""
        with self._lock:
            return self._scan(start, end, PROTECT_MATCHING | CHECK_ASYNC)

    def peek(self, start: int, end: int) -> list[tuple[int, int]]:
        """The address ranges written since they were last taken."""
        with self._lock:
            return self._scan(start, end, CHECK_ASYNC)

    def _scan(self, start: int, end: int, flags: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        while start < end:
            masks = 0, PAGE_IS_WRITTEN, 0, PAGE_IS_WRITTEN
            scan = bytearray(SCAN.pack(SCAN.size, flags, start, end, 0, self._regions_at, REGIONS, 0, *masks))
            numbers = self._regions[: 3 * ioctl(self.pagemap, PAGEMAP_SCAN, scan)].tolist()
            found += zip(numbers[::3], numbers[1::3], strict=True)
            walk_end = SCAN.unpack(scan)[WALK_END_AT]
            if walk_end <= start:
                raise OSError("PAGEMAP_SCAN does not get on")
            start = walk_end
        return found


class Watch:
    """Writes to the memory that begins at an address.

    The first write to a watched page costs its evaluation a fault of the processor, which takes as long as hashing the
    page. So pages that are written by every message are left *open*: not watched, and told every time.
    """

    def __init__(self, kernel: Kernel, start: int):
        self._kernel = kernel
        self.start = start
        self._size = 0
        self._open: list[Range] = []

    def begin(self, size: int) -> None:
        """Watch from here on: nothing of the memory's `size` bytes is written yet. What grew since is added."""
        if size > self._size:
            self._kernel.protect(self.start + self._size, size - self._size)
            self._size = size

    def leave_open(self, ranges: list[Range]) -> None:
        """Do not watch these pages, ascending, from the next `written` on."""
        self._open = ranges

    def written(self) -> list[Range]:
        """Where pages may have been written since the last call, ascending. Raises OSError when nobody can tell."""
        return self._tell(self._kernel.take)

    def peek(self) -> list[Range]:
        """As `written`, which will tell of them again: for writes that are taken back, with writes."""
        return self._tell(self._kernel.peek)

    def _tell(self, scan: Callable[[int, int], list[tuple[int, int]]]) -> list[Range]:
        found: list[Range] = []
        at = self.start
        for first, end in [*self._open, (self._size // PAGE_BYTES, 0)]:
            until = self.start + first * PAGE_BYTES
            if until > at:
                begin = self.start
                found += [((a - begin) // PAGE_BYTES, (b - begin) // PAGE_BYTES) for a, b in scan(at, until)]
            if end:
                found.append((first, end))
                at = self.start + end * PAGE_BYTES
        return found


def watch(start: int) -> Watch | None:
    """Watch the memory that begins at `start`, from its `begin` on; None where this machine cannot."""
    kernel = _kernel()
    return Watch(kernel, start) if kernel else None


@cache
def _kernel() -> Kernel | None:
    if sys.platform != "linux" or platform.machine() not in SYSCALL_USERFAULTFD or os.environ.get(OFF):
        return None
    if os.sysconf("SC_PAGE_SIZE") != PAGE_BYTES:
        return None
    try:
        return Kernel()
    except OSError:
        return None

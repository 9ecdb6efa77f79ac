"""The rare imports, answered by the host: calendar, files, and the ends of a program.

Called by `module.py`, which links them, and through it by the running module. A row is a name, the types it may have
(`p` is a pointer) and a function `(guest, *arguments) -> result`. There is no file system: a module finds WeaveDrive's
files and nothing else. Source: protocol reference 5.5.
"""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .calendar import NO_DATE, Moment, format_moment, moment_of, seconds_of

if TYPE_CHECKING:
    from .instance import Guest

# Error numbers are WASI's.
EBADF, ENOENT, EOVERFLOW, ENOSYS, ENOTTY, ESPIPE = 8, 44, 61, 52, 59, 70
STANDARD_FILES = (0, 1, 2)


class Ended(Exception):
    """The program ended itself, which ends the evaluation with an error."""


class Offer(NamedTuple):
    """`types` are signatures separated by spaces, in the letters of `face.py` with `p` for a pointer."""

    types: str
    call: Callable[..., Any]


def fits(types: str, letters: str, pointer: str) -> bool:
    return letters in types.replace("p", pointer).split(" ")


# --- the calendar -----------------------------------------------------------------------------------------------

TM = struct.Struct("<9i")


def _read_moment(guest: "Guest", at: int) -> Moment:
    return Moment(*TM.unpack(guest.read(at, TM.size)))


def write_moment(guest: "Guest", at: int, moment: Moment) -> None:
    """All fields of a `struct tm` but its zone."""
    guest.write(at, TM.pack(*_fields(moment)))


def _gmtime(guest: "Guest", *arguments: int) -> None:
    moment = moment_of(_seconds(guest, arguments[:-1]))
    guest.write(arguments[-1], TM.pack(*_fields(moment))[:32])  # all but the summer flag


def _localtime(guest: "Guest", *arguments: int) -> None:
    """UTC too, with its flag and offset written."""
    write_moment(guest, arguments[-1], moment_of(_seconds(guest, arguments[:-1])))
    guest.write(arguments[-1] + (40 if guest.wide else 36), bytes(8 if guest.wide else 4))


def _seconds(guest: "Guest", arguments: tuple[int, ...]) -> int:
    """A time as the formats pass it: whole, in two halves, or (the oldest) by address."""
    if len(arguments) == 2:
        return (arguments[1] << 32) | (arguments[0] & 0xFFFFFFFF)
    if guest.wide:
        return arguments[0]
    return int.from_bytes(guest.read(arguments[0], 4), "little", signed=True)


def settle(guest: "Guest", at: int) -> tuple[int | None, Moment]:
    """The seconds of the moment at `at`, and its fields within their ranges; None and zeros where there are no dates.

    The summer flag is the caller's word, and stays.
    """
    asked = _read_moment(guest, at)
    if 0 <= asked.year + 1900 <= 99:  # the reference takes these for years of the twentieth century
        asked = replace(asked, year=asked.year + 1900)
    seconds = seconds_of(asked)
    return seconds, replace(NO_DATE if seconds is None else moment_of(seconds), summer=max(asked.summer, 0))


def _mktime(guest: "Guest", at: int) -> int:
    seconds, moment = settle(guest, at)
    write_moment(guest, at, moment)
    seconds = -1 if seconds is None else seconds
    guest.set_temporary(seconds >> 32)
    return seconds


def _fields(moment: Moment) -> tuple[int, ...]:
    return (
        *(moment.second, moment.minute, moment.hour, moment.day, moment.month, moment.year),
        *(moment.day_of_week, moment.day_of_year, moment.summer),
    )


def _tzset(guest: "Guest", zone: int, summer: int, *names: int) -> None:
    guest.write(zone, bytes(guest.pointer_bytes))
    guest.write(summer, bytes(4))
    for name in names:
        guest.write(name, b"UTC\0")


def _strftime(guest: "Guest", to: int, size: int, pattern: int, moment: int, locale: int = 0) -> int:
    zone_at = guest.read_pointer(moment + (48 if guest.wide else 40))
    zone = guest.read_text(zone_at).decode("latin-1") if zone_at else ""
    written = format_moment(guest.read_text(pattern).decode("latin-1"), _read_moment(guest, moment), zone)
    text = written.encode("latin-1")
    if len(text) + 1 > size:
        return 0
    guest.write(to, text + b"\0")
    return len(text)


# --- files ------------------------------------------------------------------------------------------------------


def _vectors(guest: "Guest", at: int, count: int) -> list[tuple[int, int]]:
    return [(guest.read_pointer(at + 2 * each * guest.pointer_bytes),
             guest.read_pointer(at + (2 * each + 1) * guest.pointer_bytes)) for each in range(count)]  # fmt: skip


def _fd_write(guest: "Guest", file: int, vectors: int, count: int, written: int) -> int:
    """What is written to standard output goes nowhere."""
    if file not in STANDARD_FILES:
        return EBADF
    total = sum(size for _, size in _vectors(guest, vectors, min(count, VECTORS_MAX)))
    guest.write(written, total.to_bytes(8, "little")[: guest.pointer_bytes])
    return 0


VECTORS_MAX = 1024  # as many as the C library's IOV_MAX


def _fd_read(guest: "Guest", file: int, vectors: int, count: int, read: int) -> int:
    total = 0
    if file not in STANDARD_FILES:
        if not guest.drive.is_open(file):
            return EBADF
        for address, size in _vectors(guest, vectors, min(count, VECTORS_MAX)):
            total += guest.read_file(file, address, size)
    guest.write(read, total.to_bytes(8, "little")[: guest.pointer_bytes])
    return 0


def _fd_seek(guest: "Guest", file: int, *arguments: int) -> int:
    *offset, whence, position_at = arguments
    if file in STANDARD_FILES:
        return ESPIPE
    if not guest.drive.is_open(file):
        return EBADF
    distance = offset[0] if len(offset) == 1 else (offset[1] << 32) | (offset[0] & 0xFFFFFFFF)
    position = guest.drive.seek(file, distance, whence)
    if position is None:
        return 28  # EINVAL
    guest.write(position_at, position.to_bytes(8, "little"))
    return 0


def _getcwd(guest: "Guest", to: int, size: int) -> int:
    if size < 2:
        return -68  # ERANGE
    guest.write(to, b"/\0")
    return 2


def _environ_sizes(guest: "Guest", count: int, size: int) -> int:
    variables = guest.variables
    guest.write(count, len(variables).to_bytes(guest.pointer_bytes, "little"))
    guest.write(size, sum(len(each) + 1 for each in variables).to_bytes(guest.pointer_bytes, "little"))
    return 0


def _environ(guest: "Guest", pointers: int, texts: int) -> int:
    for number, each in enumerate(guest.variables):
        guest.write(pointers + number * guest.pointer_bytes, texts.to_bytes(guest.pointer_bytes, "little"))
        guest.write(texts, each + b"\0")
        texts += len(each) + 1
    return 0


def _drive_open(guest: "Guest", name: int, mode: int) -> int:
    return guest.drive.open(guest.read_text(name).decode("utf-8", "replace"))


def _drive_read(guest: "Guest", file: int, to: int, size: int) -> int:
    return guest.read_file(file, to, size)


def _drive_close(guest: "Guest", file: int) -> int:
    guest.drive.close(file)
    return 0


# --- ends -------------------------------------------------------------------------------------------------------


def _exit(guest: "Guest", status: int) -> None:
    raise Ended(f"Program terminated with exit({status})")  # in the reference's words


def _abort(guest: "Guest") -> None:
    raise Ended("the program aborted")


def _assert_fail(guest: "Guest", condition: int, file: int, line: int, function: int) -> None:
    text = guest.read_text(condition).decode("utf-8", "replace") if condition else "?"
    raise Ended(f"assertion failed: {text[:200]}")


def _cxa_throw(guest: "Guest", exception: int, kind: int, destructor: int) -> None:
    raise Ended("the program threw an exception that nobody caught")


def _system(guest: "Guest", command: int) -> int:
    return -ENOSYS if command else 0


def answer(number: int | None) -> Callable[..., int | None]:
    return lambda guest, *arguments: number


# --- the table --------------------------------------------------------------------------------------------------

_NO_FILE = answer(-ENOENT)
_DONE = answer(0)
_NOT_HERE = answer(-ENOSYS)

OFFERS: dict[str, Offer] = {
    "_gmtime_js": Offer("jp> iip> pp>", _gmtime),
    "_localtime_js": Offer("jp> iip> pp>", _localtime),
    "_mktime_js": Offer("p>j p>i", _mktime),
    "_tzset_js": Offer("pppp>", _tzset),
    "strftime": Offer("pppp>p", _strftime),
    "strftime_l": Offer("ppppp>p", _strftime),
    "fd_write": Offer("ippp>i", _fd_write),
    "fd_read": Offer("ippp>i", _fd_read),
    "fd_seek": Offer("ijip>i iiiip>i", _fd_seek),
    "fd_close": Offer("i>i", _DONE),
    "fd_sync": Offer("i>i", _DONE),
    "fd_fdstat_get": Offer("ip>i", _DONE),
    "environ_sizes_get": Offer("pp>i", _environ_sizes),
    "environ_get": Offer("pp>i", _environ),
    "__asyncjs__weavedrive_open": Offer("pp>i", _drive_open),
    "__asyncjs__weavedrive_read": Offer("ipp>i", _drive_read),
    "__asyncjs__weavedrive_close": Offer("i>i", _drive_close),
    "exit": Offer("i>", _exit),
    "abort": Offer(">", _abort),
    "_abort_js": Offer(">", _abort),
    "__assert_fail": Offer("ppip>", _assert_fail),
    "__cxa_throw": Offer("ppp>", _cxa_throw),
    "emscripten_err": Offer("p>", answer(None)),
    "_emscripten_system": Offer("p>i", _system),
    "emscripten_get_heap_max": Offer(">p", lambda guest: guest.heap_max),
    "__syscall_openat": Offer("ipip>i", _NO_FILE),
    "__syscall_unlinkat": Offer("ipi>i", _NO_FILE),
    "__syscall_rmdir": Offer("p>i", _NO_FILE),
    "__syscall_renameat": Offer("ipip>i", _NO_FILE),
    "__syscall_readlinkat": Offer("ippp>i", _NO_FILE),
    "__syscall_faccessat": Offer("ipii>i", _NO_FILE),
    "__syscall_chmod": Offer("pi>i", _NO_FILE),
    "__syscall_stat64": Offer("pp>i", _NO_FILE),
    "__syscall_lstat64": Offer("pp>i", _NO_FILE),
    "__syscall_newfstatat": Offer("ippi>i", _NO_FILE),
    "__syscall_mkdirat": Offer("ipi>i", _NO_FILE),
    "__syscall_utimensat": Offer("ippi>i", _NO_FILE),
    "__syscall_fstat64": Offer("ip>i", answer(-EBADF)),
    "__syscall_fchmod": Offer("ii>i", answer(-EBADF)),
    "__syscall_fchown32": Offer("iii>i", answer(-EBADF)),
    "__syscall_ftruncate64": Offer("ij>i iii>i", answer(-EBADF)),
    "__syscall_dup3": Offer("iii>i", answer(-EBADF)),
    "__syscall_fcntl64": Offer("iip>i", _DONE),
    "__syscall_ioctl": Offer("iip>i", answer(-ENOTTY)),
    "__syscall_getcwd": Offer("pp>i", _getcwd),
    "_mmap_js": Offer("piiipp>i piiijpp>i piiiiipp>i pppppp>i", _NOT_HERE),
    "_munmap_js": Offer("ppiiij>i ppiiip>i ppiiiii>i pppppp>i", _NOT_HERE),
    "_dlopen_js": Offer("p>p", _DONE),
    "_dlsym_js": Offer("pp>p ppp>p", _DONE),
    "_dlinit": Offer("p>", answer(None)),
}

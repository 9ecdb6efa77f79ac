"""The first three formats, where they differ from the later ones: what they answer under the same names, and the room
they give to texts on the stack.

Called by `../formats.py`, whose rows name what is here, and through them by `module.py` and `instance.py`. The
differences are the toolchain's, years older there; a process could tell each of them, mostly by where memory lies and
so by the order of `pairs`. Source: the reference loader's behaviour, compared call by call.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .calendar import DAY_SECONDS, Moment, seconds_of
from .imports import ENOSYS, ESPIPE, OFFERS, Ended, Offer, answer, settle, write_moment

if TYPE_CHECKING:
    from .instance import Guest

PROGRAM = b"./this.program"
VARIABLES = (
    *(b"USER=web_user", b"LOGNAME=web_user", b"PATH=/", b"PWD=/", b"HOME=/home/web_user"),
    *(b"LANG=C.UTF-8", b"_=" + PROGRAM),
)


def wide_room(text: bytes) -> int:
    """Bytes of stack for a text in the first two formats: four for each of its UTF-16 units, and one."""
    return 2 * len(text.decode("utf-8", "replace").encode("utf-16-le")) + 1


# --- the calendar -------------------------------------------------------------------------------------------------

ZONE = b"Coordinated Universal Time"


def _tzset(guest: "Guest", zone: int, summer: int, names: int) -> None:
    """Two names from the heap, once. That it was done is read off the memory, so that a restart changes nothing."""
    if guest.read_pointer(names):
        return
    guest.write(zone, bytes(4))
    guest.write(summer, bytes(4))
    winter_at, summer_at = guest.keep_text(ZONE), guest.keep_text(ZONE)
    guest.write(names, summer_at.to_bytes(4, "little") + winter_at.to_bytes(4, "little"))


def _tzset_short(guest: "Guest", zone: int, summer: int, *names: int) -> None:
    """The third format's: the names have room for six letters."""
    guest.write(zone, bytes(4))
    guest.write(summer, bytes(4))
    for name in names:
        guest.write(name, ZONE[:6] + b"\0")


def _mktime(guest: "Guest", at: int) -> int:
    """32 bits of seconds, none where there are no dates; the year is not written back."""
    seconds, moment = settle(guest, at)
    if seconds is not None and 0 <= moment.year + 1900 <= 99:  # its first day is sought in the twentieth century
        start = seconds_of(Moment(day=1, year=moment.year + 1900))
        moment = replace(moment, day_of_year=int((seconds - start) / DAY_SECONDS))
    year = int.from_bytes(guest.read(at + YEAR_AT, 4), "little", signed=True)
    write_moment(guest, at, replace(moment, year=year))
    return seconds or 0


YEAR_AT = 20  # in a `struct tm`


def _system(guest: "Guest", command: int) -> int:
    if not command:
        return 0
    guest.set_errno(ENOSYS)
    return -1


# --- files of the first format --------------------------------------------------------------------------------------


def _fd_write(guest: "Guest", file: int, *arguments: int) -> int:
    if file == 0:
        raise Ended("the program writes to a file, and there are none")
    return OFFERS["fd_write"].call(guest, file, *arguments)


_DONE = answer(0)
# Every path opens, as file 0, and nothing can be read from it.
SILENT = (
    *("__syscall_dup3", "__syscall_fcntl64", "__syscall_ioctl", "__syscall_lstat64", "__syscall_openat"),
    *("__syscall_renameat", "__syscall_rmdir", "__syscall_unlinkat"),
)

# Each row's name is the import's, after the word that tells it from the later one.
EARLY: dict[str, Offer] = {
    "early _tzset_js": Offer("ppp>", _tzset),
    "early _mktime_js": Offer("p>i", _mktime),
    "system": Offer("p>i", _system),
    "short _tzset_js": Offer("pppp>", _tzset_short),
    "first fd_write": Offer("ippp>i", _fd_write),
    "first fd_read": Offer("ippp>i", answer(ENOSYS)),
    "first fd_seek": Offer("iiiip>i", answer(ESPIPE)),
    "first fd_close": Offer("i>i", answer(ENOSYS)),
    **{f"first {name}": Offer(OFFERS[name].types, _DONE) for name in SILENT},
}


def _under(word: str, *names: str) -> Mapping[str, str]:
    return {name: f"{word} {name}" for name in names}


# By format: the rows that answer an import.
SECOND = _under("early", "_tzset_js", "_mktime_js", "emscripten_get_now")
FIRST = SECOND | _under("first", "fd_write", "fd_read", "fd_seek", "fd_close", *SILENT)
THIRD = _under("short", "_tzset_js")

"""Calendar time as C programs see it: seconds, their broken-down form, and `strftime` in the C locale. UTC alone.

Called by `imports.py`. Whole numbers throughout: a process sees the same on every machine and at every date.
Source: protocol reference 5.5; ISO 8601 for weeks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

DAY_SECONDS = 86400
SECONDS_MAX = 8_640_000_000_000  # beyond these, on both sides of 1970, there are no dates

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class Moment:
    """C's `struct tm` without its zone: `month` counts from 0, `year` from 1900, `day_of_week` from Sunday."""

    second: int = 0
    minute: int = 0
    hour: int = 0
    day: int = 0
    month: int = 0
    year: int = 0
    day_of_week: int = 0
    day_of_year: int = 0
    summer: int = 0


NO_DATE = Moment()


def moment_of(seconds: int) -> Moment:
    """Seconds since 1970, broken down; all zeros where there are no dates."""
    if abs(seconds) > SECONDS_MAX:
        return NO_DATE
    days, rest = divmod(seconds, DAY_SECONDS)
    year, month, day = _date_of(days)
    in_year = days - _days_until(year, 0, 1)
    hour, rest = divmod(rest, 3600)
    return Moment(rest % 60, rest // 60, hour, day, month, year - 1900, (days + 4) % 7, in_year)


def seconds_of(moment: Moment) -> int | None:
    """Seconds since 1970 of a moment whose fields may lie outside their ranges; None where there are no dates."""
    years, month = divmod(moment.month, 12)
    days = _days_until(moment.year + 1900 + years, month, 1) + moment.day - 1
    seconds = days * DAY_SECONDS + moment.hour * 3600 + moment.minute * 60 + moment.second
    return seconds if abs(seconds) <= SECONDS_MAX else None


def _days_until(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date, `month` from 0. Years begin in March here, so that leap days come last."""
    year, shifted = (year, month - 2) if month >= 2 else (year - 1, month + 10)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * shifted + 2) // 5 + day - 1 - 719468


def _date_of(days: int) -> tuple[int, int, int]:
    """The date so many days after 1970-01-01, as year, month from 0, and day."""
    era, in_era = divmod(days + 719468, 146097)
    of_era = (in_era - in_era // 1460 + in_era // 36524 - in_era // 146096) // 365
    in_year = in_era - (365 * of_era + of_era // 4 - of_era // 100)
    shifted = (5 * in_year + 2) // 153
    day = in_year - (153 * shifted + 2) // 5 + 1
    month = (shifted + 2) % 12
    return era * 400 + of_era + (month < 2), month, day


# --- strftime ---------------------------------------------------------------------------------------------------

Field = Callable[[Moment], str]


def format_moment(pattern: str, moment: Moment, zone: str = "") -> str:
    """`strftime` in the C locale. What is no conversion stays as it is.

    Compound conversions are spelled out first, one kind after the other and whatever stands before them, so `%Ec`
    becomes a mere `%c`: the reference does it so, and a process could tell.
    """
    for short, spelled in COMPOSED.items():
        pattern = pattern.replace(short, spelled)
    return CONVERSION.sub(lambda found: _convert(found[0], moment, zone), pattern)


CONVERSION = re.compile("%(.)", re.DOTALL)


def _convert(written: str, moment: Moment, zone: str) -> str:
    letter = written[1]
    if letter == "Z":
        return zone
    return FIELDS[letter](moment) if letter in FIELDS else written


def _padded(number: int, width: int, fill: str = "0") -> str:
    return str(number).rjust(width, fill)


def _hour_12(moment: Moment) -> int:
    return moment.hour % 12 or 12


def _iso_week(moment: Moment) -> tuple[int, int]:
    """The ISO year and week: the year that the week's Thursday is in."""
    thursday = moment.day_of_year - (moment.day_of_week + 6) % 7 + 3
    year = moment.year + 1900
    if thursday < 0:
        year -= 1
        thursday += _year_days(year)
    elif thursday >= _year_days(year):
        thursday -= _year_days(year)
        year += 1
    return year, thursday // 7 + 1


def _year_days(year: int) -> int:
    return 365 + (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else "?"


COMPOSED = {
    "%c": "%a %b %d %H:%M:%S %Y",
    "%D": "%m/%d/%y",
    "%F": "%Y-%m-%d",
    "%h": "%b",
    "%r": "%I:%M:%S %p",
    "%R": "%H:%M",
    "%T": "%H:%M:%S",
    "%x": "%m/%d/%y",
    "%X": "%H:%M:%S",
    "%Ec": "%%c",
    "%Ex": "%m/%d/%y",
    "%EX": "%H:%M:%S",
    **{f"%E{letter}": f"%{letter}" for letter in "CyY"},
    **{f"%O{letter}": f"%{letter}" for letter in "deHImMSuUVwWy"},
}
FIELDS: dict[str, Field] = {
    "%": lambda _: "%",
    "a": lambda m: _name(DAYS, m.day_of_week)[:3],
    "A": lambda m: _name(DAYS, m.day_of_week),
    "b": lambda m: _name(MONTHS, m.month)[:3],
    "B": lambda m: _name(MONTHS, m.month),
    "C": lambda m: _padded(int((m.year + 1900) / 100), 2),  # towards zero
    "d": lambda m: _padded(m.day, 2),
    "e": lambda m: _padded(m.day, 2, " "),
    "g": lambda m: str(_iso_week(m)[0])[2:],
    "G": lambda m: str(_iso_week(m)[0]),
    "H": lambda m: _padded(m.hour, 2),
    "I": lambda m: _padded(_hour_12(m), 2),
    "j": lambda m: _padded(m.day_of_year + 1, 3),
    "m": lambda m: _padded(m.month + 1, 2),
    "M": lambda m: _padded(m.minute, 2),
    "n": lambda _: "\n",
    "p": lambda m: "AM" if 0 <= m.hour < 12 else "PM",
    "s": lambda m: str(seconds_of(m) or 0),
    "S": lambda m: _padded(m.second, 2),
    "t": lambda _: "\t",
    "u": lambda m: str(m.day_of_week or 7),
    "U": lambda m: _padded((m.day_of_year + 7 - m.day_of_week) // 7, 2),
    "V": lambda m: _padded(_iso_week(m)[1], 2),
    "w": lambda m: str(m.day_of_week),
    "W": lambda m: _padded((m.day_of_year + 7 - (m.day_of_week + 6) % 7) // 7, 2),
    "y": lambda m: str(m.year + 1900)[2:],  # all but two digits, as the reference has it
    "Y": lambda m: str(m.year + 1900),
    "z": lambda _: "+0000",
}

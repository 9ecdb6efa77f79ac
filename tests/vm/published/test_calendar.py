"""Laws of the calendar, against Python's own."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from puna.vm.emscripten.calendar import NO_DATE, SECONDS_MAX, Moment, format_moment, moment_of, seconds_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
dates = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
    lambda each: each.replace(tzinfo=UTC, microsecond=0)
)


@given(dates)
def test_moments_are_those_of_datetime(date):
    moment = moment_of((date - EPOCH) // timedelta(seconds=1))
    assert (moment.year + 1900, moment.month + 1, moment.day) == (date.year, date.month, date.day)
    assert (moment.hour, moment.minute, moment.second) == (date.hour, date.minute, date.second)
    assert (moment.day_of_week, moment.day_of_year + 1) == (date.isoweekday() % 7, date.timetuple().tm_yday)


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)))
def test_formats_are_those_of_strftime(date):
    moment = moment_of((date.replace(tzinfo=UTC, microsecond=0) - EPOCH) // timedelta(seconds=1))
    pattern = "%A %B %d %H %I %j %m %M %p %S %U %w %W %Y %G %V %u %%"
    assert format_moment(pattern, moment) == date.strftime(pattern)


@given(st.integers(-SECONDS_MAX, SECONDS_MAX))
def test_seconds_come_back(seconds):
    assert seconds_of(moment_of(seconds)) == seconds


def test_there_are_no_dates_beyond():
    assert moment_of(SECONDS_MAX + 1) == NO_DATE
    assert seconds_of(Moment(year=300_000, day=1)) is None

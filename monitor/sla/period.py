"""Calendar months and moments in the estate's time zone, as whole microseconds since 1970 (UTC). Pure.

Everything that is summed is an integer, so that a month's parts are exactly the month: 31 days and the hour of the
autumn change are 745 hours, March with the spring change has 743.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 3600 * SECOND_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
FIRST_YEAR, LAST_YEAR = 2000, 2199


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, ``start_us`` included, ``end_us`` not."""

    start_us: int
    end_us: int

    @property
    def length_us(self) -> int:
        """Its length in microseconds; never negative."""
        return max(0, self.end_us - self.start_us)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def previous(self) -> Month:
        """The month before it."""
        return Month(self.year - 1, 12) if self.month == 1 else Month(self.year, self.month - 1)

    def period(self, zone: str) -> Period:
        """Return the month in the time zone ``zone``, from midnight to midnight there."""
        local = ZoneInfo(zone)
        after = self.next
        start, end = (
            datetime(self.year, self.month, 1, tzinfo=local),
            datetime(after.year, after.month, 1, tzinfo=local),
        )
        return Period(_us(start), _us(end))


def parse_month(text: str) -> Month:
    """Return the month written as ``2026-10``. Raises ValueError with a sentence."""
    found = _MONTH.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text[:40]}' is not a month; write it as 2026-10")
    year, month = int(found[1]), int(found[2])
    if not (FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12):  # noqa: PLR2004 - months of a year
        raise ValueError(f"there is no month {text.strip()}")
    return Month(year, month)


def month_of(at_us: int, zone: str) -> Month:
    """Return the month in which a moment lies in the time zone ``zone``."""
    local = moment(at_us, zone)
    return Month(local.year, local.month)


def us(at_s: float) -> int:
    """Return Unix seconds as whole microseconds."""
    return round(at_s * SECOND_US)


def moment(at_us: int, zone: str) -> datetime:
    """Return a moment in the time zone ``zone``."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(zone))


def parse_moment(text: str, zone: str) -> int:
    """Return ``2026-10-14 02:00`` in the time zone ``zone`` as microseconds; with an offset or Z it is taken as such.

    Raises ValueError with a sentence: for what is no time, and for a local time that the change of clocks made happen
    twice or not at all.
    """
    said = text.strip()
    try:
        read = datetime.fromisoformat(said)
    except ValueError:
        read = None
    if read is not None and read.tzinfo is not None:
        return _us(read)
    local = next((found for form in _FORMS if (found := _read(said, form)) is not None), None)
    if local is None:
        raise ValueError(f"'{said[:40]}' is not a time; write it as 2026-10-14 02:00")
    early, late = (local.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return _us(early)
    if _us(early) > _us(late):  # the offset grew: the clocks went forward over it
        raise ValueError(f"{said} does not exist in {zone}: the clocks go forward over it")
    first, second = early.isoformat(sep=" "), late.isoformat(sep=" ")
    raise ValueError(f"{said} happens twice in {zone}; say which: '{first}' or '{second}'")


def _read(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is put on by the caller
    except ValueError:
        return None


def _us(at: datetime) -> int:
    passed = at - _EPOCH if at.tzinfo is UTC else at.astimezone(UTC) - _EPOCH
    return (passed.days * 86400 + passed.seconds) * SECOND_US + passed.microseconds

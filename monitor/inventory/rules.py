"""Rules for single values that a pattern cannot say: cron lines, time zones, URLs, names of people.

Each takes the value and gives it back, or raises ValueError whose text is fit for the person who wrote it.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from monitor.problem import did_you_mean

DAEMON = "karaula"  # what it is called where a person's name could stand
EVERYBODY = "everybody"

_CRON_FIELDS = 5
_CRON_LENGTH = 100
_ANY_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - only asks whether the line ever comes due, in no zone


def cron(line: str) -> str:
    """Accept a cron line of five fields that comes due at least once in the coming decades (crontab(5))."""
    fields = line.split()
    if len(fields) != _CRON_FIELDS or len(line) > _CRON_LENGTH:
        raise ValueError(
            f"a cron line has five fields (minute, hour, day, month, weekday), found {_shown(line)} with {len(fields)}"
        )
    try:
        next(CronSim(line, _ANY_DAY))
    except CronSimError as error:
        raise ValueError(f"{_shown(line)} is not a cron line: {str(error).lower()}") from error
    except StopIteration as error:
        raise ValueError(f"the cron line {_shown(line)} never comes due: there is no such day") from error
    return line


def timezone(name: str) -> str:
    """Accept a name of the IANA time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = did_you_mean(name[:100], available_timezones())
        raise ValueError(f"unknown time zone {_shown(name)}" + (f"; {hint}" if hint else "")) from error
    return name


def url(text: str) -> str:
    """Accept an http or https URL with a host and without a password in it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError("this is not a URL; write it as https://host:port/path") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not carry a user or a password")  # and is not repeated here
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or not text.isprintable():
        raise ValueError(f"{_shown(text)} is not a URL; write it as https://host:port/path")
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= _CRON_LENGTH else text[:_CRON_LENGTH] + "…")


def person(name: str) -> str:
    """Accept a person's name: letters of any script, digits, and what stands between them in names and accounts.

    However an editor or a terminal has put its letters and spaces together, it is one name. A backslash stands in the
    names of a Windows domain's accounts.
    """
    name = re.sub(" +", " ", unicodedata.normalize("NFC", name))
    if not re.fullmatch(r"\w[\w .@'\\-]*", name) or name != name.strip():
        raise ValueError(f"{_shown(name)} cannot be a person's name here; write it as it stands with decisions: ana")
    if name.casefold() == DAEMON:
        raise ValueError(f"'{name}' is the daemon itself, which needs no right: what it starts goes by responses")
    if name != EVERYBODY and name.casefold() == EVERYBODY:
        raise ValueError(f"'{name}' is nobody's name; write '{EVERYBODY}' for whoever reaches the daemon")
    return name


def index_text(value: object) -> object:
    """Accept a whole number for an index of one part; with dots between, quotes keep YAML from rounding it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def index(text: str) -> str:
    """Accept the index of a row of a MIB table, such as 1 or 1.1."""
    if not re.fullmatch(r"([0-9]{1,10}(\.[0-9]{1,10}){0,19})?", text):
        raise ValueError(f"{_shown(text)} is not an index; write numbers with dots between, in quotes: '1.1'")
    return text

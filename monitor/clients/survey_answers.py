"""Reading what a host's ``df``, ``systemctl show``, ``openssl x509``, ``date`` and ``chronyc`` print.

All of it is taken for hostile: what does not have exactly the form that the tool's manual gives raises GarbledReply.
Sources: df(1) with POSIX's -P, systemctl(1), openssl-x509(1), date(1), chronyc(1) with -c.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.errors import GarbledReply

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK_BYTES = 1024
WORD = re.compile(r"[a-z][a-z-]{0,39}")
DF_ROW = re.compile(r"\S.*? +([0-9]{1,18}|-) +([0-9]{1,18}|-) +(-?[0-9]{1,18}|-) +(?:[0-9]{1,3}%|-) +(/.*)")
SECONDS = re.compile(r"([0-9]{1,11})(?:\.([0-9]{9}))?(?:\.?%?N)?")
NOT_AFTER = re.compile(r"notAfter=([A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4} GMT)")
NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
TRACKING_FIELDS = 14


@dataclass(frozen=True, slots=True)
class Room:
    """A file system as ``df`` counts it, in bytes or inodes; ``mount`` is where it is mounted.

    ``total`` is what an ordinary user may use: used plus available, without what is reserved for root.
    """

    mount: str
    total: int
    available: int


@dataclass(frozen=True, slots=True)
class Unit:
    """The words that systemd has for a unit."""

    load: str
    active: str
    sub: str
    result: str


def disk(lines: Sequence[str]) -> Room:
    """Return what ``df -P -k`` said of one file system, in bytes."""
    room = inodes(lines)
    if room is None:
        raise GarbledReply("df gave no numbers")
    return Room(room.mount, room.total * BLOCK_BYTES, room.available * BLOCK_BYTES)


def inodes(lines: Sequence[str]) -> Room | None:
    """Return what ``df -P -i`` said; None for a file system that does not count inodes (btrfs, some network ones)."""
    found = DF_ROW.fullmatch(lines[-1]) if len(lines) > 1 and lines[-2].startswith("Filesystem") else None
    if found is None:
        raise GarbledReply("df did not print a file system")
    _size, used, available, mount = found.groups()
    if "-" in (used, available) or int(used) + max(0, int(available)) == 0:
        return None
    free = max(0, int(available))  # below zero: root has eaten into what is reserved
    return Room(mount, int(used) + free, free)


def unit(lines: Sequence[str]) -> Unit:
    """Return what ``systemctl show`` said."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, word = line.partition("=")
        if name in found or (word and not WORD.fullmatch(word)):
            raise GarbledReply("systemctl did not print a unit's state")
        found[name] = word
    try:
        return Unit(found["LoadState"], found["ActiveState"], found["SubState"], found.get("Result", ""))
    except KeyError as error:
        raise GarbledReply(f"systemctl did not print {error.args[0]}") from error


def certificate(lines: Sequence[str]) -> float:
    """Return when the certificate ends, in Unix seconds."""
    found = NOT_AFTER.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None:
        raise GarbledReply("openssl did not print when the certificate ends")
    try:
        return float(ssl.cert_time_to_seconds(found[1]))
    except ValueError as error:
        raise GarbledReply("openssl printed a date that does not exist") from error


def clock(lines: Sequence[str]) -> tuple[float, float]:
    """Return the host's time in Unix seconds and how far it may be off by rounding (a ``date`` without fractions)."""
    found = SECONDS.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None:
        raise GarbledReply("date did not print a time")
    if found[2] is None:
        return int(found[1]) + 0.5, 0.5
    return int(found[1]) + int(found[2]) / 1e9, 0.0


def synchronized(lines: Sequence[str]) -> bool:
    """Return whether ``chronyc -c tracking`` says that the clock follows a source."""
    fields = lines[0].split(",") if len(lines) == 1 else []
    if len(fields) != TRACKING_FIELDS or not fields[2].isdecimal():
        raise GarbledReply("chronyc did not print its tracking")
    return fields[-1] != "Not synchronised" and fields[2] != "0"


def seconds(text: str) -> float:
    """Return the one number that a lag command printed."""
    found = text[:100].strip()
    if not NUMBER.fullmatch(found) or len(text) > 100:  # noqa: PLR2004 - a number is shorter than that
        raise GarbledReply("the command did not print one number of seconds")
    return float(found)

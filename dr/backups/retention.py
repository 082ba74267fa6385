"""Which backups may go: pure, from the catalogue and the policy.

Never the newest proven one, never what is newer than it (the hope for a newer proof), never anything while no newest
proven one is there; nor the newest that was proven to a higher level, before less was required. Days, weeks and months
are of UTC: a night in which the clocks are turned makes no backup go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from dr.backups.catalog import LEVELS, Backup, newest_proven
from monitor.inventory.backups import Retention

AHEAD_S = 60.0  # a vault's clock may differ from ours by so much


def expendable(backups: Iterable[Backup], policy: Retention) -> list[Backup]:
    """Return the backups that the policy does not keep, oldest first."""
    kept = sorted((one for one in backups if one.removed_at is None), key=lambda one: one.taken_at, reverse=True)
    proven = newest_proven(kept)
    if proven is None:
        return []
    wanted = {one.id for one in kept if one.taken_at >= proven.taken_at} | {one.id for one in kept[: policy.newest]}
    higher = (newest_proven(kept, level) for level in LEVELS)
    wanted |= {one.id for one in higher if one is not None}
    for count, period in ((policy.days, _day), (policy.weeks, _week), (policy.months, _month)):
        wanted |= _last_of_each(kept, count, period)
    return sorted((one for one in kept if one.id not in wanted), key=lambda one: one.taken_at)


def doubt(backups: Iterable[Backup], now: float, max_age_s: float, vault_now: float) -> str:
    """Say why nothing may be removed now; empty when it may.

    A clock that jumped ahead, or a night in which no backup was taken, looks the same as a shelf full of old ones.
    """
    kept = [one for one in backups if one.removed_at is None]
    newest = max((one.taken_at for one in kept), default=None)
    if newest is None:
        return "the journal knows no backup"
    if abs(vault_now - now) > AHEAD_S:
        return f"our clock and the vault's differ by {abs(vault_now - now):.0f} s: one of them jumped"
    if now < newest - AHEAD_S:
        return f"the newest backup was taken {newest - now:.0f} s from now: the clock was set back"
    if now - newest > max_age_s:
        return f"the newest backup is {(now - newest) / 3600:.1f} h old: none is being taken, or the clock jumped ahead"
    return ""


def _last_of_each(newest_first: list[Backup], count: int, period: Callable[[datetime], tuple[int, ...]]) -> set[str]:
    """Return the newest backup of each of the last ``count`` periods that have one."""
    last: dict[tuple[int, ...], str] = {}
    for one in newest_first:
        key = period(datetime.fromtimestamp(one.taken_at, UTC))
        if key not in last and len(last) < count:
            last[key] = one.id
    return set(last.values())


def _day(at: datetime) -> tuple[int, ...]:
    return (at.year, at.month, at.day)


def _week(at: datetime) -> tuple[int, ...]:
    return tuple(at.isocalendar()[:2])


def _month(at: datetime) -> tuple[int, ...]:
    return (at.year, at.month)

"""Groups: of several things that stand in for one another, how many are up, and is that enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.inventory.planning import Group

LOST = "redundancy-lost"  # the same word as for a crossing
FEW = 3


def group(entry: Group, healths: Sequence[Health]) -> Judgement:
    """Judge a group by its members' ``healths``, in their order.

    DOWN only when it is known that fewer than needed are up; one that lost a member, but not more than it can, is
    DEGRADED.
    """
    named = list(zip(entry.members, healths, strict=True))
    down = [member for member, health in named if health is Health.DOWN]
    unknown = [member for member, health in named if health is Health.UNKNOWN]
    up = len(named) - len(down) - len(unknown)
    if up + len(unknown) < entry.need:
        return Judgement(Health.DOWN, f"{up} of {len(named)} are up, {entry.need} must be: {_list(down)} down")
    if up < entry.need:
        return Judgement(Health.UNKNOWN, f"{_list(unknown)} not known")
    if down:
        return Judgement(Health.DEGRADED, f"{up} of {len(named)} are up: {_list(down)} down", LOST)
    if unknown:
        return Judgement(Health.UNKNOWN, f"{_list(unknown)} not known")
    weak = [member for member, health in named if health is Health.DEGRADED]
    return Judgement(Health.OK, f"{_list(weak)} degraded" if weak else "")


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"

"""Deciding about a reload: whether runs under way allow it, which probes must be made anew, and how a refusal is told.

The daemon reads and applies; see docs/decisions/0016.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from console.files import Changes, Files, unusable
from dr.errors import RunRefused
from dr.journal.run import Run
from monitor.errors import InventoryError, KaraulaError
from monitor.inventory.model import Inventory
from monitor.targets import targets

WAIT_FOR_REQUEST_S = 10.0
REFUSED_ALARM = ("inventory-refused", "karaula/inventory")
UNUSABLE_ALARM = ("action-unusable", "karaula/actions")
UNTIL_RESTART = (
    "what `karaula serve` was started with (addresses, folders, shard, packages) changes with a restart only",
)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did. ``notes`` are sentences for whoever asked; ``loaded_at`` is Unix seconds."""

    loaded_at: float
    changes: Changes
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The newest reload that was refused and nobody has mended: when, and what was said."""

    at: float
    reason: str

    def sentence(self, loaded_at: float, zone: str) -> str:
        """Return one sentence for people who look at the daemon."""
        return (
            f"the changed configuration was refused at {_clock(self.at, zone)} ({self.reason}); "
            f"that of {_clock(loaded_at, zone)} goes on, and a restart without --last-good would fail until it is "
            "mended: karaula check"
        )


def against(runs: Iterable[Run], inventory: Inventory) -> None:
    """Raise RunRefused when a run that is not over yet moves what ``inventory`` has no more."""
    for run in runs:
        if run.state.final:
            continue
        system = inventory.systems.get(run.system)
        gone = f"no system '{run.system}'"
        if system is not None:
            lost = [site for site in (run.plan.from_site, run.plan.to_site) if site not in system.sites]
            if not lost:
                continue
            gone = f"system '{run.system}' no more at {lost[0]}"
        raise RunRefused(
            "reload",
            f"the changed inventory has {gone}, and run {run.id} of it is {run.state}; "
            "let it end, or deny or cancel it, and reload again",
        )


def stale_probes(before: Files, after: Files) -> frozenset[str]:
    """Return the kinds of probe to be made anew.

    All when the CA, the known hosts or the content of a credential changed: sessions were opened with the old one.
    Else those one of whose targets is gone or is asked something else, so that no session to it is kept.
    """
    old, new = targets(before.watched), targets(after.watched)
    if before.inventory.trust != after.inventory.trust or any(
        after.prints.get(name, print_) != print_ for name, print_ in before.prints.items()
    ):
        return frozenset(target.probe for target in (*old, *new))
    stays = {(target.subject, target.probe, target.params) for target in new}
    return frozenset(target.probe for target in old if (target.subject, target.probe, target.params) not in stays)


def tells_alike(before: Inventory, after: Inventory) -> bool:
    """Return whether people are told over the same channels as before."""
    return (before.notify, before.estate) == (after.notify, after.estate)


def told(runs: Iterable[Run], before: Files, after: Files) -> tuple[str, ...]:
    """Return what whoever asked for the reload should know besides the changes."""
    found = [
        f"run {run.id} is {run.state} and keeps the plan it began with; addresses and credentials it meets are the new"
        for run in runs
        if not run.state.final and before.inventory.systems.get(run.system) != after.inventory.systems[run.system]
    ]
    return (*found, *unusable(after), *UNTIL_RESTART)


def in_short(error: KaraulaError) -> str:
    """Return a refusal in one clause: the first mistake, and how many more there are."""
    if isinstance(error, InventoryError):
        more = len(error.problems) - 1
        return f"{error.problems[0]}" + (f", and {more} more mistake{'s' if more > 1 else ''}" if more else "")
    return error.reason if isinstance(error, RunRefused) else str(error)


def _clock(at: float, zone: str) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")

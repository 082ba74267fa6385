"""What a promotion would lose, as far as it is known: seen by the monitor before, measured by the run after its fence.

Pure. What is not known stays None and is said in words; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

from dr.journal.run import Run, StepState
from monitor.probe import Observation
from monitor.status.board import Evidence

MINUTE_S, HOUR_S = 60, 3600
ACTION = "recovery_point"


@dataclass(frozen=True, slots=True)
class Loss:
    """``seconds`` between the newest record that the standby has and the newest that clients were told is accepted.

    ``declarations`` are those between. None: not known. ``known`` says how it is known, or why it is not.
    """

    seconds: float | None
    declarations: int | None
    known: str

    def words(self) -> str:
        """Say the loss: ``12 min (at least 34 declarations)``."""
        count = "" if self.declarations is None else f" ({counted(self.declarations)})"
        return ("a time that is not known" if self.seconds is None else span(self.seconds)) + count


NOT_SEEN = Loss(None, None, "one of the two databases was not seen since Karaula started")


def counted(declarations: int) -> str:
    """Return ``1 declaration`` or ``3 declarations``."""
    return f"{declarations} declaration" + ("" if declarations == 1 else "s")


def span(seconds: float) -> str:
    """Return a length of time as people say it of a loss: in seconds, then in minutes."""
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h ({seconds / MINUTE_S:.0f} min)"


def seen(evidence: Evidence, standby: Observation | None, from_site: str) -> Loss:
    """Return what the monitor saw: the primary when it was last seen, and the standby's newest observation.

    What the primary accepted after it was last seen is not in it.
    """
    primary = evidence.primary
    counted_by = "record" if primary is not None and primary.by_record else "position"
    held = None if standby is None else standby.values.get(counted_by)
    if primary is None or primary.position is None or primary.site != from_site or held is None or standby is None:
        return NOT_SEEN
    missing = max(0, int(primary.position) - int(held))
    received_at = standby.values.get("received_at")
    behind_s: float | None = 0.0
    if missing:
        known = primary.received_at is not None and received_at is not None
        behind_s = max(0.0, (primary.received_at or 0.0) - (received_at or 0.0)) if known else None
    return Loss(
        behind_s,
        missing,
        f"when {from_site} was last seen it held {int(primary.position)}, the standby holds {int(held)}",
    )


def measured(run: Run) -> Loss | None:
    """Return what the run's own step has measured after the fence; None while there is no such measurement."""
    for record in run.steps.values():
        if record.plan.action != ACTION or record.state is not StepState.SUCCEEDED:
            continue
        lost, known = record.outputs.get("lost"), record.outputs.get("lost_known")
        seconds = record.outputs.get("rpa_s")
        named = f"step '{record.plan.id}'"
        if known == "unknown" or not isinstance(lost, int) or not isinstance(seconds, (int, float)):
            return Loss(None, None, f"{named} could not read what clients were told is accepted")
        if lost < 0:  # only time is known
            return Loss(float(seconds) if seconds >= 0 else None, None, f"{named} measured it ({known})")
        timed = lost == 0 or seconds > 0  # no time is known where only the old primary's position was
        return Loss(float(seconds) if timed else None, lost, f"{named} measured it ({known})")
    return None

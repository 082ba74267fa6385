"""What the safety rules of a run ask about, as it was observed: by the monitor, and at the fences by the runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dr.journal.run import Run, StepState
from monitor.inventory.recovery import SafetyRule, filled

SIDES = frozenset({"front", "database"})
TAKES = {"active": "yes", "primary": "yes", "standby": "no", "stopped": "no"}
Seen = Callable[[str], Mapping[str, str]]


def observed(
    rules: Mapping[str, SafetyRule], run: Run, runs: Iterable[Run], seen: Seen
) -> dict[str, Mapping[str, str]]:
    """Return status, role, fence and writable of every subject that a rule of ``run`` names, as far as known.

    ``seen(subject)`` is the monitor's word: ``status`` and, while it is heard, ``role``; ``powered_at`` (Unix seconds)
    where it has read outlets that are on. ``runs`` are the others.
    """
    plan = run.plan
    found: dict[str, Mapping[str, str]] = {}
    everything = (*runs, run)
    for rule in rules.values():
        for condition in rule.conditions[1] if rule.concerns(plan.kind, plan.system) else ():
            subject = filled(condition.subject, plan.system, plan.from_site, plan.to_site)
            if subject not in found:
                found[subject] = _of(subject, everything, seen)
    return found


def _of(subject: str, runs: Iterable[Run], seen: Seen) -> Mapping[str, str]:
    known = dict(seen(subject))
    powered_at = float(known.pop("powered_at", "-inf"))
    kind, _, rest = subject.partition("/")
    system, _, site = rest.partition("/")
    if kind not in SIDES:
        return known
    fence, proven_at = fenced(runs, system, site)
    if fence == "on" and powered_at > proven_at:
        fence = "off"  # somebody has given it power since, and asked no run
    if fence:
        known["fence"] = fence
    if fence == "on":  # whatever it said last, it has no power
        known["writable"] = "no"
        known["role"] = "stopped"
    elif known.get("role") in TAKES:
        known["writable"] = TAKES[known["role"]]
    return known


def fenced(runs: Iterable[Run], system: str, site: str) -> tuple[str, float]:
    """Return ``on`` or ``off``, and since when: what the newest step that touched the fence has proven.

    Empty: it is not known.
    """
    newest, state = float("-inf"), ""
    for run in runs:
        for record in run.steps.values() if run.system == system else ():
            for subject, field, value in record.plan.effects:
                if (subject, field) != (f"system/{system}/{site}", "fence") or record.started_at is None:
                    continue
                at = record.ended_at if record.ended_at is not None else record.started_at
                if at >= newest:
                    proven = record.state is StepState.SUCCEEDED
                    newest, state = at, value if proven else ""
    return state, newest

"""When a changed answer is believed, and when an old one is no longer.

Invariant: a subject is OK only while an OK judgement of it is at most ``stale_after_s`` old. Worse news is believed
after ``fail_after`` judgements in a row that are all worse (then the mildest of them), better news after
``recover_after`` in a row that are all better (then the worst of them); judgements without knowledge never make
anything better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from monitor.status.state import Health, Status

RANK = {Health.OK: 0, Health.DEGRADED: 1, Health.DOWN: 2}
KNOWN = frozenset(RANK)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one observation says by itself."""

    health: Health
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """``monitor.inventory.estate.Polling`` as far as it matters here."""

    fail_after: int
    recover_after: int
    stale_after_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What must be remembered of a subject between judgements.

    ``recent`` are the last judgements, oldest first. ``trusting`` accepts the first OK at once: nothing bad is
    remembered of the subject.
    """

    status: Status
    recent: tuple[Judgement, ...] = ()
    trusting: bool = True


def unseen(subject: str, now: float, reason: str = "not observed yet", *, trusting: bool = True) -> Memory:
    """Return the memory of a subject that has not been observed since ``now``."""
    return Memory(Status(subject, Health.UNKNOWN, reason, now, None), (), trusting)


def judged(memory: Memory, judgement: Judgement, at: float, rules: Rules) -> Memory:
    """Take in what was judged of an observation made at ``at`` (Unix seconds)."""
    status = memory.status
    recent = (*memory.recent, judgement)[-max(rules.fail_after, rules.recover_after) :]
    believed = judgement if judgement.health is status.health else _change(memory, recent, rules)
    if believed is not None:
        since = status.since if believed.health is status.health else at
        seen_at = at if judgement.health in KNOWN else status.seen_at
        status = Status(status.subject, believed.health, believed.reason, since, seen_at, believed.detail)
    elif status.health is not Health.OK and judgement.health in KNOWN:
        status = replace(status, seen_at=at)
    return Memory(status, recent, trusting=False)


def expired(memory: Memory, now: float, rules: Rules) -> Memory:
    """Return ``memory``, UNKNOWN when what it holds true was last confirmed more than ``stale_after_s`` ago.

    So far in the future is no better: then the machine's time was set back, and nobody knows how old it is.
    """
    status = memory.status
    if status.health is Health.UNKNOWN or status.seen_at is None or abs(now - status.seen_at) <= rules.stale_after_s:
        return memory
    reason = f"no answer since {clock_time(status.seen_at)}"
    if memory.recent and memory.recent[-1].health is not status.health:
        reason = (
            f"not {status.health} since {clock_time(status.seen_at)}: {memory.recent[-1].reason or 'answers differ'}"
        )
    return Memory(replace(status, health=Health.UNKNOWN, reason=reason, since=now, detail=""), (), trusting=False)


def clock_time(at: float) -> str:
    """Return Unix seconds as ``2026-11-24 03:36:39 UTC``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _change(memory: Memory, recent: tuple[Judgement, ...], rules: Rules) -> Judgement | None:
    """Return what is now believed instead of the present health; None when it is too early."""
    present = memory.status.health
    bad = recent[-rules.fail_after :] if len(recent) >= rules.fail_after else ()
    good = recent[-rules.recover_after :] if len(recent) >= rules.recover_after else ()
    if present is Health.UNKNOWN:
        return _from_unknown(memory, recent, bad, good)
    if bad and all(_worse(each, present) for each in bad):
        unknown = [each for each in bad if each.health is Health.UNKNOWN]
        return unknown[-1] if unknown else _pick(bad, mildest=True)
    if good and all(each.health in KNOWN and RANK[each.health] < RANK[present] for each in good):
        return _pick(good, mildest=False)
    return None


def _from_unknown(
    memory: Memory, recent: tuple[Judgement, ...], bad: tuple[Judgement, ...], good: tuple[Judgement, ...]
) -> Judgement | None:
    if memory.trusting and recent[-1].health is Health.OK:
        return recent[-1]
    if good and all(each.health in (Health.OK, Health.DEGRADED) for each in good):
        return _pick(good, mildest=False)
    if bad and all(each.health in (Health.DEGRADED, Health.DOWN) for each in bad):
        return _pick(bad, mildest=True)
    return None


def _worse(judgement: Judgement, present: Health) -> bool:
    return judgement.health is Health.UNKNOWN or RANK[judgement.health] > RANK[present]


def _pick(window: tuple[Judgement, ...], *, mildest: bool) -> Judgement:
    """Return the mildest or worst of the known judgements; of equals the latest."""
    choose = min if mildest else max
    rank = choose(RANK[each.health] for each in window)
    return next(each for each in reversed(window) if RANK[each.health] == rank)

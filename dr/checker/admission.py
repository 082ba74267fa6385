"""Circumstances in which a run must not begin, each held against the real guards (law 12).

The explored courses begin on a day on which nothing stands against the run; here every other day is asked about. The
approval is left out of the asking: it lets a run wait that no second person has looked at, and would hide that
the guard in question says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dr.checker.laws import Broken
from dr.guard import Facts, Guard, Ruling
from dr.journal.pause import Pause
from dr.journal.run import Run, RunState
from dr.lease import Tenancy
from dr.loss import Loss
from dr.playbook.model import MAY_LOSE, Plan
from dr.readiness.lights import ACCESS, Check, Light, Readiness
from dr.rights import Deed
from monitor.inventory.recovery import KINDS, Condition, Right, SafetyRule, Window
from monitor.status.votes import FEWEST, Poll, Vote, Word

DAY_S = 86400.0
APPROVAL = "approval"
ASKS, AGREES, OTHER = "ana", "vera", "boris"
AGREED = tuple(Vote(f"point-{n}", Word.DOWN, "the side", 0.0, "no answer") for n in range(FEWEST))
UNSATISFIED = SafetyRule(reason="a rule", only_while=(Condition(subject="site/dr", status="ok"),))
LEAP_DAY = Window(kinds=("backup", "verify", "drill"), cron="0 0 29 2 *", duration_s=60.0)


@dataclass(frozen=True, slots=True)
class Day:
    """What is so on that day, who asks, and what must not happen then."""

    origin: str
    facts: Facts
    words: str
    automatic: bool = False


def admission(run: Run, guards: Sequence[Guard]) -> Iterator[Broken]:
    """Yield the days on which all guards but the approval would let the accepted ``run`` begin, and must not."""
    for day in _days(run):
        lost = Poll(run.plan.from_site, FEWEST, AGREED)  # on a calm day every vantage point says so
        asked = [replace(run, origin=day.origin, requester="karaula", poll=lost, automatic=day.automatic)]
        if run.plan.attended and day.origin == "person":  # what holds for who asks holds once that is approved
            asked.append(replace(asked[0], requester=ASKS, approved_by=AGREES))
        for one in asked:
            verdicts = [guard(one, day.facts, None, DAY_S) for guard in guards]
            if all(verdict.ruling is Ruling.ALLOW for verdict in verdicts if verdict.guard != APPROVAL):
                yield Broken(12, f"a {run.plan.kind}{', once approved,' if one.approved_by else ''} begins {day.words}")
    yield from _without_right(run, guards)


def _without_right(run: Run, guards: Sequence[Guard]) -> Iterator[Broken]:
    """Let people ask for the run, approve it and accept its loss who have every right but that: some guard must object.

    To all kinds but this one, to all systems but this one, to do everything but this.
    """
    plan, kind = run.plan, run.plan.kind
    well = replace(run, origin="person", requester=ASKS, approved_by=AGREES if plan.attended else "")
    tried = [(replace(well, requester=OTHER), Deed.REQUEST, "asked for", 0.0)]
    if plan.attended:
        tried.append((replace(well, approved_by=OTHER), Deed.APPROVE, "approved", 0.0))
    if kind in MAY_LOSE:
        much = plan.rpo_s + 1.0
        lost = replace(well, loss_accepted_by=OTHER, loss_accepted_s=much)
        tried.append((lost, Deed.APPROVE, "over a loss accepted", much))
    asks, agrees = _right(ASKS, Deed.REQUEST, kind), _right(AGREES, Deed.APPROVE, kind)
    for asked, deed, words, lost_s in tried:
        for lack, right in _all_but(deed, kind, run.system):
            rights = {"other": right, "asks": asks, "agrees": agrees}
            calm = replace(_calm(plan), rights=rights, loss=Loss(lost_s, 1, "seen"))
            if all(guard(asked, calm, None, DAY_S).ruling is Ruling.ALLOW for guard in guards):
                yield Broken(12, f"a {kind} begins {words} by somebody whose right is to {lack}")


def _all_but(deed: Deed, kind: str, system: str) -> Iterator[tuple[str, Right]]:
    """Yield the greatest rights that do not let one do ``deed`` to such a run, with what they are to, in words."""
    every = Right(people=(OTHER,), may=tuple(each.value for each in Deed), kinds=KINDS)
    kinds = tuple(each for each in KINDS if each != kind)
    deeds = tuple(each.value for each in Deed if each is not deed)
    yield "anything but that", every.model_copy(update={"kinds": kinds})
    yield "those of other systems", every.model_copy(update={"systems": (f"other-than-{system}",)})
    yield f"do anything but {deed}", every.model_copy(update={"may": deeds})


def _right(who: str, deed: Deed, kind: str) -> Right:
    return Right(people=(who,), may=(deed.value,), kinds=(kind,))


def _calm(plan: Plan) -> Facts:
    return Facts((), (), {plan.system: plan.from_site}, loss=Loss(0.0, 0, "seen"), unverified="")


def _days(run: Run) -> Iterator[Day]:
    plan = run.plan
    calm = _calm(plan)
    pause = Pause(run.system, "vera", "works", 0.0, 2 * DAY_S)
    yield Day("schedule", replace(calm, pauses=(pause,)), "by itself while a pause is in force")
    yield Day("alarm", replace(calm, isolated="no anchor answers"), "by itself while the monitor is cut off")
    yield Day("person", replace(calm, tenancy=Tenancy(held=False, epoch=1, why="it has run out")), "without the lease")
    rules = replace(calm, rules={"one": UNSATISFIED})
    yield Day("person", rules, "against a safety rule, on what nobody has observed")
    if not plan.attended:
        closed = replace(calm, windows=(LEAP_DAY,))
        yield Day("person", closed, "outside of its window")
        if plan.kind == "drill":
            yield Day("person", replace(calm, readiness=_red(run)), "on a standby that is not ready for it")
        return
    yield Day("person", replace(calm, placement={run.system: plan.to_site}), "although the system is there already")
    yield Day(
        "alarm", replace(calm, unverified="nobody has proven it"), "by itself although its playbook was not proven"
    )
    ended = replace(run, id="before", state=RunState.SUCCEEDED, started_at=0.0, ended_at=DAY_S - 60.0)
    ended = replace(ended, plan=replace(plan, kind="failover"))
    yield Day("alarm", replace(calm, runs=(ended,)), "by itself a minute after a failover")
    if plan.kind == "failover":
        yield Day("alarm", replace(calm, readiness=_red(run)), "by itself to a side that is not ready", automatic=True)
        much = Loss(plan.rpo_s + 1.0, 1, "seen")
        yield Day("person", replace(calm, loss=much), "although it loses more than may be, accepted by nobody")


def _red(run: Run) -> Readiness:
    refused = Check(ACCESS, Light.RED, "the vCenter refuses the user")
    return Readiness(run.system, run.plan.to_site, DAY_S, (refused,))

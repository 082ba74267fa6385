"""Readiness: red where a drill stands, no drill is held; it never holds up what a person decides about production.

A drill that finds the standby without room, or a login refused, fails half-way and shows nothing that was not known. A
failover that begins by itself would fence the active side off first and find that out afterwards: while that is red, or
nobody knows, it waits for a person. A person's own failover, switchover, failback or reprotect goes on, and is told.
What is merely overdue or not proven holds up neither.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.override import READINESS
from dr.journal.run import Run
from dr.readiness.lights import NEEDED_ALONE, STOOD_ON, said

NAME = READINESS
ASKED = frozenset({"drill", "failover", "switchover", "failback", "reprotect"})


def readiness(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse a drill on a standby that is red; let an automatic failover to one wait for a person."""
    del step
    kind, found = run.plan.kind, facts.readiness
    if kind not in ASKED:
        return Verdict(NAME, Ruling.ALLOW, "not-asked", f"a {kind} does not go by it")
    if found is None:
        return Verdict(NAME, Ruling.ALLOW, "not-known", f"nobody has looked how ready {run.system} is")
    if kind == "drill" and (red := found.red(STOOD_ON)):
        return _no_drill(run, facts, f"a drill would stand on what is not ready at {found.site}: {said(red)}", now)
    if run.plan.attended and run.automatic and not run.approved_by and (doubts := found.uncertain(NEEDED_ALONE)):
        sentence = f"that {found.site} could take {run.system} is not certain: {said(doubts)}"
        return Verdict(NAME, Ruling.WAIT, "not-certain", f"{sentence}. It is prepared, and a person decides")
    sentence, reason = found.words(), found.total.value
    if found.amiss():
        sentence, reason = f"{sentence}. It holds up no {_what(run)}", f"{reason}-told"
    return Verdict(NAME, Ruling.ALLOW, reason, sentence)


def _no_drill(run: Run, facts: Facts, sentence: str, now: float) -> Verdict:
    override = facts.overridden(NAME, run, now)
    if override is not None:
        return Verdict(NAME, Ruling.ALLOW, "overridden", f"{sentence}. {override.words()}")
    way = f"'karaula override {NAME} {run.system} --for 1h --reason …', then ask again"
    aside = facts.left_aside(NAME, run, now)
    return Verdict(NAME, Ruling.REFUSE, "red", f"{sentence}. See to it first. If it must be now: {way}.{aside}")


def _what(run: Run) -> str:
    return "drill" if run.plan.kind == "drill" else f"{run.plan.kind} that a person decides"

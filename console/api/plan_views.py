"""The shapes of a plan, of what its run lets expect and of how ready its system is, that the HTTP API answers with."""

from __future__ import annotations

from collections.abc import Sequence

from console.api.views import StepView, VerdictView, View, step_view
from dr.evidence.render import expectation
from dr.forecast import ENOUGH, Forecast
from dr.guard import Verdict
from dr.journal.run import StepRecord
from dr.playbook.model import Plan
from dr.readiness.lights import Readiness


class ForecastView(View):
    """How long the machine needed in ``n`` past runs of the same steps, in seconds; null where they are too few.

    ``critical`` are the steps that decide it, in order.
    """

    n: int
    needed: int
    p50_s: float | None
    p90_s: float | None
    critical: list[str]
    sentence: str


class CheckView(View):
    """One check: its light (``green``, ``amber``, ``unknown``, ``red``) and why."""

    name: str
    light: str
    sentence: str


class ReadinessView(View):
    """How ready a system is for a recovery to ``site``, where it stands by; ``total`` is the worst of the checks."""

    system: str
    site: str
    at: float
    total: str
    checks: list[CheckView]


class AheadView(View):
    """What a step would meet now: ``met`` is a word of ``dr.engine.ahead.Met``."""

    step: str
    action: str
    site: str
    met: str
    sentence: str


class PlanView(View):
    """What a run would do and what the guards would say now."""

    playbook: str
    kind: str
    summary: str
    system: str
    from_site: str
    to_site: str
    rto_s: float
    rpo_s: float
    wish: str
    plan_hash: str
    steps: list[StepView]
    guards: list[VerdictView]
    expected: ForecastView
    readiness: ReadinessView | None


def plan_view(
    plan: Plan, verdicts: Sequence[Verdict], expected: Forecast, now: float, ready: Readiness | None
) -> PlanView:
    """Return the plan with the guards' present answers, what past runs let expect, and how ready the system is."""
    return PlanView(
        playbook=plan.playbook,
        kind=plan.kind,
        summary=plan.summary,
        system=plan.system,
        from_site=plan.from_site,
        to_site=plan.to_site,
        rto_s=plan.rto_s,
        rpo_s=plan.rpo_s,
        wish=plan.wished,
        plan_hash=plan.hash(),
        steps=[step_view(step, StepRecord(plan=step)) for step in plan.steps],
        guards=[
            VerdictView(
                guard=verdict.guard,
                ruling=verdict.ruling.value,
                reason=verdict.reason,
                sentence=verdict.sentence,
                step="",
                at=now,
            )
            for verdict in verdicts
        ],
        expected=forecast_view(expected),
        readiness=None if ready is None else readiness_view(ready),
    )


def forecast_view(expected: Forecast) -> ForecastView:
    """Return what past runs let expect."""
    return ForecastView(
        n=expected.n,
        needed=ENOUGH,
        p50_s=expected.p50_s,
        p90_s=expected.p90_s,
        critical=list(expected.critical),
        sentence=expectation(expected),
    )


def readiness_view(found: Readiness) -> ReadinessView:
    """Return how ready a system is."""
    checks = [CheckView(name=check.name, light=check.light, sentence=check.sentence) for check in found.checks]
    return ReadinessView(system=found.system, site=found.site, at=found.at, total=found.total, checks=checks)

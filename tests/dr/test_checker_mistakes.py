"""Mistakes planted in playbooks, guards and the engine: the checker finds every one, and none in what is shipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest
from checker_kit import (
    REAL,
    Seed,
    added,
    at_other_site,
    changed,
    deciding,
    every,
    found,
    is_found,
    no_guard,
    shipped,
    without,
)

from dr.checker.explore import shape
from dr.checker.moment import Engine
from dr.engine.transition import Intent, Perform, Probe, Record, Undo
from dr.guard import Facts, Ruling, Verdict
from dr.guards import GUARDS, RUN_GUARDS
from dr.guards.approval import approval
from dr.journal.event import (
    Event,
    Interrupted,
    RunEnded,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepSucceeded,
    StepUnknown,
)
from dr.journal.fold import fold
from dr.journal.run import Run, RunState, StepState

pytestmark = pytest.mark.proof
FENCE_OFF = (("system/ncts/main", "fence", "off"),)


def _soft_once_approved(name: str) -> Engine:
    """Return the engine one of whose guards has nothing against what a second person has approved."""
    real = GUARDS[name]

    def soft(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
        verdict = real(run, facts, step, now)
        return replace(verdict, ruling=Ruling.ALLOW) if run.approved_by and step is None else verdict

    return replace(REAL, run_guards=tuple(soft if guard is real else guard for guard in RUN_GUARDS))


def _in_place_of_waiting() -> Engine:
    """Return the engine whose guard of approvals refuses as ever, and lets begin what should wait."""

    def hasty(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
        verdict = approval(run, facts, step, now)
        return replace(verdict, ruling=Ruling.ALLOW) if verdict.ruling is Ruling.WAIT else verdict

    return replace(REAL, run_guards=tuple(hasty if guard is approval else guard for guard in RUN_GUARDS))


def _rights_of(asked_about: str) -> Engine:
    """Return the engine whose guard asks for the right of the ``approver``, or of the ``requester``, alone."""

    def half(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
        verdict = approval(run, facts, step, now)
        if verdict.ruling is not Ruling.REFUSE or verdict.reason == f"{asked_about}-may-not":
            return verdict
        return approval(run, replace(facts, rights={}), step, now)

    return replace(REAL, run_guards=tuple(half if guard is approval else guard for guard in RUN_GUARDS))


def _unknown_as(make: Callable[[StepUnknown], Event]) -> Engine:
    def folded(run: Run, event: Event) -> Run:
        return fold(run, make(event) if isinstance(event, StepUnknown) else event)

    return replace(REAL, fold=folded)


def _probed_as(answers: dict[str, str]) -> Engine:
    def folded(run: Run, event: Event) -> Run:
        if isinstance(event, StepProbed):
            event = replace(event, holds=answers.get(event.holds, event.holds))
        return fold(run, event)

    return replace(REAL, fold=folded)


def _after_a_crash(state: StepState) -> Engine:
    def folded(run: Run, event: Event) -> Run:
        under_way = [key for key, record in run.steps.items() if record.state is StepState.IN_PROGRESS]
        after = fold(run, event)
        if not isinstance(event, Interrupted):
            return after
        steps = {
            key: replace(record, state=state, outputs=MappingProxyType({"proof": "PROVEN"}))
            if key in under_way
            else record
            for key, record in after.steps.items()
        }
        return replace(after, steps=MappingProxyType(steps))

    return replace(REAL, fold=folded)


def _passes_over(run: Run, intents: tuple[Intent, ...], now: float) -> tuple[Intent, ...]:
    failed = [key for key, record in run.steps.items() if record.state.failed]
    if failed and run.state is RunState.IN_PROGRESS:
        return (Record(StepIgnored(now, failed[0], "karaula", "never mind")),)
    return intents


def _never_ends(_run: Run, intents: tuple[Intent, ...], _now: float) -> tuple[Intent, ...]:
    return tuple(each for each in intents if not (isinstance(each, Record) and isinstance(each.event, RunEnded)))


def _always_well(_run: Run, intents: tuple[Intent, ...], now: float) -> tuple[Intent, ...]:
    return tuple(
        Record(RunEnded(now, "SUCCEEDED", ""))
        if isinstance(each, Record) and isinstance(each.event, RunEnded)
        else each
        for each in intents
    )


def _no_probes(_run: Run, intents: tuple[Intent, ...], _now: float) -> tuple[Intent, ...]:
    return tuple(each for each in intents if not isinstance(each, Probe))


def _never_recovers(run: Run, intents: tuple[Intent, ...], _now: float) -> tuple[Intent, ...]:
    return () if run.state is RunState.INTERRUPTED else intents


def _impatient(run: Run, intents: tuple[Intent, ...], _now: float) -> tuple[Intent, ...]:
    """Begin whatever is queued, without regard to what it needs."""
    if run.state is not RunState.IN_PROGRESS:
        return intents
    queued = [key for key, record in run.steps.items() if record.state is StepState.QUEUED and not record.attempt]
    return (Perform(queued[-1], 1),) if queued else intents


def _once_more(run: Run, intents: tuple[Intent, ...], now: float) -> tuple[Intent, ...]:
    """Try a step again although nobody has asked whether it happened."""
    lost = [
        key for key, record in run.steps.items() if record.state is StepState.UNKNOWN and not record.plan.reads_only
    ]
    if lost and run.state in {RunState.IN_PROGRESS, RunState.CANCELING}:
        return (Record(StepProbed(now, lost[0], run.steps[lost[0]].attempt, "no", "not asked", {})),)
    return intents


def _undoes_beneath(run: Run, intents: tuple[Intent, ...], _now: float) -> tuple[Intent, ...]:
    """Go on undoing whatever became of the undo before."""
    steps = run.steps.items()
    left = [key for key, record in steps if record.state is StepState.SUCCEEDED and record.plan.undoable]
    stands = any(record.stands for _, record in steps) and not any(record.undoing for _, record in steps)
    moving = run.state in {RunState.IN_PROGRESS, RunState.CANCELING} and not run.finishing
    return (Undo(left[-1]),) if stands and moving and left else intents


def _succeeded(event: StepUnknown) -> StepSucceeded:
    return StepSucceeded(event.at, event.step, event.attempt, {"proof": "PROVEN"}, "", "")


def _failed(event: StepUnknown) -> StepFailed:
    return StepFailed(
        event.at, event.step, event.attempt, event.reason, timed_out=True, retry_helps=True, output_sha256=""
    )


def _drill() -> object:
    return shipped("drill")


NO_FENCING = no_guard("fencing")
UNDOES, UNDOES_BOOTS = (changed(step, on_failure="undo", retries=0) for step in ("content", "boots"))
SEEDS = (
    # -- a failover's playbook
    Seed("fence removed", "failover", {3}, (without("fence-old"),)),
    Seed("fence removed and its guard off", "failover", {2}, (without("fence-old"),), NO_FENCING),
    Seed(
        "fence after the promotion",
        "failover",
        {3},
        (changed("promote", needs=("machines",)), changed("fence-old", needs=("promote",))),
    ),
    Seed(
        "fence after the promotion, guard off",
        "failover",
        {2},
        (changed("promote", needs=("machines",)), changed("fence-old", needs=("promote",))),
        NO_FENCING,
    ),
    Seed(
        "promotion does not wait for the fence, guard off",
        "failover",
        {2},
        (changed("promote", needs=()), changed("loss", needs=())),
        NO_FENCING,
    ),
    Seed("fence at the wrong site", "failover", {2, 3}, (at_other_site("fence-old"),)),
    Seed("fence at the wrong site, guard off", "failover", {2, 3}, (at_other_site("fence-old"),), NO_FENCING),
    Seed(
        "a failed fence is passed over, guard off",
        "failover",
        {2},
        (changed("fence-old", on_failure="continue", retries=0),),
        NO_FENCING,
    ),
    Seed(
        "fence opened again before the promotion",
        "failover",
        {3},
        (
            added(
                "power", lambda: shipped("failback"), "open", ("fence-old",), "promote", site="main", effects=FENCE_OFF
            ),
        ),
    ),
    Seed(
        "fence opened again before the promotion, guard off",
        "failover",
        {2},
        (
            added(
                "power", lambda: shipped("failback"), "open", ("fence-old",), "promote", site="main", effects=FENCE_OFF
            ),
        ),
        NO_FENCING,
    ),
    Seed(
        "fence opened after the promotion",
        "failover",
        {1},
        (added("power", lambda: shipped("failback"), "open", ("promote",), "service", site="main", effects=FENCE_OFF),),
    ),
    Seed("fence declared to read only", "failover", {6}, (changed("fence-old", reads_only=True),)),
    Seed("promotion declared to read only", "failover", {6}, (changed("promote", reads_only=True),)),
    Seed("promotion missing", "failover", {7, 3}, (without("promote"),)),
    Seed("promotion of the wrong site", "failover", {2, 3, 7}, (at_other_site("promote"),)),
    Seed("promotion of the wrong site, guard off", "failover", {2}, (at_other_site("promote"),), NO_FENCING),
    Seed("a failed promotion is passed over", "failover", {7}, (changed("promote", on_failure="continue"),)),
    Seed("DNS before the promotion", "failover", {7}, (changed("names", needs=("fence-old",)),)),
    Seed("DNS waits for nothing", "failover", {7}, (changed("names", needs=()),)),
    Seed("DNS to the wrong site", "failover", {3}, (at_other_site("names"),)),
    Seed("DNS forgotten", "failover", {3}, (without("names"),)),
    Seed("DNS and its proof forgotten", "failover", {3}, (without("names", "service"),)),
    Seed(
        "DNS and its proof may fail",
        "failover",
        {3},
        (changed("names", on_failure="continue"), changed("service", on_failure="continue")),
    ),
    Seed(
        "the proof of service removed, DNS may fail",
        "failover",
        {3},
        (without("service"), changed("names", on_failure="continue")),
    ),
    Seed(
        "machines switched off instead of on",
        "failover",
        {3},
        (changed("machines", effects=(("system/ncts/dr", "power", "off"),)),),
    ),
    Seed("machines forgotten, which a standby may have off", "failover", {3}, (without("machines"),)),
    Seed("the loss is measured at the lost site", "failover", {3}, (at_other_site("loss"),)),
    # -- a failback's
    Seed("old side powered before its servers are held off", "failback", {1}, (without("no-web", "no-application"),)),
    Seed("power does not wait for the servers to be held off", "failback", {1}, (changed("power", needs=()),)),
    Seed(
        "servers that are not held off are passed over",
        "failback",
        {1},
        (changed("no-web", on_failure="continue"), changed("no-application", on_failure="continue")),
        REAL,
        2,
    ),
    Seed("old side does not follow before it serves", "failback", {1}, (without("follow"),)),
    Seed("old side serves before it follows", "failback", {1}, (changed("machines", needs=("database-machine",)),)),
    Seed("a failed follow is passed over", "failback", {1}, (changed("follow", on_failure="continue"),)),
    Seed("recovery side not fenced before the promotion", "failback", {3}, (without("fence-from"),)),
    Seed("recovery side not fenced, guard off", "failback", {2}, (without("fence-from"),), NO_FENCING),
    Seed("recovery side not drained", "failback", {1, 14}, (without("drain", "all-there"),)),
    Seed(
        "recovery side powered before the promotion",
        "failback",
        {3},
        (changed("recovery-power", needs=("fence-from",)), changed("promote", needs=("recovery-power",))),
    ),
    Seed("clients led home before there is a primary", "failback", {7}, (changed("names", needs=("fence-from",)),)),
    # -- a switchover's and a reprotect's
    Seed(
        "old side not drained, only fenced, and powered again", "switchover", {1, 14}, (without("drain", "all-there"),)
    ),
    Seed(
        "standby promoted before the old side is fenced",
        "switchover",
        {3},
        (changed("promote", needs=("all-there",)), changed("fence-from", needs=("promote",))),
    ),
    Seed(
        "old side powered again before the promotion",
        "switchover",
        {3},
        (changed("old-power", needs=("fence-from",)), changed("promote", needs=("old-power",))),
    ),
    Seed(
        "old side serves before it follows the active one",
        "reprotect",
        {1},
        (changed("machines", needs=("database-machine",)),),
    ),
    Seed("old side powered with its servers on", "reprotect", {1}, (without("no-web", "no-application"),)),
    Seed(
        "a reprotect leads clients to the old side",
        "reprotect",
        {3, 7},
        (added("names", lambda: shipped("failback"), "names", ("follow",), "machines"),),
    ),
    # -- what must leave production alone
    Seed("a drill's clones are not removed", "drill", {5, 3}, (without("remove"),)),
    Seed(
        "a drill's clean-up is an ordinary step",
        "drill",
        {5},
        (changed("remove", final=False, needs=("answers",)), changed("after", final=False)),
    ),
    Seed(
        "a drill promotes",
        "drill",
        {3},
        (added("promote", lambda: shipped("failover"), "promote", ("before",), "answers"),),
    ),
    Seed(
        "a drill fences production",
        "drill",
        {5},
        (added("fence-old", lambda: shipped("failover"), "fence", ("before",), "answers"),),
    ),
    Seed(
        "a drill moves the service's name",
        "drill",
        {5, 7},
        (added("names", lambda: shipped("failover"), "names", ("before",), "answers"),),
    ),
    Seed(
        "a drill switches production off",
        "drill",
        {5},
        (added("no-web", lambda: shipped("failback"), "off", ("before",), "answers"),),
    ),
    Seed("a verification starts what it has not restored", "verify", {3}, (without("restore"),)),
    Seed(
        "what can never succeed is passed over",
        "backup",
        {3},
        (added("boots", lambda: shipped("verify"), "boots", ("source",), "backup", on_failure="continue"),),
    ),
    Seed("a verification leaves its restore behind", "verify", {5}, (without("discard"),)),
    Seed(
        "a verification discards only when all went well",
        "verify",
        {5},
        (changed("discard", final=False, needs=("content",)),),
    ),
    # -- guards
    Seed("guard 'exclusive' off", "failover", {8}, (), no_guard("exclusive")),
    Seed("guard 'rpo' off", "failover", {11, 12}, (), no_guard("rpo")),
    Seed("guard 'blackout' off", "drill", {12}, (), no_guard("blackout")),
    Seed("guard 'readiness' off, a drill", "drill", {12}, (), no_guard("readiness")),
    Seed("guard 'readiness' off, a failover", "failover", {12}, (), no_guard("readiness")),
    Seed("guard 'verification' off", "failover", {12}, (), no_guard("verification")),
    Seed("guard 'paused' off", "backup", {12}, (), no_guard("paused")),
    Seed("guard 'isolated' off", "verify", {12}, (), no_guard("isolated")),
    Seed("guard 'lease' off", "reprotect", {12}, (), no_guard("lease")),
    Seed("guard 'safety' off", "failback", {12}, (), no_guard("safety")),
    Seed("guard 'safety' goes soft once approved", "switchover", {12}, (), _soft_once_approved("safety")),
    Seed("guard 'lease' goes soft once approved", "reprotect", {12}, (), _soft_once_approved("lease")),
    Seed("guard 'rpo' goes soft once approved", "failover", {12}, (), _soft_once_approved("rpo")),
    Seed("guard 'placement' off", "switchover", {12}, (), no_guard("placement")),
    Seed("the measured loss is not asked about", "failover", {11}, (), replace(REAL, step_guards=REAL.step_guards[:1])),
    Seed("guard 'approval' off", "failover", {9, 12}, (), no_guard("approval")),
    Seed("nobody's approval is waited for", "failover", {9}, (), _in_place_of_waiting()),
    Seed("a right to drills lets one ask for a failover", "failover", {12}, (), _rights_of("approver")),
    Seed("a right to drills lets one approve a failover", "failover", {12}, (), _rights_of("requester")),
    Seed("anybody may hold a drill", "drill", {12}, (), _rights_of("approver")),
    # -- the engine
    Seed("a time-out taken for success", "failover", {1, 2, 7}, (), _unknown_as(_succeeded)),
    Seed("a time-out taken for a failure", "failover", {6}, (), _unknown_as(_failed)),
    Seed("no answer to a look taken for 'no'", "failover", {6}, (), _probed_as({"cannot-tell": "no"}), 2),
    Seed("no answer to a look taken for 'yes'", "failover", {2, 7}, (), _probed_as({"cannot-tell": "yes"}), 2),
    Seed("a look is not believed", "failover", {6}, (), _probed_as({"yes": "no"})),
    Seed("a look is read upside down", "failover", {2, 6, 7}, (), _probed_as({"yes": "no", "no": "yes"})),
    Seed("tried again without a look", "failover", {6}, (), deciding(_once_more)),
    Seed("forgotten after a crash", "failover", {6}, (), _after_a_crash(StepState.QUEUED)),
    Seed("done after a crash", "failover", {2, 7}, (), _after_a_crash(StepState.SUCCEEDED)),
    Seed("every failure is passed over", "failover", {1, 2, 3, 7}, (), deciding(_passes_over)),
    Seed("a run never ends", "failover", {4}, (), deciding(_never_ends)),
    Seed("every end is called a success", "failover", {9}, (), deciding(_always_well)),
    Seed("nobody looks what became of a lost step", "failover", {4}, (), deciding(_no_probes)),
    Seed("a run is not taken up after a crash", "failover", {4}, (), deciding(_never_recovers)),
    Seed("steps do not wait for what they need", "failover", {7, 9}, (), deciding(_impatient)),
    Seed("undo goes beneath a failed undo", "verify", {13}, (UNDOES,), deciding(_undoes_beneath), 2),
    Seed("undo goes beneath what may have happened", "verify", {13}, (UNDOES_BOOTS,), deciding(_undoes_beneath), 2),
)


SHIPPED = ("backup", "verify", "drill", "switchover", "failover", "reprotect", "failback")


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_planted_mistake_is_found(seed: Seed, record_property: Callable[[str, object], None]) -> None:
    is_found(seed, record_property)


def test_the_corpus_is_large_enough() -> None:
    assert len({seed.name for seed in SEEDS}) == len(SEEDS) >= 40


@pytest.mark.parametrize("playbook", SHIPPED)
def test_what_is_shipped_has_none_of_them_with_one_fault(playbook: str) -> None:
    result = found(shipped(playbook), 1)
    assert result.proved, result.counterexample
    assert result.ends["SUCCEEDED"]


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("playbook", SHIPPED)
def test_what_is_shipped_is_proved_for_every_system_with_two_faults(
    playbook: str, record_property: Callable[[str, object], None]
) -> None:
    shapes = {shape(plan): plan for plan in every(playbook)}
    results = [found(plan, 2) for plan in shapes.values()]
    record_property(
        "counted", ("shipped playbooks proved with two faults", sum(each.proved for each in results), len(results))
    )
    assert all(each.proved for each in results), [each.counterexample for each in results]

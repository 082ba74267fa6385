"""What people may do to a run, state by state: taken, or refused with a sentence that says what can be done instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from engine_kit import FAILOVER, FENCE, ROLE, accepted, plan, step

from dr.engine import commands
from dr.engine.transition import Perform, Record, Undo, WakeAt, decide, gate
from dr.errors import IllegalEvent, RunRefused
from dr.guard import Ruling, Verdict
from dr.journal.event import (
    ApprovalAsked,
    Approved,
    CancelAsked,
    Denied,
    Event,
    Interrupted,
    Paused,
    Recovered,
    RetryAsked,
    RunEnded,
    RunStarted,
    StepFailed,
    StepIgnored,
    StepProbed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepUnknown,
)
from dr.journal.fold import fold
from dr.journal.run import Run, RunState
from dr.playbook.model import Plan

Command = Callable[[Run], Sequence[Event]]
COMMANDS: dict[str, Command] = {
    "approve": lambda run: commands.approve(run, "ana", "", "", 50.0),
    "deny": lambda run: commands.deny(run, "ana", "no", 50.0),
    "resume": lambda run: commands.resume(run, "ana", "go", 50.0),
    "retry": lambda run: commands.retry(run, "fence", "ana", "", 50.0),
    "ignore": lambda run: commands.ignore(run, "power", "ana", "it is on", 50.0),
    "cancel": lambda run: commands.cancel(run, "ana", "", 50.0),
    "pause": lambda run: commands.pause(run, "ana", "", 50.0),
    "answer": lambda run: commands.answer(run, "", "ana", "yes", "", 50.0),
    "undo": lambda run: commands.undo(run, "ana", "", 50.0),
    "withdraw": lambda run: commands.withdraw(run, "karaula", "it cleared", 50.0),
}
ALLOWED: dict[RunState, set[str]] = {
    RunState.ACCEPTED: {"cancel"},
    RunState.WAITING: {"approve", "deny", "cancel", "withdraw"},
    RunState.IN_PROGRESS: {"cancel", "pause"},
    RunState.PAUSED: {"resume", "retry", "ignore", "cancel"},
    RunState.CANCELING: set(),
    RunState.INTERRUPTED: set(),
    RunState.CANCELED: set(),
    RunState.FAILED: set(),
    RunState.SUCCEEDED: set(),
    RunState.SUCCEEDED_WITH_WARNINGS: set(),
}


def after(run: Run, *events: Event) -> Run:
    for event in events:
        run = fold(run, event)
    return run


def begun(the_plan: Plan = FAILOVER) -> Run:
    run, _ = accepted(the_plan)
    return after(
        run, ApprovalAsked(1.0, 100.0, run.plan_hash), Approved(2.0, "boris", "", run.plan_hash), RunStarted(3.0, 7)
    )


def failed(run: Run, name: str, at: float = 5.0) -> Run:
    attempt = run.steps[name].attempt + 1
    return after(run, StepStarted(4.0, name, attempt, "k", 7), StepFailed(at, name, attempt, "no", False, False, ""))


def done(run: Run, name: str, **outputs: str) -> Run:
    attempt = run.steps[name].attempt + 1
    return after(
        run, StepStarted(4.0, name, attempt, "k", 7), StepSucceeded(5.0, name, attempt, dict(outputs), "seen", "")
    )


def in_state(state: RunState) -> Run:
    run, _ = accepted(FAILOVER)
    waiting = after(run, ApprovalAsked(1.0, 100.0, run.plan_hash))
    paused = after(failed(failed(begun(), "fence"), "power"), Paused(6.0, "karaula", "no"))
    everything = done(begun(), "fence", proof="PROVEN")
    for name in ("power", "point", "promote", "dns"):
        everything = done(everything, name)
    ignored = after(failed(everything, "check"), StepIgnored(7.0, "check", "ana", "x"))
    return {
        RunState.ACCEPTED: run,
        RunState.WAITING: waiting,
        RunState.IN_PROGRESS: begun(),
        RunState.PAUSED: paused,
        RunState.CANCELING: after(paused, CancelAsked(7.0, "ana", "x")),
        RunState.INTERRUPTED: after(begun(), Interrupted(7.0)),
        RunState.CANCELED: after(run, RunEnded(7.0, "CANCELED", "x")),
        RunState.FAILED: after(paused, RunEnded(7.0, "FAILED", "x")),
        RunState.SUCCEEDED: after(done(everything, "check"), RunEnded(8.0, "SUCCEEDED", "")),
        RunState.SUCCEEDED_WITH_WARNINGS: after(ignored, RunEnded(8.0, "SUCCEEDED_WITH_WARNINGS", "check")),
    }[state]


@pytest.mark.parametrize("word", COMMANDS)
@pytest.mark.parametrize("state", list(RunState), ids=str)
def test_each_command_in_each_state(state: RunState, word: str) -> None:
    run = in_state(state)
    assert run.state is state
    if word in ALLOWED[state]:
        after(run, *COMMANDS[word](run))
    else:
        with pytest.raises(RunRefused, match=f"run ncts-test is {state}"):
            COMMANDS[word](run)


@pytest.mark.parametrize("state", [state for state in RunState if not state.final], ids=str)
def test_every_state_that_is_not_final_has_a_way_out(state: RunState) -> None:
    """By itself, by a step that ends, or by a person."""
    run = in_state(state)
    by_itself = any(not isinstance(intent, WakeAt) for intent in decide(run, 10.0))
    assert by_itself or ALLOWED[state]


@pytest.mark.parametrize("by", ["", "  ", "\t"])
@pytest.mark.parametrize("word", ["approve", "deny", "resume", "retry", "ignore", "cancel"])
def test_no_decision_without_a_name(word: str, by: str) -> None:
    waiting, paused = in_state(RunState.WAITING), in_state(RunState.PAUSED)
    decisions: dict[str, Callable[[], object]] = {
        "approve": lambda: commands.approve(waiting, by, "", "", 50.0),
        "deny": lambda: commands.deny(waiting, by, "x", 50.0),
        "resume": lambda: commands.resume(paused, by, "x", 50.0),
        "retry": lambda: commands.retry(paused, "fence", by, "x", 50.0),
        "ignore": lambda: commands.ignore(paused, "power", by, "x", 50.0),
        "cancel": lambda: commands.cancel(paused, by, "x", 50.0),
    }
    with pytest.raises(RunRefused, match="needs the name of the person"):
        decisions[word]()


@pytest.mark.parametrize("now", [100.0, 101.0, 1e9])
def test_no_approval_once_its_time_is_over(now: float) -> None:
    waiting = in_state(RunState.WAITING)
    assert commands.approve(waiting, "ana", "", "", 99.9)
    with pytest.raises(RunRefused, match="is over; look how things stand"):
        commands.approve(waiting, "ana", "", "", now)


@pytest.mark.parametrize("shown", ["1234567", "0" * 64, "g" * 8])
def test_an_approval_of_another_plan_is_refused(shown: str) -> None:
    waiting = in_state(RunState.WAITING)
    assert commands.approve(waiting, "ana", "", waiting.plan_hash[:8], 50.0)
    with pytest.raises(RunRefused, match="not the plan"):
        commands.approve(waiting, "ana", "", shown, 50.0)


@pytest.mark.parametrize(
    ("word", "name", "says"),
    [
        ("retry", "nobody", "has no step 'nobody'; its steps: fence, power"),
        ("retry", "promote", "step 'promote' is QUEUED; only a failed or unknown one"),
        ("ignore", "fence", "it cannot be passed over: retry it, or cancel"),
        ("ignore", "promote", "is QUEUED"),
    ],
)
def test_retry_and_ignore_need_a_step_in_trouble(word: str, name: str, says: str) -> None:
    paused = in_state(RunState.PAUSED)
    with pytest.raises(RunRefused, match=says):
        getattr(commands, word)(paused, name, "ana", "why", 50.0)


def test_passing_over_needs_a_reason() -> None:
    with pytest.raises(RunRefused, match="needs a reason"):
        commands.ignore(in_state(RunState.PAUSED), "power", "ana", "  ", 50.0)


def test_a_step_whose_outputs_are_needed_cannot_be_passed_over() -> None:
    """Else the rest of a hand-over would be left out, and the run end half way."""
    the_plan = plan(
        step("drain", effects=(("system/ncts/main", "role", "standby"),)),
        step("there", "drain", args={"deep": [{"position": "at ${steps.drain.position}"}]}),
    )
    run = after(failed(begun(the_plan), "drain"), Paused(6.0, "karaula", "no"))
    with pytest.raises(RunRefused, match="'there' works with what it yields; retry it, or cancel"):
        commands.ignore(run, "drain", "ana", "it is", 50.0)
    assert commands.retry(run, "drain", "ana", "", 50.0)


SERVICE = {"where": "service", "expect_role": "active"}
BUILT_UPON = {
    "promote": (
        plan(step("promote", effects=(ROLE,)), step("dns", "promote")),
        "what follows would lead clients to a side that is not active",
    ),
    "off": (
        plan(
            step("off", effects=(("system/ncts/main", "power", "web-off"),)),
            step("power", "off", effects=(("system/ncts/main", "fence", "off"),)),
        ),
        "step 'power' would bring it up beside the active side",
    ),
    "follow": (
        plan(
            step("follow", effects=(("system/ncts/main", "role", "standby"),)),
            step("look", "follow"),
            step("machines", "look", effects=(("system/ncts/main", "power", "on"),)),
        ),
        "step 'machines' would bring it up beside the active side",
    ),
}


@pytest.mark.parametrize("name", BUILT_UPON)
def test_what_did_not_happen_and_is_built_upon_cannot_be_passed_over(name: str) -> None:
    """Each of these would let two sites be active, or none; a person who looked may still say that it did happen."""
    the_plan, says = BUILT_UPON[name]
    run = after(failed(begun(the_plan), name), Paused(6.0, "karaula", "no"))
    with pytest.raises(RunRefused, match=says):
        commands.ignore(run, name, "ana", "never mind", 50.0)
    assert commands.retry(run, name, "ana", "", 50.0)
    assert commands.cancel(run, "ana", "", 50.0)
    lost = StepUnknown(5.0, name, 1, "?", True, "")
    stuck = after(
        begun(the_plan), StepStarted(4.0, name, 1, "k", 7), lost, StepProbed(7.0, name, 1, "cannot-tell", "?", {})
    )
    stuck = after(stuck, Paused(8.0, "karaula", "no"))
    assert commands.ignore(stuck, name, "ana", "it is so, I looked", 50.0)


def test_the_proof_that_clients_reach_the_promoted_side_cannot_be_passed_over() -> None:
    the_plan = plan(
        step("fence", effects=(FENCE,), site="main"),
        step("promote", "fence", effects=(ROLE,)),
        step("service", "promote", action="http_check", args=SERVICE),
    )
    run = after(
        begun(the_plan),
        StepStarted(4.0, "fence", 1, "k", 7),
        StepSucceeded(5.0, "fence", 1, {"proof": "PROVEN"}, "", ""),
        StepStarted(5.0, "promote", 1, "k", 7),
        StepSucceeded(6.0, "promote", 1, {}, "", ""),
    )
    run = after(failed(run, "service"), Paused(8.0, "karaula", "no"))
    with pytest.raises(RunRefused, match="without it no run is called a success"):
        commands.ignore(run, "service", "ana", "never mind", 50.0)
    assert commands.cancel(run, "ana", "", 50.0)


def test_a_step_that_is_still_being_probed_waits_for_the_answer() -> None:
    run = after(
        failed(begun(), "fence"), StepStarted(4.0, "power", 1, "k", 7), StepUnknown(5.0, "power", 1, "?", True, "")
    )
    run = after(run, Paused(6.0, "karaula", "no"))
    for command in (commands.retry, commands.ignore):
        with pytest.raises(RunRefused, match="just being asked"):
            command(run, "power", "ana", "why", 50.0)
    for event in (RetryAsked(7.0, "power", "ana", ""), StepIgnored(7.0, "power", "ana", "")):
        with pytest.raises(IllegalEvent, match="not probed yet"):
            fold(run, event)
    stuck = after(run, StepProbed(7.0, "power", 1, "cannot-tell", "?", {}))
    assert commands.retry(stuck, "power", "ana", "", 50.0)


# -- what the engine makes of it ---------------------------------------------------------------------------------------


def test_nothing_is_undone_beneath_a_promotion() -> None:
    """A playbook that wants it is refused; a plan that has it all the same asks a person."""
    the_plan = plan(
        step("fence", effects=(FENCE,), site="main"),
        step("power", effects=(("system/ncts/dr", "power", "on"),), undoable=True),
        step("promote", "fence", "power", effects=(ROLE,)),
        step("check", "promote", on_failure="undo"),
    )
    run = done(done(done(begun(the_plan), "fence", proof="PROVEN"), "power"), "promote")
    (intent,) = decide(failed(run, "check"), 10.0)
    assert isinstance(intent, Record)
    assert isinstance(intent.event, Paused)


def test_undo_goes_against_the_order_of_needs_however_the_file_is_ordered() -> None:
    the_plan = plan(
        step("roof", "walls", effects=(("r", "power", "on"),), undoable=True),
        step("walls", "ground", effects=(("w", "power", "on"),), undoable=True),
        step("shed", effects=(("s", "power", "on"),), undoable=True),
        step("ground", effects=(("g", "power", "on"),), undoable=True),
        step("paint", "roof", "shed", on_failure="undo"),
    )
    run = begun(the_plan)
    for name in ("ground", "walls", "roof", "shed"):
        run = done(run, name)
    run = failed(run, "paint")
    order = []
    while isinstance(intent := decide(run, 10.0)[0], Undo):
        order.append(intent.step)
        run = after(run, *_undone(intent.step))
    assert [name for name in order if name != "shed"] == ["roof", "walls", "ground"]
    assert len(order) == 4


def _undone(name: str) -> tuple[Event, ...]:
    from dr.journal.event import UndoStarted, UndoSucceeded  # noqa: PLC0415 - only here

    return UndoStarted(9.0, name, 7), UndoSucceeded(9.0, name)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(6.0, WakeAt(65.0)), (64.9, WakeAt(65.0)), *((now, Perform("write", 2)) for now in (65.0, 4.9, 1e9))],
)
def test_the_wait_for_a_retry_never_grows(now: float, expected: object) -> None:
    """A clock that was set back beneath the failure lets the retry begin at once."""
    the_plan = plan(step("write", effects=(("a", "backup", "written"),), retries=1, retry_wait_s=60.0), kind="backup")
    run, _ = accepted(the_plan)
    run = after(run, RunStarted(3.0, 7), StepStarted(4.0, "write", 1, "k", 7))
    run = after(run, StepFailed(5.0, "write", 1, "no", False, True, ""))
    assert decide(run, now) == (expected,)


def test_a_gate_that_stays_shut_while_the_run_is_canceled_leaves_the_step_out() -> None:
    run = after(begun(), CancelAsked(5.0, "ana", "x"))
    shut = Verdict("fencing", Ruling.REFUSE, "no-fence", "there is none")
    *_, last = gate(run, [shut], "fence", 6.0)
    assert isinstance(last, StepSkipped)
    assert isinstance(gate(begun(), [shut], "fence", 6.0)[-1], Paused)


def test_a_denial_ends_the_run_and_starts_nothing() -> None:
    run = after(in_state(RunState.WAITING), Denied(5.0, "ana", "no"))
    for _ in range(20):
        intents = decide(run, 10.0)
        assert all(isinstance(intent, Record) for intent in intents)
        run = after(run, *(intent.event for intent in intents[:1] if isinstance(intent, Record)))
        if run.state.final:
            break
    assert run.state is RunState.CANCELED


def test_an_interruption_of_an_interruption_goes_on() -> None:
    run = after(begun(), Interrupted(5.0))
    (intent,) = decide(run, 6.0)
    assert intent == Record(Recovered(6.0))
    with pytest.raises(IllegalEvent):
        fold(run, Interrupted(6.0))

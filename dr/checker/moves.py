"""What may happen next to a run: the engine's own next events, every outcome of a step under way, a crash, a person.

The events come from the real ``decide``, ``admit``, ``gate``, ``fold``, guards and commands; only the world is
played. Each *disturbance* costs one fault of the budget: a step that fails, times out (and happened, or did not), a
probe that cannot tell, a death of the orchestrator, a site that cannot be reached, a person who cancels in the middle.
What people do when they are asked (approve, deny, let the time run out, retry, resume, ignore, cancel) is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from dr.checker.deeds import Deed, Kind
from dr.checker.laws import Broken, beneath, effect
from dr.checker.looks import possible
from dr.checker.moment import Engine, Move, Node, after, by_network, then, unreachable
from dr.checker.story import told
from dr.engine import commands
from dr.engine.transition import (
    Admit,
    Perform,
    Probe,
    Record,
    Undo,
    WakeAt,
    admit,
    gate,
)
from dr.errors import RunRefused
from dr.guard import Facts, Guard, Ruling, Verdict
from dr.journal.event import (
    CancelAsked,
    Event,
    Interrupted,
    Scalar,
    StepFailed,
    StepProbed,
    StepStarted,
    StepSucceeded,
    StepUnknown,
    UndoFailed,
    UndoStarted,
    UndoSucceeded,
)
from dr.journal.override import FENCING, passes
from dr.journal.run import ACTIVE, Run, RunState, StepRecord, StepState
from dr.loss import ACTION as MEASURES
from dr.loss import Loss, measured

TOKEN = 2
APPROVAL_S = 3600.0
PERSON = "ana"
NO_LOSS = Loss(0.0, 0, "nothing is behind")


def moves(node: Node, engine: Engine) -> Iterator[Move]:
    """Yield everything that may happen next."""
    run = node.run
    if run.state.final:
        return
    moved = False
    for move in _engine(node, engine):
        moved = True
        yield move
    if run.state is RunState.WAITING and not moved:
        yield Move("nobody answers", node, (Broken(4, "nobody answers, and it waits for ever"),), Deed(Kind.TIME))
    for record in run.steps.values():
        if record.undoing:
            yield from _undone(node, engine, record)
        elif record.state is StepState.IN_PROGRESS and not record.plan.asks:
            yield from _outcomes(node, engine, record)
    yield from _people(node, engine)
    if node.left and run.state in ACTIVE:
        yield from _crash(node, engine)
        if run.state is RunState.IN_PROGRESS:
            asked = CancelAsked(node.now, PERSON, "changed her mind")
            deed = Deed(Kind.PERSON, "", "cancel")
            yield then(node, engine, f"{PERSON} cancels the run in the middle", [asked], cost=1, deed=deed)
            stopped = partial(commands.pause, run, PERSON, "wait", node.now)
            yield from _said(node, engine, f"{PERSON} pauses the run", stopped, "pause", cost=1)


# -- the engine ----------------------------------------------------------------------------------------------------


def _engine(node: Node, engine: Engine) -> Iterator[Move]:
    """Yield the runner's next move: the first intent that changes something, as the runner carries them out."""
    run, now = node.run, node.now
    wakes = []
    for intent in engine.decide(run, now):
        match intent:
            case Record(event):
                yield then(node, engine, told(event), [event])
                return
            case Admit():
                verdicts = _judged(node, engine, engine.run_guards, None)
                yield then(node, engine, "the guards are asked", admit(run, verdicts, TOKEN, now, APPROVAL_S))
                return
            case Perform(step, attempt):
                yield _begun(node, engine, step, attempt)
                return
            case Probe(step, _):
                yield from _probed(node, engine, run.steps[step])
            case Undo(step):
                begun = then(node, engine, f"undoing '{step}' begins", [UndoStarted(now, step, run.token)])
                yield replace(begun, broken=tuple(beneath(run, step)))
                return
            case WakeAt(at):
                wakes.append(at)
    if wakes and not _busy(run):
        words = "nobody answers in time" if run.state is RunState.WAITING else "time passes"
        yield Move(words, replace(node, now=min(wakes)), (), Deed(Kind.TIME))


def _begun(node: Node, engine: Engine, step: str, attempt: int) -> Move:
    run, now = node.run, node.now
    verdicts = _judged(node, engine, engine.step_guards, step)
    ruled = gate(run, verdicts, step, now)
    if any(verdict.ruling is not Ruling.ALLOW for verdict in verdicts):
        refused = next(verdict for verdict in verdicts if verdict.ruling is not Ruling.ALLOW)
        return then(
            node, engine, f"guard '{refused.guard}' keeps step '{step}' from beginning: {refused.sentence}", ruled
        )
    started = StepStarted(now, step, attempt, f"{run.id}/{step}", run.token)
    return then(node, engine, f"step '{step}' begins (attempt {attempt})", [*ruled, started])


def _judged(node: Node, engine: Engine, guards: Sequence[Guard], step: str | None) -> list[Verdict]:
    run = node.run
    where = {run.system: run.plan.from_site}
    facts = Facts(
        (), (), where, overrides=engine.overrides, unverified="", loss=NO_LOSS
    )  # else nothing would begin by itself
    return [guard(run, facts, step, node.now) for guard in guards]


# -- the world ------------------------------------------------------------------------------------------------------


def _outcomes(node: Node, engine: Engine, record: StepRecord) -> Iterator[Move]:
    """Yield every way in which an attempt can end."""
    step, attempt, now = record.plan, record.attempt, node.now
    name = f"step '{step.id}'"
    failed = StepFailed(now, step.id, attempt, "it failed", timed_out=False, retry_helps=True, output_sha256="")
    lost = StepUnknown(now, step.id, attempt, "no answer in time", timed_out=True, output_sha256="")
    unreached = unreachable(node, step)
    if unreached or not possible(node.world, node.run.plan, step):
        why = f"{step.site} cannot be reached" if unreached else "the world is not so"
        kind = Kind.FAILS if unreached else Kind.ACTS
        yield then(node, engine, f"{name} fails: {why}", [failed], deed=Deed(kind, step.id))
        if node.left and unreached and not step.reads_only:
            silent = Deed(Kind.SILENT, step.id)
            yield then(node, engine, f"{name} gets no answer: {why}", [lost], cost=1, deed=silent)
        return
    succeeded = StepSucceeded(now, step.id, attempt, node.outputs[step.id], "", "")
    yield _happened(node, engine, f"{name} succeeds", record, succeeded, kind=Kind.ACTS)
    if not node.left:
        return
    if step.action == MEASURES:
        much: dict[str, Scalar] = {"lost": 1, "lost_known": "exact", "rpa_s": node.run.plan.rpo_s + 1.0}
        lossy, words = replace(succeeded, outputs=much), f"{name} finds that more is lost than may be"
        yield _happened(node, engine, words, record, lossy, cost=1, kind=Kind.ACTS)
    yield then(node, engine, f"{name} fails", [failed], cost=1, deed=Deed(Kind.FAILS, step.id))
    if step.reads_only:
        return
    silent = Deed(Kind.SILENT, step.id)
    yield then(node, engine, f"{name} gets no answer; it did not happen", [lost], cost=1, deed=silent)
    yield _happened(node, engine, f"{name} gets no answer; it did happen", record, lost, cost=1, kind=Kind.REPLY_LOST)
    if by_network(step):
        gone = replace(node, cut=node.cut | {step.site})
        fails = Deed(Kind.FAILS, step.id)
        yield then(gone, engine, f"{step.site} is cut off; {name} fails", [failed], cost=1, deed=fails)
        words = f"{step.site} is cut off just after {name} happened"
        yield _happened(gone, engine, words, record, lost, cost=1, kind=Kind.REPLY_LOST)


def _happened(
    node: Node, engine: Engine, words: str, record: StepRecord, event: Event, *, cost: int = 0, kind: Kind
) -> Move:
    """Let the effect come about; ``event`` is what the journal learns of it."""
    step = record.plan
    broken = tuple(effect(node.run, step, node.world, forced=step.id in node.forced)) if step.effects else ()
    world = (node.world.apply(step) if step.effects else node.world).ended(step, node.run.plan)
    moved = after(replace(node, world=world), engine, [event], cost=cost)
    return Move(words, moved, broken, Deed(kind, step.id))


def _probed(node: Node, engine: Engine, record: StepRecord) -> Iterator[Move]:
    """Yield what looking at the world may find: the truth, or nothing."""
    step, now = record.plan, node.now
    if not unreachable(node, step):
        holds = node.world.holds(step)
        outputs = node.outputs[step.id] if holds else {}
        said = StepProbed(now, step.id, record.attempt, "yes" if holds else "no", "looked", outputs)
        words = f"a look shows that '{step.id}' {'did' if holds else 'did not'} happen"
        yield then(node, engine, words, [said], deed=Deed(Kind.LOOKS, step.id))
        if node.left:
            yield _blind(node, engine, record, 1)
    else:
        yield _blind(node, engine, record, 0)


def _blind(node: Node, engine: Engine, record: StepRecord, cost: int) -> Move:
    said = StepProbed(node.now, record.plan.id, record.attempt, "cannot-tell", "no answer", {})
    words = f"a look cannot tell whether '{record.plan.id}' happened"
    return then(node, engine, words, [said], cost=cost, deed=Deed(Kind.BLIND, record.plan.id))


def _undone(node: Node, engine: Engine, record: StepRecord) -> Iterator[Move]:
    step, now = record.plan, node.now
    failed, stays = [UndoFailed(now, step.id, "it failed")], Deed(Kind.UNDO_FAILS, step.id)
    if unreachable(node, step):
        yield then(node, engine, f"'{step.id}' cannot be undone: {step.site} cannot be reached", failed, deed=stays)
        return
    back = replace(node, world=node.world.undo(step))
    yield then(back, engine, f"'{step.id}' is undone", [UndoSucceeded(now, step.id)], deed=Deed(Kind.UNDOES, step.id))
    if not node.left:
        return
    yield then(node, engine, f"'{step.id}' cannot be undone", failed, cost=1, deed=stays)
    words = f"'{step.id}' is undone, and no answer says so"
    yield then(back, engine, words, failed, cost=1, deed=Deed(Kind.UNDO_LOST, step.id))
    if by_network(step):
        gone = replace(node, cut=node.cut | {step.site})
        yield then(gone, engine, f"{step.site} is cut off; '{step.id}' cannot be undone", failed, cost=1, deed=stays)


def _crash(node: Node, engine: Engine) -> Iterator[Move]:
    """Let the orchestrator die and come back; each effect under way came about or did not."""
    under_way = [
        record for record in node.run.steps.values() if record.state is StepState.IN_PROGRESS or record.undoing
    ]
    able = [record for record in under_way if record.plan.effects and not unreachable(node, record.plan)]
    for came in product((False, True), repeat=len(able)):
        world, words = node.world, []
        broken: list[Broken] = []
        for record, yes in zip(able, came, strict=True):
            step = record.plan
            if yes and record.undoing:
                world = world.undo(step)
            elif yes:
                broken += effect(node.run, step, world, forced=step.id in node.forced)
                world = world.apply(step).ended(step, node.run.plan)
            words.append(f"'{step.id}' {'did' if yes else 'did not'} happen")
        told = "the orchestrator dies and is started again" + (f"; {', '.join(words)}" if words else "")
        moved = after(replace(node, world=world), engine, [Interrupted(node.now)], cost=1)
        happened = " ".join(record.plan.id for record, yes in zip(able, came, strict=True) if yes)
        yield Move(told, moved, tuple(broken), Deed(Kind.DIES, " ".join(each.plan.id for each in under_way), happened))


# -- people ------------------------------------------------------------------------------------------------------------


def _people(node: Node, engine: Engine) -> Iterator[Move]:
    """Yield what a person who is asked may answer; refused commands change nothing."""
    run, now = node.run, node.now
    if run.state is RunState.WAITING:
        for by in (PERSON, run.requester):  # who asked for it is refused
            agreed = replace(node, agreed=True)
            approve = partial(commands.approve, run, by, "", run.plan_hash, now)
            yield from _said(agreed, engine, f"{by} approves", approve, "approve")
        yield from _said(node, engine, f"{PERSON} says no", lambda: commands.deny(run, PERSON, "no", now), "deny")
    yield from _answers(node, engine)
    if run.state is not RunState.PAUSED or _busy(run):
        return
    if node.cut:
        yield Move(f"{' and '.join(sorted(node.cut))} can be reached again", replace(node, cut=frozenset()))
    accept = partial(commands.accept_loss, run, PERSON, "it must be", None, 0.0, now)
    if (loss := measured(run)) is not None and run.loss_accepted_s < (loss.seconds or 0.0):
        yield from _said(node, engine, f"{PERSON} accepts the loss", accept, "accept-loss")
    yield from _said(node, engine, f"{PERSON} resumes", lambda: commands.resume(run, PERSON, "", now), "resume")
    cancel, undo = (partial(each, run, PERSON, "enough", now) for each in (commands.cancel, commands.undo))
    yield from _said(node, engine, f"{PERSON} cancels", cancel, "cancel")
    yield from _said(node, engine, f"{PERSON} takes it back", undo, "undo")
    for step, record in run.steps.items():
        if not (record.state.failed or record.stands):
            continue
        forcing = replace(node, forced=node.forced | {step}) if record.stuck else node
        retry = partial(commands.retry, run, step, PERSON, "I looked", now)
        yield from _said(forcing, engine, f"{PERSON} retries '{step}'", retry, "retry", step)
        if not record.stuck or node.world.holds(record.plan):  # she looks first, as the sentence asks her to
            unfenced = passes(engine.overrides, FENCING, run, now, lambda _who: True)
            ignore = partial(commands.ignore, run, step, PERSON, "I looked", now, unfenced)
            yield from _said(node, engine, f"{PERSON} passes over '{step}'", ignore, "ignore", step)


def _answers(node: Node, engine: Engine) -> Iterator[Move]:
    """Yield every answer to every question that is asked; that nobody answers is the passing of time."""
    for step, record in node.run.steps.items():
        if not record.plan.asks or record.state is not StepState.IN_PROGRESS or record.answered_by:
            continue
        for choice in record.plan.args.get("choices", ()):
            answered = partial(commands.answer, node.run, step, PERSON, str(choice), "", node.now)
            yield from _said(node, engine, f"{PERSON} answers '{choice}' to '{step}'", answered, str(choice), step)


def _busy(run: Run) -> bool:
    """Tell whether an action is under way; a question is none."""
    return any(each.state is StepState.IN_PROGRESS and not each.plan.asks for each in run.steps.values())


def _said(
    node: Node,
    engine: Engine,
    words: str,
    command: Callable[[], Sequence[Event]],
    decision: str,
    step: str = "",
    *,
    cost: int = 0,
) -> Iterator[Move]:
    try:
        events = command()
    except RunRefused:
        return
    yield then(node, engine, words, events, cost=cost, deed=Deed(Kind.PERSON, step, decision))

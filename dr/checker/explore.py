"""Every course a run can take with at most k disturbances, each moment once: breadth first, equal moments merged.

Two moments are equal when nothing that ``decide``, a guard, a command or a law looks at tells them apart: times and
texts do not, the order in which fences were opened and closed does. What is found holds for the declared effects under
the stated bound, and says nothing beyond that. The shortest course to a broken law is the counterexample.
"""

from __future__ import annotations

import gc
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from dr.checker.admission import admission
from dr.checker.deeds import BY_ITSELF, Deed
from dr.checker.laws import Broken, allowed, moment
from dr.checker.moment import Engine, Move, Node, outputs_of
from dr.checker.moves import moves
from dr.checker.world import first_world
from dr.errors import IllegalEvent
from dr.guard import Facts, Ruling
from dr.journal.event import RunAccepted, Scalar, VotesHeard
from dr.journal.fold import begin, fold
from dr.journal.run import Run, RunState, StepRecord, StepState
from dr.playbook.model import Plan

REQUESTER = "karaula"
PROGRESS_EVERY = 2000
KEPT_KEYS = 50_000
STANDS = frozenset({RunState.PAUSED, RunState.FAILED, RunState.SUCCEEDED_WITH_WARNINGS})
STATES = {state: number for number, state in enumerate(StepState)}


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A course that breaks a law: what happened, in order, and what is wrong at its end."""

    law: int
    wrong: str
    course: tuple[str, ...]
    deeds: tuple[Deed, ...] = ()


@dataclass(slots=True)
class Result:
    """What exploring one plan has found. ``proved`` only when nothing was broken and nothing was left out."""

    plan: Plan
    faults: int
    moments: int = 0
    moves: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    counterexample: Counterexample | None = None
    complete: bool = True

    @property
    def proved(self) -> bool:
        """Tell whether every law holds in every course."""
        return self.complete and self.counterexample is None


def explore(
    plan: Plan,
    faults: int,
    engine: Engine,
    *,
    most: int = 5_000_000,
    progress: Callable[[int], None] = lambda _moments: None,
) -> Result:
    """Explore every course of ``plan`` with at most ``faults`` disturbances, at most ``most`` moments.

    Meanwhile no garbage is collected in this process: moments hold no cycles, and walking over them all again and again
    was a third of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return _Search(plan, faults, engine, most, progress).run()
    finally:
        if collects:
            gc.enable()


class _Search:
    def __init__(self, plan: Plan, faults: int, engine: Engine, most: int, progress: Callable[[int], None]) -> None:
        self.engine = engine
        self.most = most
        self.progress = progress
        self.keys = Keys(plan)
        self.result = Result(plan, faults)
        second = RunAccepted(1.0, plan.to_json(), "bojan", "a second run", "person", "", 0.0, 0.0)
        self.newcomer = begin("second", second)
        world, outputs = first_world(plan), outputs_of(plan)
        self.firsts = [(words, Node(run, world, 0.0, faults, outputs)) for words, run in beginnings(plan)]
        self.came: dict[bytes, tuple[bytes | None, str, Deed]] = {}
        self.leads: dict[bytes, list[bytes]] = {}  # backwards: who leads here
        self.good: list[bytes] = []
        self.unhurt = False
        self.stuck_at: bytes | None = None  # where a run without any disturbance first stands still, or ends badly

    def run(self) -> Result:
        queue: deque[tuple[bytes, Node]] = deque()
        for words, node in self.firsts:
            key = self.keys.of(node)
            self.came[key] = (None, words, BY_ITSELF)
            queue.append((key, node))
        while queue and self.result.counterexample is None:
            key, node = queue.popleft()
            self.result.moments += 1
            if self.result.moments % PROGRESS_EVERY == 0:
                self.progress(self.result.moments)
            if self.result.moments > self.most:
                self.result.complete = False
                return self.result
            self._visit(key, node, queue)
        if self.result.counterexample is None:
            self._ways_out()
        if self.result.counterexample is None and not self.unhurt:
            self._not_even_undisturbed()
        return self.result

    def _visit(self, key: bytes, node: Node, queue: deque[tuple[bytes, Node]]) -> None:
        run = node.run
        if self.stuck_at is None and node.left == self.result.faults and run.state in STANDS:
            self.stuck_at = key
        first = admission(run, self.engine.run_guards) if run.state is RunState.ACCEPTED and run.seq == 1 else ()
        for broken in (*moment(run, node.world), *unasked(node), *self._second(run), *first):
            self._found(key, broken)
            return
        if run.state.final:
            self.good.append(key)
            self.result.ends[run.state.value] = self.result.ends.get(run.state.value, 0) + 1
            self.unhurt |= node.left == self.result.faults and run.state is RunState.SUCCEEDED
            return
        try:
            self._follow(key, node, queue)
        except IllegalEvent as error:
            self._found(key, Broken(9, str(error)))

    def _follow(self, key: bytes, node: Node, queue: deque[tuple[bytes, Node]]) -> None:
        for move in moves(node, self.engine):
            self.result.moves += 1
            if move.broken:
                self._found(key, move.broken[0], move)
                return
            after = self.keys.of(move.node)
            self.leads.setdefault(after, []).append(key)
            if after not in self.came:
                self.came[after] = (key, move.words, move.deed)
                queue.append((after, move.node))

    def _second(self, run: Run) -> Iterator[Broken]:
        """Let a second operator ask for the same system meanwhile: some guard must refuse."""
        if run.state.final or run.state is RunState.ACCEPTED:
            return
        facts = Facts((run,), (), {run.system: run.plan.from_site})
        if all(guard(self.newcomer, facts, None, 1.0).ruling is not Ruling.REFUSE for guard in self.engine.run_guards):
            yield Broken(8, f"a second run of {run.system} is let in while this one is {run.state}")

    def _found(self, key: bytes, broken: Broken, last: Move | None = None) -> None:
        course = [(last.words, last.deed)] if last is not None else []
        at: bytes | None = key
        while at is not None:
            at, words, deed = self.came[at]
            if words:
                course.append((words, deed))
        course.reverse()
        told, deeds = tuple(words for words, _ in course), tuple(deed for _, deed in course)
        self.result.counterexample = Counterexample(broken.law, broken.words, told, deeds)

    def _not_even_undisturbed(self) -> None:
        """Tell how far a run comes in which nothing goes wrong. Its deeds are nobody's: it is played as it goes."""
        wrong = "without any disturbance the run does not succeed"
        course: tuple[str, ...] = ()
        if self.stuck_at is not None:
            self._found(self.stuck_at, Broken(3, wrong))
            course = self.result.counterexample.course if self.result.counterexample is not None else ()
        self.result.counterexample = Counterexample(3, wrong, course)

    def _ways_out(self) -> None:
        """Walk back from every end; a moment that is not reached has no way out (law 4)."""
        reached = set(self.good)
        stack = list(self.good)
        while stack:
            for before in self.leads.get(stack.pop(), ()):
                if before not in reached:
                    reached.add(before)
                    stack.append(before)
        for key in self.came:
            if key not in reached:
                self._found(key, Broken(4, "from here the run can never end, whatever anybody does"))
                return


def unasked(node: Node) -> Iterator[Broken]:
    """Ask whether somebody has truly approved what the journal takes for approved."""
    run = node.run
    if run.started_at is not None and run.approved_by and not node.agreed:
        yield Broken(10, f"the {run.plan.kind} begins, and what it takes for an approval was none")


def beginnings(plan: Plan) -> Iterator[tuple[str, Run]]:
    """Yield every way in which a run is asked for: by a person, and a failover by an alarm, whoever sees what."""
    accepted = RunAccepted(0.0, plan.to_json(), REQUESTER, "proof", "person", "", 0.0, 0.0)
    yield "", begin("proof", accepted)
    if plan.kind != "failover":
        return
    by_alarm = begin("proof", replace(accepted, origin="alarm", automatic=True))
    yield "an alarm asks for it, and no vantage point was heard", by_alarm
    for words in (["down", "down"], ["down", "unknown"], ["down", "down", "up"]):
        votes: dict[str, dict[str, Scalar]] = {
            f"point-{number}": {"word": word, "looks_at": "", "age_s": 0.0, "reason": ""}
            for number, word in enumerate(words, 1)
        }
        told = f"an alarm asks for it; the vantage points say {', '.join(words)}"
        yield told, fold(by_alarm, VotesHeard(0.0, plan.from_site, 2, votes))


def shape(plan: Plan) -> str:
    """Return the plan without what tells one system or site from another: plans of one shape have one proof."""
    body = plan.to_json()
    text = json.dumps([body["kind"], body["steps"]], sort_keys=True)
    names = {plan.system: "SYSTEM", plan.from_site: "FROM", plan.to_site: "TO"}
    return re.sub(r"[A-Za-z0-9-]+", lambda word: names.get(word[0], word[0]), text)


class Keys:
    """What tells the moments of one plan's runs from others: 16 bytes of a hash each, for there are very many.

    What tells a step's state is worked out once a record, for moments that follow one another share most of them. A
    record is kept with that, so that its place in memory is nobody else's while it is looked up by it.
    """

    def __init__(self, plan: Plan) -> None:
        """Know the steps that open or close a fence, and nothing else."""
        self._fences = tuple(step.id for step in plan.steps if step.touches_fence)
        self._kept: dict[int, tuple[StepRecord, int | tuple[int, str]]] = {}

    def of(self, node: Node) -> bytes:
        """Return what tells this moment from others."""
        run = node.run
        records = [run.steps[name] for name in self._fences]
        fences = sorted((each.started_seq, each.plan.id) for each in records if each.attempt)
        late = run.approval_expires_at is not None and node.now >= run.approval_expires_at
        about = (
            *(
                run.state,
                run.before_interruption,
                allowed(run),
                node.agreed,
                run.started_at is not None,
                bool(run.cancel_by),
                run.undo_asked,
                run.undo_begun,
                run.loss_accepted_s,
            ),
            run.automatic and run.started_at is None,  # once it has begun nobody looks at how
            *(late, node.left, sorted(node.cut), sorted(node.forced), [name for _, name in fences]),
        )
        steps = [self._step(each, node.now) for each in run.steps.values()]
        return blake2b(repr((about, steps, node.world.key)).encode(), digest_size=16).digest()

    def _step(self, record: StepRecord, now: float) -> int | tuple[int, str]:
        kept = self._kept.get(id(record))
        if kept is not None:
            return kept[1]
        waits = record.state is StepState.QUEUED and record.ended_at is not None
        late = record.plan.asks and record.started_at is not None and now >= record.started_at + record.plan.timeout_s
        key = _step_key(record, late=late, waits=waits and now < (record.ended_at or 0.0) + record.plan.retry_wait_s)
        if not (waits or record.plan.asks):  # else it changes as time passes
            if len(self._kept) >= KEPT_KEYS:
                self._kept.clear()
            self._kept[id(record)] = record, key
        return key


def _step_key(record: StepRecord, *, late: bool, waits: bool) -> int | tuple[int, str]:
    """Return, packed, what tells this step's state from others."""
    flags = (
        record.attempt > 0,
        record.cannot_tell,
        record.crashed,
        record.undoing,
        record.state is StepState.UNDO_FAILED and bool(record.ignored_by),
        bool(record.left_by),
        bool(record.outputs),
        bool(record.answered_by),
        late,
        record.outputs.get("lost", 0) == 1,
        waits,
    )
    packed = STATES[record.state]
    for flag in flags:
        packed = packed << 1 | flag
    packed = packed << 4 | record.retries_left
    return (packed, record.answer) if record.answer else packed

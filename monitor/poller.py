"""Asks every target when it is due, and nobody waits for anybody else.

One loop for each kind of probe and interval, not one timer a target. A target whose previous ask still runs is passed
over (and counted), the others are asked all the same. A probe keeps each target's ``deadline_s`` itself; the poller
stands behind it with a little grace, so that a probe that hangs costs its target an answer and nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from monitor.probe import OWN_MISTAKE, Answer, Observation
from monitor.pulse import Pulse
from monitor.status.source import SourceStats

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from monitor.clock import Clock
    from monitor.probe import Probe, Target

log = logging.getLogger(__name__)

MOST_GRACE_S = 1.0
MOST_JITTER_S = 2.0
LONGEST_STOP_S = 5.0
BREATH = 50  # observations, about two milliseconds
LATE_S = 15.0  # how late a round may begin before its loop counts as dead
ASKS_OF_REACHABILITY = frozenset(
    {"vsphere", "http", "tcp", "icmp", "stamp", "ssh", "postgresql", "ldap", "ntp", "dns", "tls", "outlets"}
)


@dataclass(slots=True)
class _Ask:
    """One call of a probe: who has not answered yet, of whom nothing is expected any more and why, and who is gone.

    ``gone`` are subjects that are no longer asked about, or are asked something else by now.
    """

    asked: dict[str, Target]
    waiting: dict[str, Target]
    given_up: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def let_go(self, subject: str) -> None:
        """Expect and believe nothing more of ``subject``."""
        self.waiting.pop(subject, None)
        self.given_up.pop(subject, None)
        self.gone.add(subject)

    def strange(self, subject: str) -> bool:
        """Return whether an answer is of what is gone, or (a VM) of the vCenter that is gone."""
        if not self.gone or subject in self.waiting or subject in self.given_up:
            return False
        return subject in self.gone or _middle(subject) in {_middle(gone) for gone in self.gone}


class Poller:
    """Polls ``targets`` with ``probes`` and hands each observation to ``sink`` on the event loop."""

    def __init__(
        self,
        targets: Iterable[Target],
        probes: Mapping[str, Probe],
        sink: Callable[[Observation], None],
        clock: Clock,
        jitter: Callable[[], float] = random.random,
        pulse: Pulse | None = None,
    ) -> None:
        """Prepare. Raises KeyError when a target asks for a probe that is not there.

        ``jitter`` gives numbers from 0 to 1 by which the first poll of each loop is put off (at most 2 s).
        ``pulse`` hears of every round that begins.
        """
        self._probes = probes
        self._sink = sink
        self._clock = clock
        self._jitter = jitter
        self._pulse = pulse or Pulse(clock)
        self._loops: dict[tuple[str, float], asyncio.Task[None]] = {}
        self._asks: set[asyncio.Task[None]] = set()
        self._busy: dict[str, _Ask] = {}  # by subject
        self._listening: dict[asyncio.Task[None], Probe] = {}
        self._running = False
        self._groups = self._grouped(targets, probes)
        self._stats = {source: SourceStats(source) for source, _ in self._groups}
        self._skipped: Counter[tuple[str, str]] = Counter()
        self._count_targets()

    async def start(self) -> None:
        """Begin to poll."""
        self._running = True
        self._match_loops()

    async def stop(self) -> None:
        """End every loop and every ask."""
        self._running = False
        tasks = {*self._loops.values(), *self._asks}
        for key in self._loops:
            self._pulse.forget(_part(key))
        self._loops.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LONGEST_STOP_S)

    def retarget(self, targets: Iterable[Target], probes: Mapping[str, Probe] | None = None) -> None:
        """Change what is polled, and by what. Raises KeyError as at the start, and changes nothing then.

        Asks that run are left to end by the probe that they began with; what they still say of targets that are gone,
        or that are asked something else now, is not heard.
        """
        probes = self._probes if probes is None else probes
        groups = self._grouped(targets, probes)
        self._probes, self._groups = probes, groups
        staying = {target.subject: target for group in groups.values() for target in group}
        for subject, ask in list(self._busy.items()):
            if not _same(ask.asked[subject], staying.get(subject)):
                del self._busy[subject]
                ask.let_go(subject)
        for source, _ in self._groups:
            self._stats.setdefault(source, SourceStats(source))
        self._count_targets()
        there = {(target.subject, target.probe) for group in self._groups.values() for target in group}
        for gone in self._skipped.keys() - there:
            del self._skipped[gone]
        if self._running:
            self._match_loops()

    async def drained(self, probe: Probe) -> None:
        """Wait until no ask listens to ``probe`` any more; each ends with its targets' patience."""
        while tasks := [task for task, asked in self._listening.items() if asked is probe]:
            await asyncio.wait(tasks)

    def stats(self) -> list[SourceStats]:
        """Return the counters of every kind of probe."""
        return list(self._stats.values())

    def skipped(self) -> dict[tuple[str, str], int]:
        """Return how often a target (subject, kind of probe) was passed over; only those that ever were."""
        return dict(self._skipped)

    def _grouped(self, targets: Iterable[Target], probes: Mapping[str, Probe]) -> dict[tuple[str, float], list[Target]]:
        groups: dict[tuple[str, float], list[Target]] = defaultdict(list)
        for target in targets:
            if target.probe not in probes:
                raise KeyError(f"{target.subject} asks for probe '{target.probe}', which is not there")
            groups[target.probe, target.interval_s].append(target)
        return dict(groups)

    def _count_targets(self) -> None:
        counts: dict[str, int] = defaultdict(int)
        for (source, _), group in self._groups.items():
            counts[source] += len(group)
        for source, stats in self._stats.items():
            self._stats[source] = replace(stats, targets=counts[source])

    def _match_loops(self) -> None:
        for key in self._loops.keys() - self._groups.keys():
            self._loops.pop(key).cancel()
            self._pulse.forget(_part(key))
        for key in self._groups.keys() - self._loops.keys():
            sentence = f"no {key[0]} target has been asked, although some are due every {key[1]:g} s,"
            self._pulse.expect(_part(key), sentence, key[1] + LATE_S)
            self._loops[key] = asyncio.create_task(self._loop(key), name=f"poll {key[0]} every {key[1]:g} s")

    async def _loop(self, key: tuple[str, float]) -> None:
        source, interval_s = key
        await self._clock.sleep(self._jitter() * min(interval_s, MOST_JITTER_S))
        due = self._clock.monotonic()
        while True:
            self._pulse.beat(_part(key))
            self._round(source, self._groups[key])
            due += interval_s
            now = self._clock.monotonic()
            if due <= now:  # the machine slept: what was missed is not made up for
                due = now + interval_s
            await self._clock.sleep(due - now)

    def _round(self, source: str, group: Sequence[Target]) -> None:
        idle = []
        skipped = 0
        for target in group:
            ask = self._busy.get(target.subject)
            if ask is None:
                idle.append(target)
                continue
            skipped += 1
            self._skipped[target.subject, source] += 1
            if target.subject in ask.given_up:
                self._report(self._unanswered(target, ask.given_up[target.subject]))
        if skipped:
            self._stats[source] = replace(self._stats[source], skipped=self._stats[source].skipped + skipped)
        if idle:
            self._spawn(self._ask(source, idle))

    async def _ask(self, source: str, batch: Sequence[Target]) -> None:
        started = self._clock.monotonic()
        stats = self._stats[source]
        self._stats[source] = replace(stats, attempts=stats.attempts + len(batch), last_attempt_at=self._clock.now())
        asked = {target.subject: target for target in batch}
        ask = _Ask(asked, dict(asked))
        self._busy.update(dict.fromkeys(ask.waiting, ask))
        probe = self._probes[source]
        listening = self._spawn(self._listen(source, probe, batch, ask))
        self._listening[listening] = probe
        listening.add_done_callback(self._listening.pop)
        try:
            for patience_s in sorted({_patience_s(target) for target in batch}):
                await self._first(listening, started + patience_s - self._clock.monotonic())
                if listening.done():
                    break
                self._give_up(ask, patience_s)
        finally:
            listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        self._give_up(ask, None)
        for subject in ask.given_up:
            if self._busy.get(subject) is ask:
                del self._busy[subject]
        self._stats[source] = replace(self._stats[source], duration_s=self._clock.monotonic() - started)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)
        return task

    async def _listen(self, source: str, probe: Probe, batch: Sequence[Target], ask: _Ask) -> None:
        heard = 0
        try:
            async for observation in probe.observe(batch):
                heard += 1
                if heard % BREATH == 0:  # a vCenter tells of thousands at once: others have their turn in between
                    await asyncio.sleep(0)
                if ask.strange(observation.subject):
                    continue
                if observation.facts.get("error") == OWN_MISTAKE:
                    self._stats[source] = replace(self._stats[source], errors=self._stats[source].errors + 1)
                if ask.waiting.pop(observation.subject, None) is not None:
                    self._busy.pop(observation.subject, None)
                    self._settle(source, ok=observation.answer is Answer.OK)
                self._report(observation)
        except Exception as error:  # a probe's own mistake must not end the poller: the outermost border of an ask
            log.exception("probe %s failed", source)
            self._stats[source] = replace(self._stats[source], errors=self._stats[source].errors + 1)
            self._give_up(ask, None, f"the {source} probe itself failed: {type(error).__name__}")

    async def _first(self, listening: asyncio.Task[None], patience_s: float) -> None:
        """Wait until the probe is done or patience is at its end."""
        timer = asyncio.ensure_future(self._clock.sleep(max(0.0, patience_s)))
        try:
            await asyncio.wait({listening, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    def _give_up(self, ask: _Ask, patience_s: float | None, reason: str = "the probe gave no answer") -> None:
        """Say of who still has not answered that nothing is expected any more; None: of everybody."""
        for target in list(ask.waiting.values()):
            if patience_s is not None:
                if _patience_s(target) > patience_s:
                    continue
                reason = f"no answer within {patience_s:g} s"
            del ask.waiting[target.subject]
            ask.given_up[target.subject] = reason
            self._settle(target.probe, ok=False)
            self._report(self._unanswered(target, reason))

    def _unanswered(self, target: Target, reason: str) -> Observation:
        asked = target.probe in ASKS_OF_REACHABILITY
        answer = Answer.FAILED if asked and reason.startswith("no answer") else Answer.UNKNOWN
        return Observation(target.subject, target.probe, self._clock.now(), answer, reason)

    def _settle(self, source: str, *, ok: bool) -> None:
        stats = self._stats[source]
        if ok:
            self._stats[source] = replace(stats, last_success_at=self._clock.now())
        else:
            self._stats[source] = replace(stats, failures=stats.failures + 1)

    def _report(self, observation: Observation) -> None:
        try:
            self._sink(observation)
        except (
            Exception
        ):  # what one subject breaks in the evaluation must not stop the others: the border of the poller
            log.exception("observation of %s could not be taken in", observation.subject)


def _part(key: tuple[str, float]) -> str:
    return f"poll/{key[0]}/{key[1]:g}"


def _same(asked: Target, now: Target | None) -> bool:
    """Return whether the target is still asked the same; how often does not matter."""
    return now is not None and (asked.probe, asked.params) == (now.probe, now.params)


def _middle(subject: str) -> str:
    """Return the ``vc-main`` of ``vcenter/vc-main`` and of ``vm/vc-main/ncts-db-1``."""
    return subject.split("/", 2)[1]


def _patience_s(target: Target) -> float:
    return target.deadline_s + min(MOST_GRACE_S, target.deadline_s / 2)

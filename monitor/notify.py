"""Telling people: a mail for each alarm raised and cleared, and one ticket that is opened and closed with its alarm.

What is owed is written down before it is sent (``Outbox``), so a restart loses nothing; a delivery that fails is tried
again with growing pauses, after whatever failed less often, and shows as a metric. So no message that a channel cannot
take keeps another from being told. Every channel has its own task: none waits for another, and polling waits for none.

An alarm is told after it has stood for ``hold_s``, unless another alarm explains it by then or a planned downtime
covers it; a critical one of a system, site or crossing at once, or after the little while in which the loss of a site
would explain it. So one lost site makes one message, and its return one. While a subject flaps, only that is told:
what was cleared of it meanwhile is told when it has settled.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from monitor.errors import TargetError
from monitor.history import Notice
from monitor.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monitor.clock import Clock
    from monitor.history import Event
    from monitor.status.alarm import Alarm

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
MOST_PENDING = 2000
AT_ONCE = ("system/", "site/", "crossing/", "group/", "karaula/")
NEVER_WAIT = ("split-brain",)
MOST_MISTAKES = 3  # after so many exceptions that are no TargetError, a message is given up: it is at fault itself
FLAPPING = "flapping"
NOBODY: Mapping[str, float] = MappingProxyType({})


class Channel(Protocol):
    """One way of telling people."""

    name: str

    async def send(self, alarm: Alarm, event: Event, reference: str) -> str:
        """Deliver; return what the channel calls it. ``reference`` is what ``raised`` returned, for ``cleared``.

        Raises TargetError. Delivering the same alarm and event again must do no harm.
        """
        ...

    async def close(self) -> None:
        """Give back connections and threads."""
        ...


class Outbox(Protocol):
    """Where it is written down what is owed and what was sent; it sees to it by itself that this reaches the disk."""

    def owe(self, notices: Sequence[Notice]) -> None:
        """Write down what is to be told."""
        ...

    def sent(self, notice: Notice) -> None:
        """Write down that it was told."""
        ...


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Deliveries of a channel since the daemon's start."""

    channel: str
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    pending: int = 0
    last_error: str = ""


class Notifier:
    """Decides what is to be told and sees to it that it is."""

    def __init__(self, channels: Iterable[Channel], clock: Clock, hold_s: float = 15.0) -> None:
        """Prepare; an alarm that is not told at once must stand for ``hold_s`` first."""
        self._clock = clock
        self.hold_s = hold_s
        self._lines = [_Line(channel, clock) for channel in channels]
        self._announced: set[str] = set()
        self._alone_since: dict[str, float] = {}
        self._ended: dict[str, Alarm] = {}  # cleared while their subject flaps, and not told yet
        self._outbox: Outbox | None = None
        self._ending: list[asyncio.Task[None]] = []

    async def start(self, outbox: Outbox, notices: Iterable[Notice], alarms: Mapping[str, Alarm]) -> None:
        """Begin, with what an earlier daemon left: its notices, and the alarms that they are about."""
        self._outbox = outbox
        for notice in notices:
            self._announced.add(notice.alarm_id)
            for line in self._lines:
                if line.channel.name == notice.channel:
                    line.resume(notice, alarms.get(notice.alarm_id))
        self._ended = {
            alarm.id: alarm
            for alarm in alarms.values()
            if not alarm.active and any(line.knows(alarm.id) for line in self._lines)
        }
        for line in self._lines:
            line.start(outbox)

    async def stop(self) -> None:
        """End the deliveries; what is owed stays written down."""
        for line in self._lines:
            await line.stop()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def reload(self, channels: Iterable[Channel], notices: Iterable[Notice], alarms: Mapping[str, Alarm]) -> None:
        """Tell by ``channels`` from now on; one of a known name takes over what is owed by its forerunner.

        ``notices`` and ``alarms`` are as at the start: what a channel that comes anew was told once, and still owes.
        """
        found = {channel.name: channel for channel in channels}
        lines = {line.channel.name: line for line in self._lines}
        for name, line in lines.items():
            if name not in found:
                self._ending.append(asyncio.create_task(line.stop(), name=f"end telling by {name}"))
        self._ending = [task for task in self._ending if not task.done()]
        self._lines = []
        for name, channel in found.items():
            if name in lines:
                lines[name].change(channel)
                self._lines.append(lines[name])
                continue
            line = _Line(channel, self._clock)
            for notice in notices:
                if notice.channel == name:
                    line.resume(notice, alarms.get(notice.alarm_id))
            self._lines.append(line)
            if self._outbox is not None:
                line.start(self._outbox)

    def consider(
        self, standing: Iterable[Alarm], cleared: Iterable[Alarm], now: float, waits_s: Mapping[str, float] = NOBODY
    ) -> None:
        """Look at all standing alarms and at those just cleared, and owe what people must be told.

        ``waits_s`` says how long a critical alarm of some systems and crossings may wait for an explanation.
        """
        owed = []
        standing = tuple(standing)
        self._alone_since = {alarm.id: self._alone_since.get(alarm.id, now) for alarm in standing if _alone(alarm)}
        for alarm in standing:
            if alarm.id not in self._announced and self._ripe(alarm, now, waits_s):
                self._announced.add(alarm.id)
                owed += [notice for line in self._lines if (notice := line.owe(alarm, "raised"))]
        self._ended |= {alarm.id: alarm for alarm in cleared if alarm.id in self._announced}
        swinging = {alarm.subject for alarm in standing if alarm.name == FLAPPING}
        for alarm in [alarm for alarm in self._ended.values() if alarm.subject not in swinging]:
            del self._ended[alarm.id]
            self._announced.discard(alarm.id)
            owed += [notice for line in self._lines if (notice := line.owe(alarm, "cleared"))]
        if owed and self._outbox is not None:
            self._outbox.owe(owed)

    def stats(self) -> list[ChannelStats]:
        """Return the counters of every channel."""
        return [line.stats() for line in self._lines]

    def _ripe(self, alarm: Alarm, now: float, waits_s: Mapping[str, float]) -> bool:
        """Return whether the alarm has stood long enough by itself; what fell with its site also rises with it."""
        since = self._alone_since.get(alarm.id)
        if since is None:
            return False
        if alarm.name in NEVER_WAIT:
            return True
        urgent = alarm.severity == "critical" and alarm.subject.startswith(AT_ONCE)
        wait_s = waits_s.get(alarm.subject, 0.0) if urgent else self.hold_s
        return (
            now - since >= wait_s or now < since
        )  # a clock that was set back makes nobody wait until it is there again


def _alone(alarm: Alarm) -> bool:
    return not alarm.cause and not alarm.downtime


def _weight(alarm: Alarm) -> int:
    """Return what would be lost if it were not told: 0 a warning, 1 a critical one, 2 of a system, site or the like."""
    if alarm.subject.startswith(AT_ONCE):
        return 2
    return 1 if alarm.severity == "critical" else 0


class _Line:
    """One channel's queue, in the order owed, and the task that works it off: first what failed the least often."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self.channel = channel
        self._clock = clock
        self._queue: list[tuple[Alarm, Event]] = []
        self._trying: tuple[Alarm, Event] | None = None
        self._fails: Counter[str] = Counter()  # by alarm, since it was last told of
        self._mistakes: Counter[str] = Counter()  # those of them that were no TargetError
        self._references: dict[str, str] = {}
        self._told: set[tuple[str, Event]] = set()
        self._work = asyncio.Event()
        self._changed = asyncio.Event()
        self._fresh = asyncio.Event()  # something waits that was never tried
        self._forerunners: list[Channel] = []
        self._stats = ChannelStats(channel.name)
        self._task: asyncio.Task[None] | None = None

    def start(self, outbox: Outbox) -> None:
        self._task = asyncio.create_task(self._run(outbox), name=f"tell by {self.channel.name}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._let_go()
        await self.channel.close()

    def change(self, channel: Channel) -> None:
        """Deliver by ``channel`` from the next try on, which is now; a try under way ends by its forerunner."""
        self._forerunners.append(self.channel)
        self.channel = channel
        self._changed.set()
        self._work.set()

    async def _let_go(self) -> None:
        while self._forerunners:
            await self._forerunners.pop().close()

    async def _rest(self, pause_s: float) -> None:
        """Wait before the next try, unless the channel is changed or something new is owed meanwhile."""
        ends = (self._clock.sleep(pause_s), self._changed.wait(), self._fresh.wait())
        waits = [asyncio.ensure_future(end) for end in ends]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def resume(self, notice: Notice, alarm: Alarm | None) -> None:
        if notice.sent_at is not None:
            self._told.add((notice.alarm_id, notice.event))
            if notice.event == "raised":
                self._references[notice.alarm_id] = notice.reference
        elif alarm is not None:
            self.owe(alarm, notice.event)

    def owe(self, alarm: Alarm, event: Event) -> Notice | None:
        """Put it into the queue; None when it was told already, waits already, or there is no room.

        In a full queue the oldest warning makes room for it, or what weighs less than it does. That stays written down
        as owed, so the next start tells it.
        """
        if (alarm.id, event) in self._told or any((a.id, e) == (alarm.id, event) for a, e in self._queue):
            return None
        if len(self._queue) >= MOST_PENDING and not self._made_room(alarm):
            self._drop(alarm)
            return None
        self._queue.append((alarm, event))
        self._work.set()
        if alarm.id not in self._fails:
            self._fresh.set()
        return Notice(alarm.id, self.channel.name, event)

    def _made_room(self, alarm: Alarm) -> bool:
        """Drop what weighs least, and what belongs to it, for ``alarm``; False when nothing may be dropped for it."""
        busy = {alarm.id} if self._trying is None else {alarm.id, self._trying[0].id}
        others = [each for each, _ in self._queue if each.id not in busy]
        least = min(others, key=_weight, default=None)  # the oldest of them
        if least is None or _weight(least) >= max(1, _weight(alarm)):
            return False
        for entry in [entry for entry in self._queue if entry[0].id == least.id]:
            self._queue.remove(entry)
            self._drop(least)
        self._forget(least.id)
        return True

    def _drop(self, alarm: Alarm) -> None:
        self._stats = replace(self._stats, dropped=self._stats.dropped + 1)
        log.error("%s is so far behind that alarm %s is not told", self.channel.name, printable(alarm.key))

    def _forget(self, alarm_id: str) -> None:
        self._fails.pop(alarm_id, None)
        self._mistakes.pop(alarm_id, None)

    def knows(self, alarm_id: str) -> bool:
        """Return whether people were, or are about to be, told that it was raised."""
        return (alarm_id, "raised") in self._told or any((a.id, e) == (alarm_id, "raised") for a, e in self._queue)

    def stats(self) -> ChannelStats:
        return replace(self._stats, pending=len(self._queue))

    async def _run(self, outbox: Outbox) -> None:
        while True:
            self._changed.clear()
            self._fresh.clear()
            await self._let_go()
            if not self._queue:
                self._work.clear()
                await self._work.wait()
                continue
            self._trying = alarm, event = self._next()
            reference = await self._try(alarm, event)
            self._trying = None
            if reference is None:
                fails = self._fails[self._next()[0].id]
                await self._rest(min(FIRST_PAUSE_S * 2.0 ** max(0, fails - 1), LONGEST_PAUSE_S))
                if self._changed.is_set():
                    self._fails = Counter(dict.fromkeys(self._fails, 1))
                continue
            self._done(alarm, event, reference)
            outbox.sent(Notice(alarm.id, self.channel.name, event, self._clock.now(), reference))

    def _next(self) -> tuple[Alarm, Event]:
        """Return what is to be tried now: the oldest of what failed least often; raised comes before its cleared."""
        return min(self._queue, key=lambda entry: self._fails[entry[0].id])

    async def _try(self, alarm: Alarm, event: Event) -> str | None:
        """Return the channel's reference (empty when it is given up), None when it is to be tried again."""
        try:
            reference = await self.channel.send(alarm, event, self._references.get(alarm.id, ""))
        except TargetError as error:
            return self._failed(alarm, str(error), for_good=not error.retry_helps)
        except Exception as error:  # a channel's own mistake must not end the telling: the task's outermost border
            log.exception("channel %s failed", self.channel.name)
            self._mistakes[alarm.id] += 1
            return self._failed(alarm, type(error).__name__, for_good=self._mistakes[alarm.id] >= MOST_MISTAKES)
        last_error = self._stats.last_error if self._fails.keys() - {alarm.id} else ""
        self._stats = replace(self._stats, sent=self._stats.sent + 1, last_error=last_error)
        return reference

    def _failed(self, alarm: Alarm, why: str, *, for_good: bool) -> str | None:
        stats = self._stats
        dropped = stats.dropped + 1 if for_good else stats.dropped
        self._stats = replace(stats, failed=stats.failed + 1, dropped=dropped, last_error=why)
        what = "is given up" if for_good else "could not be told"
        log.warning("alarm %s %s by %s: %s", printable(alarm.key), what, self.channel.name, printable(why))
        self._fails[alarm.id] += 1
        return "" if for_good else None

    def _done(self, alarm: Alarm, event: Event, reference: str) -> None:
        self._queue.remove((alarm, event))
        self._forget(alarm.id)
        if event == "raised":
            self._told.add((alarm.id, event))
            self._references[alarm.id] = reference
        else:
            self._told.discard((alarm.id, "raised"))
            self._references.pop(alarm.id, None)

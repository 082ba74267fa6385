"""Every run that the journal holds, in two strides: what may be under way and what that stands on, then all others.

A run under way goes on between the two (docs/decisions/0040). Whoever asks for more than has been read waits until
all is: nobody is shown a part of them as if it were all. Belongs to the event loop; reads in the journal's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from dr.errors import IllegalEvent
from dr.journal.event import Event
from dr.journal.fold import fold_all
from dr.journal.glance import FENCE, Remainder
from dr.journal.joint import JointAccepted, fold_all_joint
from dr.journal.run import Run
from dr.journal.sqlite import SqliteJournal
from dr.journal.story import Story

log = logging.getLogger(__name__)
T = TypeVar("T")
AT_ONCE = 500  # rows; a hundredth of a second, after which a run under way may write


@dataclass(frozen=True, slots=True)
class _Read:
    """A story and the run that it folds to; None for a joint run, and where it is damaged."""

    story: Story
    run: Run | None


class Runs:
    """The runs by id, with their events; those that cannot be read, and the stories of joint runs, apart."""

    def __init__(self, journal: SqliteJournal, thread: Executor) -> None:
        """Begin with none."""
        self._journal = journal
        self._thread = thread
        self._newest_first: list[str] = []
        self._left = Remainder({})
        self._read: deque[dict[str, _Read]] = deque()  # by the journal's thread, and not taken yet
        self._runs, self._events = dict[str, Run](), dict[str, list[Event]]()
        self._damaged, self._joints = dict[str, Story](), dict[str, Story]()
        self._fencing: set[str] = set()
        self.whole = True
        self.token = 0

    # -- reading -------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read what may not be over, and whatever may have touched a fence. Raises StateError.

        ``token`` is then the highest fencing token that stands in the journal.
        """
        glance = await self._in_thread(self._journal.glance)
        self.token = glance.token
        self._left = Remainder({run_id: end for run_id, end in glance.ends.items() if run_id not in glance.first})
        await self._in_thread(lambda: self._keep(self._journal.stories_of(glance.first)))
        self.whole = False
        self._take()

    async def fill(self) -> None:
        """Read all others, a few at a time. Raises StateError."""
        while not self.whole:
            await self._in_thread(self._read_on)
            self._take()

    def _complete(self) -> None:
        """Read what is left at once, and let everything wait for it. Raises StateError."""
        while not self.whole:
            self._thread.submit(self._read_on).result()
            self._take()

    def _read_on(self) -> None:
        """Read a few rows on; in the journal's thread."""
        if not self._left.over:
            self._keep(self._journal.read_on(self._left, AT_ONCE))

    def _keep(self, stories: Mapping[str, Story]) -> None:
        self._read.append({run_id: _folded(run_id, story) for run_id, story in stories.items()})

    def _take(self) -> None:
        """Take what was read; nothing is being read meanwhile."""
        while self._read:
            for run_id, found in self._read.popleft().items():
                if found.run is not None:
                    self.note(found.run, found.story.events)
                elif found.story.damage:
                    self._damaged[run_id] = found.story
                    log.error("run %s cannot be read from the journal: %s", run_id, found.story.damage)
                else:
                    self._joints[run_id] = found.story
        if self._left.over:  # as if all had been read at one stroke
            self._runs, self._damaged = self._in_order(self._runs), self._in_order(self._damaged)
            self._joints = self._in_order(self._joints)
            self.whole = True

    def _in_order(self, held: dict[str, T]) -> dict[str, T]:
        return {run_id: held[run_id] for run_id in self._left.order if run_id in held} | held

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def read(self, run_ids: Sequence[str]) -> None:
        """Read these, which nobody here has heard of. Raises StateError."""
        await self._in_thread(lambda: self._keep(self._journal.stories_of(run_ids)))
        self._take()

    async def missed(self, run: Run) -> list[Event]:
        """Return what the journal has of ``run`` and nobody here has heard of. Raises IllegalEvent, StateError."""
        story = (await self._in_thread(lambda: self._journal.stories_of([run.id])))[run.id]
        if story.damage:
            raise IllegalEvent(f"its journal is damaged: {story.damage}")
        return story.events[run.seq :]

    # -- looking at those read so far ----------------------------------------------------------------------------------

    def note(self, run: Run, events: Sequence[Event]) -> None:
        """Hold the run's new state, and the events that led to it."""
        if run.id not in self._runs and _touches_a_fence(run):
            self._fencing.add(run.id)
        self._runs[run.id] = run
        self._events.setdefault(run.id, []).extend(events)

    def unfinished(self) -> list[Run]:
        """Return the runs that are not over; every one of them has been read first."""
        return [run for run in self._runs.values() if not run.state.final]

    def now(self, run_id: str) -> Run:
        """Return one of them as it stands now."""
        return self._runs[run_id]

    def at_fences(self) -> list[Run]:
        """Return every run whose plan touches a fence, newest first; they have been read first, too."""
        return sorted((self._runs[run_id] for run_id in self._fencing), key=_age, reverse=True)

    def events_of(self, run_id: str) -> list[Event]:
        """Return the events of a run that has been read."""
        return self._events[run_id]

    # -- looking at all ------------------------------------------------------------------------------------------------

    def newest_first(self) -> list[Run]:
        """Return every run."""
        held = self.by_id
        if len(self._newest_first) != len(held):  # none goes, and none changes its place
            self._newest_first = sorted(held, key=lambda key: _age(held[key]), reverse=True)
        return [held[key] for key in self._newest_first]

    @property
    def by_id(self) -> Mapping[str, Run]:
        """Return every run, in the order in which they began."""
        self._complete()
        return self._runs

    @property
    def damaged(self) -> Mapping[str, Story]:
        """Return what cannot be read."""
        self._complete()
        return self._damaged

    @property
    def joints(self) -> Mapping[str, Story]:
        """Return the stories of joint runs as they were read."""
        self._complete()
        return self._joints


def _folded(run_id: str, story: Story) -> _Read:
    """Return what the story folds to; where it does not, its damage says so from now on."""
    if story.damage:
        return _Read(story, None)
    try:
        if isinstance(story.events[0], JointAccepted):
            fold_all_joint(run_id, story.events)
            return _Read(story, None)
        return _Read(story, fold_all(run_id, story.events))
    except IllegalEvent as error:
        story.damage = str(error)
        return _Read(story, None)


def _age(run: Run) -> tuple[float, str]:
    return (run.accepted_at, run.id)


def _touches_a_fence(run: Run) -> bool:
    return any(field == FENCE for step in run.plan.steps for _, field, _ in step.effects)

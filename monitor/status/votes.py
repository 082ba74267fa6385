"""What each vantage point says of one side of a system: whether it is down, answers, or is not known. Pure.

Only what was seen a short while ago is a vote. Whoever is cut off, silent, stale or undecided says nothing, and that is
never taken for "down". A border post votes on a whole site, the daemon and its observers on the system's front there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from monitor.inventory.vantage import ObserverPoint, PostPoint, sessions_of
from monitor.probe import Answer
from monitor.status.state import Health
from monitor.status.traffic import BGP_ESTABLISHED, IF_UP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.model import Inventory
    from monitor.probe import Observation
    from monitor.status.state import Status

OWN = "this-daemon"
FEWEST = 2  # one alone is no quorum, whatever it is
AGE, REASON = "age_s", "reason"


class Word(StrEnum):
    """What a vantage point says of a side."""

    DOWN = "down"
    UP = "up"
    UNKNOWN = "unknown"


WORDS: Mapping[Health, Word] = {
    Health.DOWN: Word.DOWN,
    Health.OK: Word.UP,
    Health.DEGRADED: Word.UP,
    Health.UNKNOWN: Word.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Vote:
    """What ``point`` says, what it looks at, and how old that is (seconds; infinite: it has never seen it)."""

    point: str
    word: Word
    looks_at: str
    age_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Poll:
    """The votes on a system's side at ``site``, of which ``needed`` must say that it is down."""

    site: str
    needed: int
    votes: tuple[Vote, ...]

    def saying(self, word: Word) -> tuple[Vote, ...]:
        """Return the votes that say ``word``."""
        return tuple(vote for vote in self.votes if vote.word is word)

    @property
    def reached(self) -> bool:
        """Tell whether enough say that the side is down, and nobody that it answers."""
        enough = len(self.saying(Word.DOWN)) >= max(self.needed, FEWEST)
        return enough and not self.saying(Word.UP)

    def __str__(self) -> str:
        """Return who said what: ``2 of 3 say that main is down (witness, this-daemon); not known to tabanovce (…)``."""
        down, up, unknown = (self.saying(word) for word in Word)
        said = [f"{len(down)} of {len(self.votes)} vantage points say that {self.site} is down{_names(down)}"]
        said += [f"it answers, says {vote.point} ({vote.reason or vote.looks_at})" for vote in up]
        said += [f"{vote.point} cannot tell ({vote.reason})" for vote in unknown]
        return "; ".join(said)


class Looked(Protocol):
    """What is asked of whoever watches (monitor.watch.Watch)."""

    @property
    def isolated(self) -> str:
        """Why it takes itself for cut off."""
        ...

    def status(self, subject: str) -> Status | None:
        """Return a status."""
        ...

    def observation(self, subject: str) -> Observation | None:
        """Return the newest observation."""
        ...

    def flapping(self) -> frozenset[str]:
        """Return the subjects that flap."""
        ...


def poll(inventory: Inventory, system: str, site: str, watch: Looked, now: float) -> Poll:
    """Return what every vantage point says of ``system`` at ``site``; the daemon's own view is one of them."""
    vantage, front = inventory.vantage, f"front/{system}/{site}"
    own = of_front(OWN, front, watch.status(front), now, isolated=watch.isolated)
    if own.word is Word.DOWN and watch.flapping() & {front, f"system/{system}"}:
        own = _unknown(own, "it changes to and fro")
    votes = [own]
    for key, point in vantage.points.items():
        seen = watch.observation(f"vantage/{key}")
        if isinstance(point, ObserverPoint):
            votes.append(_of_observer(key, f"{system}/{site}", seen, now))
        else:
            votes.append(_of_post(key, point, site, seen, now))
    return Poll(site, vantage.quorum, tuple(_fresh(vote, vantage.vote_max_age_s) for vote in votes))


def of_front(point: str, front: str, status: Status | None, now: float, *, isolated: str) -> Vote:
    """Return the vote of whoever holds ``status`` true of a system's front."""
    if status is None or status.seen_at is None:
        return Vote(point, Word.UNKNOWN, front, math.inf, "it has not seen it yet")
    age_s = abs(now - status.seen_at)  # after the clock was set back nobody knows how old it is
    if isolated:
        return Vote(point, Word.UNKNOWN, front, age_s, f"it is cut off itself: {isolated}")
    return Vote(point, WORDS[status.health], front, age_s, status.reason)


def _of_observer(key: str, side: str, seen: Observation | None, now: float) -> Vote:
    front = f"front/{side}"
    if seen is None:
        return Vote(key, Word.UNKNOWN, front, math.inf, "it was not asked yet")
    age_s = abs(now - seen.at)
    if seen.answer is not Answer.OK:
        return Vote(key, Word.UNKNOWN, front, age_s, seen.reason)
    word = Word(seen.facts.get(side, Word.UNKNOWN))
    return Vote(
        key, word, front, age_s + seen.values.get(f"{side} {AGE}", math.inf), seen.facts.get(f"{side} {REASON}", "")
    )


def _of_post(key: str, point: PostPoint, site: str, seen: Observation | None, now: float) -> Vote:
    looks_at = f"site/{site}"
    if site not in point.sites:
        return Vote(key, Word.UNKNOWN, looks_at, math.inf, f"it has no session to {site}")
    if seen is None:
        return Vote(key, Word.UNKNOWN, looks_at, math.inf, "it was not asked yet")
    age_s = abs(now - seen.at)
    if seen.answer is not Answer.OK:
        return Vote(key, Word.UNKNOWN, looks_at, age_s, seen.reason)
    reached = {each: _sessions(point, each, seen.values) for each in point.sites}
    if up := reached[site]:
        return Vote(key, Word.UP, looks_at, age_s, f"its router reaches {site} by {', '.join(up)}")
    others = sorted(each for each in reached if each != site and reached[each])
    if not others:
        return Vote(key, Word.UNKNOWN, looks_at, age_s, "its router reaches no site at all, so it is cut off itself")
    count = len(point.sites[site])
    reason = (
        f"its router has lost {'its session' if count == 1 else f'all {count} sessions'} to {site}, not {others[0]}"
    )
    return Vote(key, Word.DOWN, looks_at, age_s, reason)


def _sessions(point: PostPoint, site: str, values: Mapping[str, float]) -> list[str]:
    """Return the sessions to ``site`` that are up; all that the router shows of one must be well."""
    states: dict[str, list[bool]] = {}
    for name in sessions_of(point):
        where, number, what = name.rsplit(" ", 2)
        if where == site:
            well = BGP_ESTABLISHED if what == "bgp" else IF_UP
            states.setdefault(f"session {number}", []).append(values.get(name) == well)
    return [name for name, well in states.items() if all(well)]


def _fresh(vote: Vote, max_age_s: float) -> Vote:
    if vote.word is Word.UNKNOWN or vote.age_s <= max_age_s:
        return vote
    return _unknown(vote, f"it said {vote.word} {vote.age_s:.0f} s ago, which is too long")


def _unknown(vote: Vote, reason: str) -> Vote:
    return Vote(vote.point, Word.UNKNOWN, vote.looks_at, vote.age_s, reason)


def _names(votes: tuple[Vote, ...]) -> str:
    return f" ({', '.join(vote.point for vote in votes)})" if votes else ""

"""Votes of vantage points on their way into the journal and out of it again: one event holds a whole poll."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from dr.errors import IllegalEvent
from dr.journal.event import VotesHeard
from monitor.status.votes import FEWEST, Poll, Vote, Word

NEVER = -1.0  # JSON has no infinity


def heard(poll: Poll, now: float) -> VotesHeard:
    """Return the event that keeps ``poll``."""
    votes = {
        vote.point: {
            "word": vote.word.value,
            "looks_at": vote.looks_at,
            "age_s": NEVER if math.isinf(vote.age_s) else vote.age_s,
            "reason": vote.reason,
        }
        for vote in poll.votes
    }
    return VotesHeard(now, poll.site, poll.needed, votes)


def known(vote: Vote) -> dict[str, Any]:
    """Return a vote's fields to be shown, its age None where the point had never seen anything."""
    return {**asdict(vote), "word": vote.word.value, "age_s": None if math.isinf(vote.age_s) else vote.age_s}


def poll_of(event: VotesHeard) -> Poll:
    """Return the poll that was kept. Raises IllegalEvent for what ``heard`` cannot have written."""
    if event.needed < FEWEST:
        raise IllegalEvent(f"a quorum of {event.needed} vantage points is none")
    try:
        votes = tuple(
            Vote(point, Word(str(said["word"])), str(said["looks_at"]), _age(float(said["age_s"])), str(said["reason"]))
            for point, said in event.votes.items()
        )
    except (KeyError, ValueError) as error:
        raise IllegalEvent(f"a vote that says nothing known: {error}") from error
    return Poll(event.site, event.needed, votes)


def _age(kept: float) -> float:
    return math.inf if kept == NEVER else kept

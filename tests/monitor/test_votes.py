"""Votes of vantage points: what is no fresh and certain word is none, and no silence ever counts as "down"."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.inventory.crossings import RouterLink
from monitor.inventory.read import read
from monitor.inventory.vantage import ObserverPoint, PostPoint, Vantage
from monitor.probe import Answer, Observation
from monitor.status.state import Health, Status
from monitor.status.votes import OWN, Poll, Vote, Word, poll

NOW = 1_790_000_000.0
MAX_AGE_S = 30.0
MAIN = (RouterLink(bgp_peer="127.9.1.1"), RouterLink(bgp_peer="127.9.1.2", interface=7))
DR = (RouterLink(interface=8),)
POINTS = {
    "witness": ObserverPoint(kind="observer", url="https://127.9.3.40:8472", credential="token"),
    "post": PostPoint(kind="post", crossing="blace", sites={"main": MAIN, "dr": DR}),
}
GOOD = read(Path(__file__).parents[1] / "bad_files" / "good.yaml")
INVENTORY = GOOD.model_copy(update={"vantage": Vantage(points=POINTS, quorum=2, vote_max_age_s=MAX_AGE_S)})
ALL_UP = {"main 1 bgp": 6, "main 2 bgp": 6, "main 2 interface": 1, "dr 1 interface": 1}
MAIN_LOST = {**ALL_UP, "main 1 bgp": 3, "main 2 bgp": 3}


@dataclass
class Eyes:
    """What a watch would answer."""

    front: Status | None = None
    seen: dict[str, Observation] = field(default_factory=dict)
    isolated: str = ""
    swings: frozenset[str] = frozenset()

    def status(self, subject: str) -> Status | None:
        return self.front if subject == "front/ncts/main" else None

    def observation(self, subject: str) -> Observation | None:
        return self.seen.get(subject)

    def flapping(self) -> frozenset[str]:
        return self.swings


def front(health: Health = Health.DOWN, age_s: float = 1.0) -> Status:
    return Status("front/ncts/main", health, "no answer", NOW - 60, NOW - age_s)


def says(word: str = "down", age_s: float = 1.0, heard_s: float = 1.0, answer: Answer = Answer.OK) -> Observation:
    facts = {"ncts/main": word, "ncts/main reason": "it refuses"}
    values = {"ncts/main age_s": age_s}
    return Observation("vantage/witness", "observer", NOW - heard_s, answer, "no answer", values, facts)


def shows(states: dict[str, float], heard_s: float = 1.0, answer: Answer = Answer.OK) -> Observation:
    return Observation("vantage/post", "router", NOW - heard_s, answer, "no answer", states)


def voted(eyes: Eyes) -> dict[str, tuple[str, str]]:
    return {vote.point: (vote.word.value, vote.reason) for vote in poll(INVENTORY, "ncts", "main", eyes, NOW).votes}


def test_a_lost_site_is_seen_by_all() -> None:
    eyes = Eyes(front(), {"vantage/witness": says(), "vantage/post": shows(MAIN_LOST)})
    found = poll(INVENTORY, "ncts", "main", eyes, NOW)
    assert found.reached
    assert str(found) == "3 of 3 vantage points say that main is down (this-daemon, witness, post)"
    assert [vote.looks_at for vote in found.votes] == ["front/ncts/main", "front/ncts/main", "site/main"]


@pytest.mark.parametrize(
    ("eyes", "word", "why"),
    [
        (Eyes(), "unknown", "it has not seen it yet"),
        (Eyes(front(Health.UNKNOWN)), "unknown", "no answer"),
        (Eyes(front(Health.DEGRADED)), "up", "no answer"),
        (Eyes(front(age_s=31)), "unknown", "it said down 31 s ago, which is too long"),
        (Eyes(front(age_s=-31)), "unknown", "it said down 31 s ago, which is too long"),
        (Eyes(front(), isolated="no anchor answers"), "unknown", "it is cut off itself: no anchor answers"),
        (Eyes(front(), swings=frozenset({"system/ncts"})), "unknown", "it changes to and fro"),
    ],
)
def test_the_daemons_own_word_is_one_vote(eyes: Eyes, word: str, why: str) -> None:
    assert voted(eyes)[OWN] == (word, why)


@pytest.mark.parametrize(
    ("seen", "word", "why"),
    [
        (None, "unknown", "it was not asked yet"),
        (says(answer=Answer.FAILED), "unknown", "no answer"),
        (says("unknown"), "unknown", "it refuses"),
        (says("up"), "up", "it refuses"),
        (says(age_s=20, heard_s=11), "unknown", "it said down 31 s ago, which is too long"),
        (says(heard_s=-40), "unknown", "it said down 41 s ago, which is too long"),
    ],
)
def test_an_observers_word_counts_while_it_is_fresh(seen: Observation | None, word: str, why: str) -> None:
    assert voted(Eyes(front(), {} if seen is None else {"vantage/witness": seen}))["witness"] == (word, why)


@pytest.mark.parametrize(
    ("seen", "word", "why"),
    [
        (None, "unknown", "it was not asked yet"),
        (shows(MAIN_LOST, answer=Answer.UNKNOWN), "unknown", "no answer"),
        (shows({**MAIN_LOST, "dr 1 interface": 2}), "unknown", "its router reaches no site at all, so it is cut off"),
        (shows(ALL_UP), "up", "its router reaches main by session 1, session 2"),
        (shows({**ALL_UP, "main 1 bgp": 3}), "up", "its router reaches main by session 2"),
        (
            shows({**ALL_UP, "main 1 bgp": 3, "main 2 interface": 2}),
            "down",
            "its router has lost all 2 sessions",
        ),
        (shows(MAIN_LOST, heard_s=31), "unknown", "it said down 31 s ago"),
    ],
)
def test_a_post_calls_a_site_lost_when_every_session_is_and_it_still_reaches_another(
    seen: Observation | None, word: str, why: str
) -> None:
    found = voted(Eyes(front(), {} if seen is None else {"vantage/post": seen}))["post"]
    assert found[0] == word
    assert found[1].startswith(why)


VOTES = st.builds(
    Vote,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(Word),
    st.just("front/ncts/main"),
    st.floats(0, 10),
    st.just(""),
)


@given(st.lists(VOTES, unique_by=lambda vote: vote.point), st.integers(-1, 5))
def test_a_quorum_is_two_at_least_and_never_against_a_voice(votes: list[Vote], needed: int) -> None:
    words = [vote.word for vote in votes]
    expected = words.count(Word.DOWN) >= max(2, needed) and Word.UP not in words
    assert Poll("main", needed, tuple(votes)).reached is expected


@given(
    st.sampled_from(Health),
    st.floats(-100, 100),
    st.booleans(),
    st.sampled_from(["down", "up", "unknown"]),
    st.floats(0, 100),
    st.floats(-100, 100),
    st.dictionaries(st.sampled_from(list(ALL_UP)), st.sampled_from([0.0, 1.0, 2.0, 3.0, 6.0])),
)
def test_only_what_was_seen_down_a_short_while_ago_is_called_down(
    health: Health, age_s: float, cut_off: bool, word: str, told_s: float, heard_s: float, states: dict[str, float]
) -> None:
    eyes = Eyes(
        front(health, age_s),
        {"vantage/witness": says(word, told_s, heard_s), "vantage/post": shows(states, heard_s)},
        "no anchor answers" if cut_off else "",
    )
    found = {vote.point: vote for vote in poll(INVENTORY, "ncts", "main", eyes, NOW).votes}
    assert all(vote.age_s <= MAX_AGE_S for vote in found.values() if vote.word is not Word.UNKNOWN)
    if found[OWN].word is Word.DOWN:
        assert health is Health.DOWN
        assert not cut_off
    if found["witness"].word is Word.DOWN:
        assert word == "down"
        assert abs(heard_s) + told_s <= MAX_AGE_S
    if found["post"].word is Word.DOWN:
        assert states.get("dr 1 interface") == 1
        assert states.get("main 1 bgp") != 6
    assert not any(math.isnan(vote.age_s) for vote in found.values())

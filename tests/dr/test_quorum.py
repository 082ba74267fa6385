"""The quorum guard: an alarm's failover needs votes, a person's is told, and who said what is kept in the run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import House, house

from dr.errors import IllegalEvent
from dr.evidence.render import to_html, to_json
from dr.evidence.report import report
from dr.forecast import Forecast
from dr.guard import Facts
from dr.guards.quorum import quorum
from dr.journal.ballot import heard, poll_of
from dr.journal.event import RunAccepted, VotesHeard, decode, encode
from dr.journal.fold import begin, fold
from dr.journal.run import Run, RunState
from monitor.status.votes import Poll, Vote, Word

FACTS = Facts((), (), {"ncts": "main"})
FAILOVER = plan(step("look"), kind="failover")
OWN = Vote("this-daemon", Word.DOWN, "front/ncts/main", 1.0, "no answer")
WITNESS = Vote("witness", Word.DOWN, "front/ncts/main", 2.0, "refused")
POST = Vote("post", Word.UP, "site/main", 1.0, "its router reaches main by session 1")
LOST = Poll("main", 2, (OWN, WITNESS))
WORDS = st.sampled_from(Word)


def told(*words: Word, needed: int = 2) -> Poll:
    return Poll("main", needed, tuple(Vote(f"p{n}", word, "site/main", 1.0, "") for n, word in enumerate(words)))


def run_of(poll: Poll | None, origin: str = "alarm", kind: str = "failover", approved_by: str = "") -> Run:
    accepted = RunAccepted(1.0, plan(step("look"), kind=kind).to_json(), "karaula", "", origin, "", 0.0, 0.0)
    run = begin("one", accepted)
    run = run if poll is None else fold(run, heard(poll, 2.0))
    return replace(run, approved_by=approved_by)


def ruled(run: Run) -> tuple[str, str]:
    verdict = quorum(run, FACTS, None, 3.0)
    assert verdict.sentence
    return verdict.ruling.value, verdict.reason


@pytest.mark.parametrize(
    ("run", "ruling", "reason"),
    [
        (run_of(None, kind="drill"), "allow", "no-failover"),
        (run_of(LOST), "allow", "quorum"),
        (run_of(None), "wait", "no-votes"),
        (run_of(told(Word.DOWN)), "wait", "own-word-alone"),
        (run_of(told(Word.DOWN, Word.UNKNOWN)), "wait", "no-quorum"),
        (run_of(told(Word.UP, Word.UP)), "wait", "no-quorum"),
        (run_of(told(Word.DOWN, Word.DOWN, Word.UP)), "wait", "contradicted"),
        (run_of(told(Word.DOWN, Word.DOWN, needed=3)), "wait", "no-quorum"),
        (run_of(told(Word.DOWN, Word.UP), approved_by="ana"), "allow", "person-decided"),
        (run_of(told(Word.DOWN, Word.UP), origin="person"), "allow", "contradicted-person"),
        (run_of(None, origin="person"), "allow", "no-votes-person"),
    ],
)
def test_an_alarm_needs_a_quorum_and_a_person_is_told(run: Run, ruling: str, reason: str) -> None:
    assert ruled(run) == (ruling, reason)


def test_the_sentence_says_who_said_what() -> None:
    poll = Poll(
        "main", 2, (*LOST.votes, Vote("post", Word.UP, "site/main", 1.0, "its router reaches main by session 1"))
    )
    sentence = quorum(run_of(poll), FACTS, None, 3.0).sentence
    assert "2 of 3 vantage points say that main is down (this-daemon, witness)" in sentence
    assert "it answers, says post (its router reaches main by session 1)" in sentence


@given(st.lists(WORDS, max_size=5), st.integers(2, 4), st.sampled_from(["alarm", "person", "schedule"]))
def test_no_alarm_goes_on_alone_without_enough_and_unanimous_votes(words: list[Word], needed: int, origin: str) -> None:
    ruling, _ = ruled(run_of(told(*words, needed=needed), origin))
    agreed = words.count(Word.DOWN) >= needed and Word.UP not in words
    assert (ruling == "allow") is (agreed or origin != "alarm")


AGES = st.floats(0, 1e6) | st.just(math.inf)


@given(st.lists(st.tuples(WORDS, AGES, st.text(max_size=20)), max_size=4), st.integers(2, 5))
def test_votes_survive_their_journal(said: list[tuple[Word, float, str]], needed: int) -> None:
    votes = tuple(Vote(f"p{n}", word, "site/main", age, why) for n, (word, age, why) in enumerate(said))
    poll = Poll("main", needed, votes)
    event = decode(*encode(heard(poll, 5.0)))
    assert isinstance(event, VotesHeard)
    assert poll_of(event) == poll


@pytest.mark.parametrize(
    "event",
    [
        VotesHeard(2.0, "dr", 2, {}),
        VotesHeard(2.0, "main", 1, {}),
        VotesHeard(2.0, "main", 2, {"a": {"word": "gone", "looks_at": "", "age_s": 1.0, "reason": ""}}),
        VotesHeard(2.0, "main", 2, {"a": {"word": "down"}}),
        VotesHeard(2.0, "main", 2, {"a": {"word": "down", "looks_at": "", "age_s": "old", "reason": ""}}),
    ],
)
def test_votes_that_cannot_have_been_heard_do_not_load(event: VotesHeard) -> None:
    with pytest.raises(IllegalEvent):
        fold(run_of(None), event)


def test_an_earlier_version_wrote_no_word_of_automatic_runs() -> None:
    word, body = encode(RunAccepted(1.0, FAILOVER.to_json(), "ana", "", "person", "", 0.0, 0.0))
    earlier = body.replace('"automatic":false,', "")
    assert earlier != body
    assert decode(word, earlier) == decode(word, body)


def asked(at: House, poll: Poll | None) -> None:
    at.orchestrator.world = replace(at.orchestrator.world, poll=lambda _system, _site: poll)


@pytest.mark.anyio
async def test_what_was_said_is_in_the_run_its_journal_and_its_report(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        asked(at, told(Word.DOWN, Word.UNKNOWN))
        run = await at.submit(origin="alarm", requester="karaula", origin_ref="ncts-down:1")
        assert run.state is RunState.WAITING
        assert run.poll == told(Word.DOWN, Word.UNKNOWN)
        assert any(note.guard == "quorum" and note.reason == "no-quorum" for note in run.guards)
        asked(at, told(Word.DOWN, Word.UP))
        await at.approve(run)
        run = await at.until(run)
        assert run.state is RunState.SUCCEEDED
        assert run.poll == told(Word.DOWN, Word.UP), "before the start they were asked once more"
        assert any(note.reason == "person-decided" for note in run.guards)
        events = at.orchestrator.events(run.id)
        assert [type(event).__name__ for event in events].count("VotesHeard") == 2
        found = report(run, events, {}, at.orchestrator.world.inventory, Forecast(0, None, None, ()), 9.0)
        assert [(vote.point, vote.word) for vote in found.votes] == [("p0", "down"), ("p1", "up")]
        assert "<td>p1</td>" in to_html(found)
        assert '"word": "up"' in to_json(found)


@pytest.mark.anyio
async def test_only_a_failover_asks_and_the_plan_shows_what_would_be_said(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        asked(at, LOST)
        verdicts = at.orchestrator.verdicts(at.orchestrator.plan("failover", "ncts"), "karaula", "alarm")
        assert [(verdict.ruling.value, verdict.reason) for verdict in verdicts if verdict.guard == "quorum"] == [
            ("allow", "quorum")
        ]
        backup = await at.until(await at.submit("backup"))
        assert backup.poll is None

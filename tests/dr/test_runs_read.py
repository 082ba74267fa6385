"""A run under way goes on before all runs are read, judged as if they were; nobody takes a part of them for all."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_kit import FAILOVER as PLAN
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import INVENTORY, PATIENCE_S, Act, Gate, House, acts, house
from test_guard_safety import ONE_WRITER

from dr.engine import runs as reading
from dr.engine.observed import fenced
from dr.engine.orchestrator import Orchestrator
from dr.errors import IllegalEvent, RunRefused
from dr.journal import schema
from dr.journal.event import (
    Event,
    Interrupted,
    RunAccepted,
    RunEnded,
    RunStarted,
    StepStarted,
    StepSucceeded,
    encode,
)
from dr.journal.fold import fold_all
from dr.journal.glance import Remainder, glance
from dr.journal.run import Run, RunState
from dr.journal.sqlite import BESIDE, SqliteJournal
from dr.journal.story import Story, gleaned, token_in
from monitor.errors import StateError

EARLIER = 5


@asynccontextmanager
async def reopened(folder: Path, **more: Any) -> AsyncIterator[tuple[House, asyncio.Event, asyncio.Task[None]]]:
    """Start a daemon that reads what comes first, and all else once the event is set; the task is its start."""
    async with house(folder, started=False, **more) as at:
        rest = asyncio.Event()
        fill = at.orchestrator.held.fill

        async def later() -> None:
            await rest.wait()
            await fill()

        at.orchestrator.held.fill = later  # type: ignore[method-assign]  # the daemon's disk is slow
        starting = asyncio.create_task(at.orchestrator.start())
        yield at, rest, starting
        rest.set()
        await asyncio.gather(starting, return_exceptions=True)


def read_so_far(at: House) -> dict[str, Run]:
    return at.orchestrator.held._runs


async def until(at: House, run: Run, *states: RunState) -> Run:
    """Wait for the run, without asking for all."""
    async with asyncio.timeout(PATIENCE_S):
        while (now := read_so_far(at).get(run.id)) is None or now.state not in states:  # noqa: ASYNC110 - as House.until
            await asyncio.sleep(0.001)
    return now


async def died_in_a_failover(folder: Path, gate: Gate) -> tuple[Run, list[Run]]:
    """Leave a journal in which earlier runs are over, of both systems, and a failover of ncts is under way."""
    actions = acts(promote=Act("promote", ("role", "primary"), gate))
    async with house(folder, actions) as at:
        earlier = [await at.until(await at.submit("backup", system)) for system in ("ncts", "ite") for _ in range(2)]
        run = await at.approve(await at.submit())
        async with asyncio.timeout(PATIENCE_S):
            await gate.entered.wait()
    return run, earlier


def change(folder: Path, run_id: str, word: str, body: dict[str, object]) -> None:
    db = sqlite3.connect(folder / "journal.sqlite")
    with db:
        changed = db.execute(
            "UPDATE events SET body = ? WHERE run_id = ? AND word = ?", (json.dumps(body), run_id, word)
        )
        assert changed.rowcount == 1
    db.close()


# -- who goes on -------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_run_under_way_goes_on_before_the_others_are_read(tmp_path: Path) -> None:
    run, earlier = await died_in_a_failover(tmp_path, Gate())
    async with reopened(tmp_path) as (at, rest, starting):
        done = await until(at, run, RunState.SUCCEEDED)
        assert set(read_so_far(at)) == {run.id}
        assert not at.orchestrator.held.whole
        assert not starting.done()
        rest.set()
        async with asyncio.timeout(PATIENCE_S):
            await starting
        assert {each.id for each in at.orchestrator.runs()} == {run.id, *(each.id for each in earlier)}
        as_told = [(each.id, each, at.orchestrator.events(each.id)) for each in at.orchestrator.runs()]
    async with house(tmp_path) as at:
        assert at.orchestrator.run(run.id) == done
        assert [(each.id, each, at.orchestrator.events(each.id)) for each in at.orchestrator.runs()] == as_told
        assert {key: fold_all(key, events) for key, events in at.journal.load().items()} == {
            each.id: each for each in at.orchestrator.runs()
        }


@pytest.mark.anyio
async def test_what_is_still_under_way_then_is_neither_waited_for_nor_taken_up_again(tmp_path: Path) -> None:
    run, _ = await died_in_a_failover(tmp_path, Gate())
    gate = Gate()
    actions = acts(http_check=Act("http_check", None, gate))
    async with reopened(tmp_path, actions=actions) as (at, rest, starting):
        async with asyncio.timeout(PATIENCE_S):
            await gate.entered.wait()
            rest.set()
            await starting
        assert at.orchestrator.run(run.id).interruptions == 1
        gate.open.set()
        assert (await at.until(run)).state is RunState.SUCCEEDED
    assert actions["http_check"].calls == ["run 1"]


@pytest.mark.anyio
async def test_a_lease_that_is_lost_and_taken_meanwhile_lets_each_run_be_driven_once(tmp_path: Path) -> None:
    run, _ = await died_in_a_failover(tmp_path, Gate())
    gate = Gate()
    actions = acts(http_check=Act("http_check", None, gate))
    async with reopened(tmp_path, actions=actions) as (at, rest, starting):
        async with asyncio.timeout(PATIENCE_S):
            await gate.entered.wait()
            at.orchestrator.let_go()
            rest.set()
            await asyncio.gather(at.orchestrator.take_up(), starting)
        gate.open.set()
        async with asyncio.timeout(PATIENCE_S):
            while not at.orchestrator.run(run.id).state.final:
                at.clock.advance(5.0)  # until it is tried again
                await asyncio.sleep(0.002)
        done = at.orchestrator.run(run.id)
        events = at.orchestrator.events(run.id)
    assert done.state is RunState.SUCCEEDED
    assert [type(event) for event in events].count(Interrupted) == done.interruptions == 2
    assert len(actions["http_check"].calls) == 2  # it only reads: it is done again


@pytest.mark.anyio
async def test_a_journal_that_cannot_be_read_to_its_end_is_no_start(tmp_path: Path) -> None:
    run, _ = await died_in_a_failover(tmp_path, Gate())

    def spoilt(*_args: object) -> dict[str, Story]:
        raise StateError("a page of the disk cannot be read")

    async with house(tmp_path, started=False) as at:
        at.journal.read_on = spoilt  # type: ignore[method-assign]  # the disk
        with pytest.raises(StateError, match="a page of the disk"):
            await at.orchestrator.start()
    async with house(tmp_path) as at:
        assert (await at.until(run)).state is RunState.SUCCEEDED


# -- who is held -------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_run_that_is_not_let_in_yet_waits_for_what_the_others_say(tmp_path: Path) -> None:
    """Of the damaged run of its system nothing was read yet when it could have been judged."""
    async with house(tmp_path) as at:
        bad = await at.until(await at.submit("backup"))
        at.journal.full_after = 1
        with pytest.raises(StateError):
            await at.submit("backup", origin="schedule", origin_ref="slot")
        (run,) = (each for each in at.orchestrator.runs() if each.state is RunState.ACCEPTED)
    change(tmp_path, bad.id, "RunEnded", {"at": 1.0, "state": "SUCCEEDED", "reason": "", "more": 1})
    async with reopened(tmp_path) as (at, rest, _):
        await until(at, run, RunState.ACCEPTED)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert read_so_far(at)[run.id].state is RunState.ACCEPTED
        rest.set()
        refused = await until(at, run, RunState.CANCELED)
    assert "is damaged" in refused.end_reason


@pytest.mark.anyio
async def test_who_asks_for_more_than_was_read_waits_for_all(tmp_path: Path) -> None:
    run, earlier = await died_in_a_failover(tmp_path, Gate())
    everything = {run.id, *(each.id for each in earlier)}
    asks: list[Callable[[Orchestrator], object]] = [
        lambda daemon: daemon.runs(),
        lambda daemon: daemon.placement(),
        lambda daemon: daemon.promoted("ncts"),
        lambda daemon: daemon.problems(),
        lambda daemon: daemon.free_id("ncts", "backup", 0.0),
        lambda daemon: daemon.run(earlier[0].id),
        lambda daemon: daemon.plan("backup", "ncts"),
        lambda daemon: daemon.held.joints,
    ]
    for ask in asks:
        async with reopened(tmp_path, actions=acts(http_check=Act("http_check", None, Gate()))) as (at, _, _):
            await until(at, run, RunState.IN_PROGRESS)
            assert set(read_so_far(at)) == {run.id}
            ask(at.orchestrator)
            assert set(read_so_far(at)) == everything


@pytest.mark.anyio
async def test_a_request_in_the_midst_of_reading_is_judged_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 1)
    async with house(tmp_path) as at:
        await at.moved()
        for _ in range(EARLIER):
            await at.until(await at.submit("backup", "ite"))
    async with house(tmp_path, started=False) as at:
        starting = asyncio.create_task(at.orchestrator.start())
        async with asyncio.timeout(PATIENCE_S):
            while len(read_so_far(at)) < 3:  # noqa: ASYNC110 - a moment in the midst, of which nobody tells
                await asyncio.sleep(0)
        assert not at.orchestrator.held.whole
        with pytest.raises(RunRefused, match="ncts is already active at dr"):  # while the next few are being read
            await at.submit()
        await starting
        assert len(at.orchestrator.runs()) == EARLIER + 2
        for each in at.orchestrator.runs():
            assert at.orchestrator.events(each.id) == at.journal.load()[each.id]


# -- what its steps are judged by --------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("readable", [True, False])
async def test_its_token_is_above_those_of_runs_that_are_not_read_yet(tmp_path: Path, readable: bool) -> None:
    gate = Gate()
    run, earlier = await died_in_a_failover(tmp_path, gate)
    body: dict[str, object] = {"at": 1.0, "token": 50}
    if not readable:
        body["more"] = 1
    change(tmp_path, earlier[1].id, "RunStarted", body)
    if readable:  # the tokens after it may not be lower
        begun = {"at": 1.0, "step": "write", "attempt": 1, "key": "k", "token": 50}
        change(tmp_path, earlier[1].id, "StepStarted", begun)
    async with reopened(tmp_path, epochs=lambda _system: 50) as (at, rest, _):
        done = await until(at, run, RunState.SUCCEEDED)
        assert not at.orchestrator.held.whole
        assert done.token == 51
        rest.set()
        assert at.orchestrator.runs()
        assert bool(at.orchestrator.problems()) is not readable


@pytest.mark.anyio
async def test_its_steps_are_judged_as_if_all_were_read(tmp_path: Path) -> None:
    """The fence that an earlier run has left closed lets the promotion pass, read first or last."""
    inventory = INVENTORY.model_copy(update={"safety": {"one-writer": ONE_WRITER}})
    gate = Gate()

    def seen(subject: str) -> dict[str, str]:
        return {"status": "ok", "role": "active"} if subject == "front/ncts/dr" else {}

    actions = acts(fence=Act("fence", ("fence", "on"), gate, outputs=("proof",)))
    async with house(tmp_path) as at:
        await at.moved()
        for _ in range(EARLIER):
            await at.until(await at.submit("backup", "ite"))
    async with house(tmp_path, actions) as at:
        run = await at.approve(await at.submit("failback"))
        async with asyncio.timeout(PATIENCE_S):
            await gate.entered.wait()
    actions["fence"].does = Gate()
    async with reopened(tmp_path, actions=actions, inventory=inventory) as (at, rest, starting):
        at.orchestrator.world = replace(at.orchestrator.world, observed=seen)
        now = await until(at, run, RunState.IN_PROGRESS)
        early = {step: at.orchestrator.judge(now, step, 0.0) for step in now.steps}
        assert not at.orchestrator.held.whole
        proven = fenced(at.orchestrator.held.at_fences(), "ncts", "main")
        assert proven[0] == "on"
        rest.set()
        await starting
        assert {step: at.orchestrator.judge(now, step, 0.0) for step in now.steps} == early
        assert fenced(at.orchestrator.runs(), "ncts", "main") == proven
    assert {verdict.guard for verdicts in early.values() for verdict in verdicts} >= {"safety", "fencing", "lease"}


# -- the glance --------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_spoiled_index_hides_neither_a_run_nor_its_end(tmp_path: Path) -> None:
    await died_in_a_failover(tmp_path, Gate())
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    root = db.execute("SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'outputs'").fetchone()
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_master SET rootpage = ? WHERE type = 'index' AND tbl_name = 'events'", root)
    db.commit()
    db.close()
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    try:
        as_it_lies = {key: story.events for key, story in journal.stories().items()}
        seen = journal.glance()
        found = dict(journal.stories_of(seen.first))
        left = Remainder({key: end for key, end in seen.ends.items() if key not in seen.first})
        while not left.over:
            found |= journal.read_on(left, 7)
    finally:
        journal.close()
    assert {key: story.events for key, story in found.items()} == as_it_lies
    assert len(seen.first) == 1
    assert list(left.order) == list(as_it_lies)


Row = tuple[str, int, str, bytes]


def story_of(run_id: str, *, fences: bool, over: bool) -> list[Row]:
    steps = PLAN.steps if fences else PLAN.steps[1:2]
    plan = replace(PLAN, kind="failover" if fences else "backup", steps=steps)
    events: list[Event] = [RunAccepted(1.0, plan.to_json(), "ana", "token fence", "person", "", 0.0, 0.0)]
    if not fences:
        events += [RunStarted(2.0, 3), StepStarted(2.0, "power", 1, "k", 4), StepSucceeded(3.0, "power", 1, {}, "", "")]
    if over:
        events.append(RunEnded(4.0, "SUCCEEDED" if not fences else "CANCELED", ""))
    return [(run_id, seq, word, body.encode()) for seq, (word, body) in enumerate(map(encode, events))]


STORIES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4)
HARM = st.sampled_from(["none", "gone", "word", "cut", "token", "late", "first", "again"])


def harmed(rows: list[Row], how: str, at: int) -> list[Row]:
    """Return the journal after somebody's hand was in it."""
    place = at % len(rows)
    run_id, seq, word, body = rows[place]
    others = rows[:place], rows[place + 1 :]
    changed = {
        "word": (run_id, seq, "RunEnded", body),
        "cut": (run_id, seq, word, body[:-1]),
        "token": (run_id, seq, word, b'{"token":77,' + body[1:]),
        "late": (run_id, seq + 9, word, body),
        "again": (run_id, seq, "RunStarted", b'{"at":1.0,"token":' + str(at).encode() + b"}"),
    }
    if how == "first":
        return [rows[place], *others[0], *others[1]]
    if how in changed:
        return [*others[0], changed[how], *others[1]]
    return rows if how == "none" else [*others[0], *others[1]]


@given(STORIES, st.lists(st.tuples(HARM, st.integers(0, 99)), max_size=3))
def test_a_glance_misses_no_run_that_is_not_over_no_fence_and_no_token(
    stories: list[tuple[bool, bool]], harms: list[tuple[str, int]]
) -> None:
    rows: list[Row] = []
    for number, (fences, over) in enumerate(stories):
        rows += story_of(f"r{number}", fences=fences, over=over)
    for how, at in harms:
        rows = harmed(rows, how, at) or rows
    db = sqlite3.connect(":memory:", isolation_level=None)
    assert not schema.match(db)
    told: dict[str, Story] = {}
    for run_id, seq, word, body in [("pause/1", 0, "PauseBegun", b'{"token":99}'), *rows]:
        db.execute("INSERT INTO events VALUES (NULL, ?, ?, 0, ?, ?, x'')", (run_id, seq, word, body.decode()))
        if not run_id.startswith(BESIDE):
            told.setdefault(run_id, Story()).add(seq, word, body)
    seen = glance(db, BESIDE)
    db.close()
    assert seen.ends.keys() == told.keys()
    assert seen.token == max((token_in(gleaned(body)) for *_, body in rows), default=0)
    for run_id, story in told.items():
        try:
            run = None if story.damage else fold_all(run_id, story.events)
        except IllegalEvent:
            run = None
        if run is not None:
            assert run.token <= seen.token
            assert run.state.final or run_id in seen.first
            assert run_id in seen.first or not reading._touches_a_fence(run)

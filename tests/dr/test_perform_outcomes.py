"""Whatever an action does, throws or says: the step gets an outcome that can be journaled, read again and shown."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import BACKUP, Act, HeldClock, acts, blind, house, lost, world_of

from dr.action import Context, Done, Holds, Seen
from dr.engine import tidy
from dr.engine.perform import Performer
from dr.errors import StepFailed as Failure
from dr.journal.event import StepFailed, StepProbed, StepSucceeded, StepUnknown, UndoFailed, decode, encode
from dr.journal.run import Run, RunState
from monitor.errors import DeadlineExceeded, Refused

pytestmark = pytest.mark.anyio
SECRET = "hunter2-of-the-vcenter"


class Panic(BaseException):
    """What a Rust extension raises when it panics."""


def throwing(error: BaseException) -> Callable[[Context], Awaitable[Any]]:
    async def throw(context: Context) -> Any:
        raise error

    return throw


def yielding(what: Any) -> Callable[[Context], Awaitable[Any]]:
    async def give(context: Context) -> Any:
        return what

    return give


async def hang(context: Context) -> Any:
    await asyncio.Event().wait()


def loud(text: str) -> Callable[[Context], Awaitable[Done]]:
    async def say(context: Context) -> Done:
        context.say(text)
        return Done()

    return say


async def ended(folder: Path, write: Act, text: str = BACKUP, credentials: Path | None = None) -> tuple[Run, list[Any]]:
    """Run the one step through everything, then load its journal as the next daemon does."""
    clock = HeldClock()
    async with house(folder, acts(write=write), {"backup": text}, clock=clock, credentials=credentials) as at:
        if credentials is not None:
            at.orchestrator.world.credentials.secret("vcenter")
        run = await at.until(await at.submit("backup"))
        assert at.orchestrator.problems() == []
        events = at.orchestrator.events(run.id)
        outputs = await at.orchestrator.outputs(run.id)
    async with house(folder, acts(write=write), {"backup": text}, clock=clock) as at:
        assert at.orchestrator.run(run.id) == run
        assert at.orchestrator.events(run.id) == events
    kept = json.loads(json.dumps([encode(event) for event in events], allow_nan=False))
    return run, [*kept, *(output.text for output in outputs)]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Panic("index out of bounds"), "the action broke: Panic"),
        (SystemExit(1), "the action broke: SystemExit"),
        (KeyboardInterrupt(), "the action broke: KeyboardInterrupt"),
        (asyncio.CancelledError("from inside"), "the action broke: CancelledError"),
        (TimeoutError("a socket's own"), "the action broke: TimeoutError"),
        (KeyError("nobody"), "the action broke: KeyError"),
        (RecursionError("too deep"), "the action broke: RecursionError"),
        (DeadlineExceeded("no reply"), "no reply"),
    ],
)
@pytest.mark.parametrize("holds", list(Holds))
async def test_what_broke_is_asked_of_the_world(
    tmp_path: Path, error: BaseException, says: str, holds: Holds, caplog: pytest.LogCaptureFixture
) -> None:
    write = Act("write", ("backup", "written"), throwing(error), yielding(Seen(holds, "looked")))
    with caplog.at_level(logging.CRITICAL):
        run, _ = await ended(tmp_path, write)
    assert write.calls == ["run 1", "probe"]
    assert run.state is (RunState.SUCCEEDED if holds is Holds.YES else RunState.FAILED)
    assert says in run.steps["write"].reason


@pytest.mark.parametrize("error", [Panic("x"), SystemExit(1), TimeoutError("own"), asyncio.CancelledError()])
async def test_a_probe_that_breaks_cannot_tell(
    tmp_path: Path, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        run, _ = await ended(tmp_path, Act("write", ("backup", "written"), lost, throwing(error)))
    assert run.steps["write"].stuck
    assert f"the probe of 'write' broke: {type(error).__name__}" in run.end_reason


async def test_an_action_and_a_probe_that_hang_cost_their_time_and_no_more(tmp_path: Path) -> None:
    run, _ = await ended(tmp_path, Act("write", ("backup", "written"), hang, hang), BACKUP.replace(": 60", ": 0.05"))
    assert run.state is RunState.FAILED
    assert run.steps["write"].reason == "no answer within 0.05 s"
    assert run.steps["write"].evidence == "no answer to the probe within 0.05 s"


@pytest.mark.parametrize("what", [None, "done", {"value": 1}, Seen(Holds.YES, "mixed up")])
async def test_an_action_that_returns_nonsense_does_not_leave_its_step_under_way(
    tmp_path: Path, what: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        run, _ = await ended(tmp_path, Act("write", None, yielding(what)))
    assert run.state is RunState.FAILED or what == Seen(Holds.YES, "mixed up")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text", "text"),
        (7, 7),
        (True, True),
        (1.5, 1.5),
        (math.nan, None),
        (math.inf, None),
        (2**63, None),
        (10**5000, None),
        (None, None),
        ([1, 2], None),
        ({"a": 1}, None),
        (b"bytes", None),
        ("half \udc80 a character", "half ? a character"),
        ("nul \x00", "nul \x00"),
        ("x" * 20_000, "x" * 10_000 + " [cut: 20000 characters]"),
    ],
    ids=lambda value: str(type(value).__name__),
)
async def test_outputs_are_kept_as_far_as_the_journal_can_give_them_back(tmp_path: Path, value: Any, kept: Any) -> None:
    write = Act("write", ("backup", "written"), yielding(Done({"value": value, "other": 1})))
    run, told = await ended(tmp_path, write)
    assert run.state is RunState.SUCCEEDED
    expected = {"other": 1} if kept is None else {"value": kept, "other": 1}
    assert dict(run.steps["write"].outputs) == expected
    assert ("the output 'value' is not kept" in told[-1]) == (kept is None)


@given(st.dictionaries(st.text(max_size=5), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=2),
), max_size=4))  # fmt: skip
def test_tidy_outputs_always_fit_the_journal(told: dict[str, Any]) -> None:
    complaints: list[str] = []
    kept = tidy.outputs(told, lambda text: text, complaints.append)
    event = StepSucceeded(0.0, "s", 1, kept, "", "")
    assert decode(*encode(event)) == event
    assert len(kept) + len(complaints) == len(told)


async def test_a_flood_is_cut_and_says_so(tmp_path: Path) -> None:
    async def flood(context: Context) -> Done:
        for _ in range(50):
            context.say("y" * 100_000)
        raise Refused("z" * 50_000)

    run, told = await ended(tmp_path, Act("write", ("backup", "written"), flood))
    assert len(run.steps["write"].reason) < 11_000
    assert len(told[-1]) < 4_100_000
    assert "more lines were not kept" in told[-1]


async def test_no_secret_is_kept_or_told_wherever_it_stands(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "vcenter").write_text(SECRET)

    async def leaks(context: Context) -> Done:
        context.say(f"log in with {SECRET}")
        if context.attempt < 3:
            raise (DeadlineExceeded, RuntimeError)[context.attempt - 1](f"refused {SECRET}")
        return Done({"value": f"session {SECRET}"})

    async def saw(context: Context) -> Seen:
        holds = Holds.YES if context.attempt == 3 else Holds.NO
        return Seen(holds, f"saw {SECRET}", {"value": f"probe {SECRET}"})

    write = Act("write", ("backup", "written"), leaks, saw)
    text = BACKUP.replace(": 60", ": 60, retries: 3, retry_wait_s: 0")
    run, told = await ended(tmp_path, write, text, tmp_path / "credentials")
    assert run.state is RunState.SUCCEEDED
    assert run.steps["write"].attempt == 3
    assert run.steps["write"].outputs["value"] == "session ***"
    assert SECRET not in str(told)
    assert SECRET not in caplog.text
    assert b"hunter2" not in (tmp_path / "journal.sqlite").read_bytes()


async def test_what_a_probe_says_is_tidied_as_well(tmp_path: Path) -> None:
    (tmp_path / "vcenter").write_text(SECRET)
    world = world_of(HeldClock(), tmp_path)
    world.credentials.secret("vcenter")
    sees = yielding(Seen(Holds.YES, f"saw {SECRET}", {"value": SECRET, "bad": math.nan}))
    write = Act("write", ("backup", "written"), lost, sees)
    async with house(tmp_path, acts(write=Act("write", ("backup", "written"), lost, blind)), {"backup": BACKUP}) as at:
        run = await at.until(await at.submit("backup"))
    performer = Performer({"write": write}, world, lambda *_: None)  # type: ignore[dict-item]  # a test's action
    event = (await performer.probe(run, "write")).event
    assert isinstance(event, StepProbed)
    assert (event.evidence, event.outputs) == ("saw ***", {"value": "***"})


async def test_an_action_that_is_gone_gives_every_question_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path, texts={"backup": BACKUP}) as at:
        run = await at.until(await at.submit("backup"))
    performer = Performer({}, world_of(HeldClock()), lambda *_: None)
    ran = (await performer.run(run, "write")).event
    probed = (await performer.probe(run, "write")).event
    undone = (await performer.undo(run, "write")).event
    assert isinstance(ran, StepFailed)
    assert isinstance(probed, StepProbed)
    assert isinstance(undone, UndoFailed)
    assert probed.holds == "cannot-tell"
    assert all("no action 'write'" in said for said in (ran.reason, probed.evidence, undone.reason))


async def test_the_daemons_own_end_is_not_an_outcome(tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def waits(context: Context) -> Done:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    write = Act("write", ("backup", "written"), waits)
    async with house(tmp_path, acts(write=write), {"backup": BACKUP}) as at:
        run = await at.submit("backup")
        await entered.wait()
    async with house(tmp_path, acts(write=write), {"backup": BACKUP}) as at:
        run = await at.until(run)
        kinds = [type(event) for event in at.orchestrator.events(run.id)]
    assert StepUnknown not in kinds
    assert run.interruptions == 1
    assert write.calls == ["run 1", "probe"]


async def test_an_ignored_step_leaves_out_whom_it_would_have_served(tmp_path: Path) -> None:
    """Whatever refers to an output that is not there is left out, and the run says so: it did not succeed."""
    text = """
kind: backup
summary: Refer
steps:
  - { id: write, action: write, timeout_s: 60, on_failure: continue }
finally:
  - { id: tidy, action: look, timeout_s: 60, args: { note: "${steps.write.value}" } }
"""
    run, _ = await ended(tmp_path, Act("write", ("backup", "written"), throwing(Failure("no"))), text)
    assert run.state is RunState.FAILED
    assert "steps.write.value" in run.steps["tidy"].reason


async def test_lines_are_heard_as_they_come_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "vcenter").write_text(SECRET)
    heard: list[str] = []
    async with house(tmp_path, acts(write=Act("write", None, loud(f"a {SECRET} \udcff"))), {"backup": BACKUP}) as at:
        object.__setattr__(at.orchestrator.world.credentials, "directory", tmp_path)
        at.orchestrator.world.credentials.secret("vcenter")
        at.orchestrator.subscribe(lambda *_: None, lambda _run, _step, _attempt, line: heard.append(line))
        await at.until(await at.submit("backup"))
    assert heard == ["a *** ?"]

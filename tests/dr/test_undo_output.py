"""What an undo prints is told live, kept without secrets, vouched for by the journal, and shown in the report."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from orchestrator_kit import Act, House, by_ana, house, refused

from dr.action import Context, Done, Output
from dr.engine import commands
from dr.errors import StepFailed
from dr.evidence.render import to_html, to_json
from dr.evidence.report import Report, report
from dr.evidence.verify import verify
from dr.forecast import Forecast
from dr.journal.event import UndoSucceeded, decode
from dr.journal.run import Run, StepState

pytestmark = pytest.mark.anyio
TEXT = """
kind: backup
summary: Put a note there, and take it back
steps:
  - { id: note, action: note, site: from, timeout_s: 60 }
  - { id: look, action: look, site: from, needs: [note], timeout_s: 60, on_failure: undo }
"""


class Note(Act):
    """Puts a note there; taking it back says how, and fails where a test says so."""

    fails = False

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        context.say("removing the note of hunter2")
        if self.fails:
            raise StepFailed("the note is nailed down")
        return Done()


async def undone(here: House) -> Run:
    lines: list[tuple[str, int, str]] = []
    here.orchestrator.subscribe(lambda *_: None, lambda _run, step, attempt, line: lines.append((step, attempt, line)))
    here.orchestrator.world.credentials.secret("password")
    run = await here.until(await here.submit("note"))
    said = [line for step, attempt, line in lines if step == "note" and attempt < 0]
    assert said[0] == "removing the note of ***"
    return run


async def reported(here: House, run: Run) -> Report:
    outputs = {(one.step, one.attempt): one.text for one in await here.orchestrator.outputs(run.id)}
    events = here.orchestrator.events(run.id)
    return report(run, events, outputs, here.orchestrator.world.inventory, Forecast(0), here.clock.now())


def notes(*, fails: bool = False) -> dict[str, Act]:
    note = Note("note", ("note", "there"), undoable=True)
    note.fails = fails
    return {"note": note, "look": Act("look", does=refused)}


@pytest.mark.parametrize(
    ("fails", "state", "result", "last"),
    [
        (False, StepState.UNDONE, "succeeded", "undone"),
        (True, StepState.UNDO_FAILED, "failed", "not undone: the note is nailed down"),
    ],
)
async def test_it_is_kept_and_shown(fails: bool, state: StepState, result: str, last: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    async with house(tmp_path, notes(fails=fails), {"note": TEXT}, credentials=tmp_path) as here:
        run = await undone(here)
        assert run.steps["note"].state is state
        made = await reported(here, run)
        attempt, undo = made.steps[0].attempts
        assert (attempt.name, undo.name, undo.result) == ("attempt 1", "undo 1", result)
        assert undo.output.splitlines() == ["removing the note of ***", last]
        assert undo.output_intact
        for shown in (to_html(made), to_json(made)):
            assert "removing the note of ***" in shown
            assert "hunter2" not in shown
    path = tmp_path / "journal.sqlite"
    assert verify(path, (), None).faults == ()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE outputs SET text = 'nothing' WHERE attempt < 0")
    assert verify(path, (), None).faults == (
        f"the output of step 'note', its undo, of run {run.id} is not what was printed",
    )
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM outputs WHERE attempt < 0")
    assert verify(path, (), None).faults == (f"the output of step 'note', its undo, of run {run.id} is missing",)


async def test_an_output_that_was_changed_is_a_finding_of_the_report(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    async with house(tmp_path, notes(), {"note": TEXT}, credentials=tmp_path) as here:
        run = await undone(here)
        with sqlite3.connect(tmp_path / "journal.sqlite") as db:
            db.execute("UPDATE outputs SET text = 'nothing' WHERE attempt < 0")
        made = await reported(here, run)
        assert not made.steps[0].attempts[1].output_intact
        assert any("note, undo 1" in finding.what for finding in made.findings)


def test_an_undo_of_an_earlier_version_printed_nothing_that_was_kept() -> None:
    assert decode("UndoSucceeded", '{"at": 1.0, "step": "note"}') == UndoSucceeded(1.0, "note", "", 0)


async def test_a_person_may_have_it_undone_and_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    actions = notes()
    actions["look"] = Act("look")
    async with house(tmp_path, actions, {"note": TEXT}, credentials=tmp_path) as here:
        entered: list[str] = []

        async def hold(context: Context) -> Done:
            entered.append(context.step)
            await here.clock.sleep(1.0)
            raise StepFailed("no")

        actions["look"].does = hold
        run = await here.submit("note")
        await here.until(run, run.state, also=lambda _run: bool(entered))
        here.orchestrator.world.credentials.secret("password")
        await here.orchestrator.command(run.id, lambda run, now: by_ana(commands.undo, run, now))  # type: ignore[arg-type,return-value]  # a command
        here.clock.advance(2.0)
        run = await here.until(run)
        assert (await reported(here, run)).steps[0].attempts[1].output.startswith("removing the note of ***")

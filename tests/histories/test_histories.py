"""Files that earlier versions wrote are read, go on, and tell the same; each is a dump of what a day on the lab left.

A new schema version of the journal or the history brings the dump of the one before with it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dr.checker.explore import Keys
from dr.checker.moment import Engine, Node, outputs_of
from dr.checker.moves import moves
from dr.checker.world import first_world
from dr.engine.whereabouts import placement
from dr.evidence.render import to_html
from dr.evidence.report import report
from dr.evidence.verify import verify
from dr.forecast import Forecast
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal import schema
from dr.journal.event import Interrupted
from dr.journal.fold import ACTIVE, fold, fold_all
from dr.journal.run import Run, RunState, StepState
from dr.journal.sqlite import SqliteJournal
from monitor import history
from monitor.history import History
from monitor.inventory.read import read
from monitor.status.board import recorded_from

HERE = Path(__file__).parent
INVENTORY = HERE.parents[1] / "inventory.yaml"
RUNS = {
    "ncts-backup-20261126-121633": ("SUCCEEDED", 2),
    "ncts-verify-20261126-121634": ("SUCCEEDED", 5),
    "ite-drill-20261126-121635": ("SUCCEEDED", 5),
    "cdeps-failover-20261126-121638": ("CANCELED", 7),
    "ncts-failover-20261126-121651": ("SUCCEEDED", 7),
    "ite-failover-20261126-121651": ("CANCELED", 7),
    "cdeps-failover-20261126-121651": ("CANCELED", 7),
    "exim-failover-20261126-121651": ("CANCELED", 7),
    "ncts-failback-20261126-121700": ("SUCCEEDED", 22),
}

SLOTS = [("backup-exim", "missed"), ("backup-ite", "refused"), ("backup-ncts", "started")]


def restored(name: str, folder: Path) -> Path:
    """Return the file that the dump ``name`` was made of."""
    path = folder / f"{name}.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript((HERE / f"{name}.sql").read_text(encoding="utf-8"))
    db.close()
    return path


@pytest.mark.parametrize("version", range(1, schema.SCHEMA_VERSION))
def test_a_journal_of_an_earlier_version_is_read_and_goes_on(version: int, tmp_path: Path) -> None:
    path = restored(f"journal-{version}", tmp_path)
    journal = SqliteJournal(path)
    stories = journal.load()
    runs = {run_id: fold_all(run_id, events) for run_id, events in stories.items()}
    assert {key: (run.state.value, len(run.steps)) for key, run in runs.items()} == RUNS
    assert [run.token for run in runs.values() if run.state is RunState.SUCCEEDED and run.plan.attended] == sorted(
        run.token for run in runs.values() if run.state is RunState.SUCCEEDED and run.plan.attended
    )
    assert [pause.system for pause in journal.pauses(1_795_694_000.0)] == ["exim"]
    for run_id, run in runs.items():
        outputs = {(item.step, item.attempt): item.text for item in journal.outputs(run_id)}
        page = to_html(report(run, stories[run_id], outputs, read(INVENTORY), Forecast(0), 1_795_700_000.0))
        assert run_id in page
    slots = [(slot.job, slot.state) for slot in journal.calendar.slots()]
    assert slots == ([("drill-cdeps", "claimed"), *SLOTS] if version == 2 else [])
    head = journal.head()
    journal.close()
    found = verify(path, (), None)
    assert (found.faults, found.unchained, found.journal.entries) == ((), "", head.count)
    again = SqliteJournal(path)
    assert again.head() == head
    again.close()


def _goes_on(run: Run) -> bool:
    """Tell whether the engine of today can bring the run to a good end, with people who help and nothing that fails."""
    world = first_world(run.plan)
    for record in run.steps.values():
        if record.state is StepState.SUCCEEDED and record.plan.effects:
            world = world.apply(record.plan)
    keys, engine = Keys(run.plan), Engine(RUN_GUARDS, STEP_GUARDS)
    stack = [Node(run, world, run.accepted_at + 60.0, 0, outputs_of(run.plan))]
    seen = set()
    while stack:
        node = stack.pop()
        if node.run.state is RunState.SUCCEEDED:
            return True
        if (key := keys.of(node)) not in seen:
            seen.add(key)
            stack += [move.node for move in moves(node, engine)]
    return False


@pytest.mark.parametrize("version", range(1, schema.SCHEMA_VERSION))
def test_wherever_an_earlier_version_died_this_one_goes_on(version: int, tmp_path: Path) -> None:
    journal = SqliteJournal(restored(f"journal-{version}", tmp_path))
    stories = journal.load()
    journal.close()
    resumed = 0
    for run_id, story in stories.items():
        if RUNS[run_id][0] != RunState.SUCCEEDED:
            continue
        for length in range(1, len(story)):
            run = fold_all(run_id, story[:length])
            if run.state in ACTIVE:
                run = fold(run, Interrupted(story[length].at))
            assert _goes_on(run), f"{run_id}, {run.state} after {story[length - 1]}"
            resumed += 1
    assert resumed > 100


def test_where_each_system_belongs_is_told_from_an_earlier_journal(tmp_path: Path) -> None:
    journal = SqliteJournal(restored("journal-1", tmp_path))
    runs = [fold_all(run_id, events) for run_id, events in journal.load().items()]
    journal.close()
    assert placement(runs, {"ncts": "dr"}) == {"ncts": "main"}


@pytest.mark.parametrize("version", range(1, history.SCHEMA_VERSION + 1))
def test_a_history_of_an_earlier_version_is_taken_up(version: int, tmp_path: Path) -> None:
    kept = History(restored(f"history-{version}", tmp_path))
    recorded = recorded_from(kept.last_flips())
    assert recorded["system/ncts"].health.value in {"ok", "degraded"}
    assert {alarm.name for alarm in kept.alarms(active_only=False)} >= {"site-down", "system-down"}
    flips = kept.flips("site/main")
    assert [flip.new.value for flip in reversed(flips)][:2] == ["ok", "down"]
    kept.close()

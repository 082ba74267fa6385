"""Pauses and the calendar's ledger in the journal: what was written is read again, chained, also from older files."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.evidence.anchor import new_key, private_key, public_key, sign
from dr.evidence.verify import UNCHAINED, verify
from dr.journal.calendar import Slot
from dr.journal.pause import Pause
from dr.journal.sqlite import SqliteJournal
from monitor.errors import StateError

PRIVATE, PUBLIC = new_key()
KEY, CHECK = private_key(PRIVATE), public_key(PUBLIC)
JOBS = ("backup-ncts", "karaula/morning")
BESIDE_THE_CHAIN = """
CREATE TABLE jobs (job TEXT PRIMARY KEY, since REAL NOT NULL) STRICT;
CREATE TABLE slots (job TEXT NOT NULL, due REAL NOT NULL, state TEXT NOT NULL, at REAL NOT NULL, run_id TEXT NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (job, due)) STRICT;
CREATE TABLE pauses (id INTEGER PRIMARY KEY, system TEXT NOT NULL, owner TEXT NOT NULL, reason TEXT NOT NULL,
    since REAL NOT NULL, expires_at REAL NOT NULL, lifted_at REAL, lifted_by TEXT) STRICT;
"""
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["seen", "claim", "miss", "start", "refuse", "pause", "lift", "reopen"]),
        st.sampled_from(JOBS),
        st.integers(0, 4),
    ),
    max_size=25,
)


Slots = dict[tuple[str, float], Slot]


def do(journal: SqliteJournal, deed: str, job: str, number: int, now: float, slots: Slots) -> None:
    """Do it to the journal, and to ``slots`` what the journal is to say afterwards."""
    due, calendar = 1000.0 + number, journal.calendar
    known = slots.get((job, due))
    if deed == "seen":
        assert calendar.job_since(job, now) <= now
    elif deed in {"claim", "miss"}:
        state, reason = ("claimed", "") if deed == "claim" else ("missed", "nobody was there")
        assert calendar.claim(job, due, state, now, reason) is (known is None)
        slots.setdefault((job, due), Slot(job, due, state, now, "", reason))
    elif deed in {"start", "refuse"}:
        settled = Slot(job, due, *(("started", 0.0, "r1", "") if deed == "start" else ("refused", 0.0, "", "no")))
        calendar.settle(settled, now)
        if known is not None and known.state == "claimed":
            slots[job, due] = replace(settled, at=known.at)
    elif deed == "pause":
        journal.add_pause(Pause("ncts", "ana", "works", now, now + number))
    elif deed == "lift":
        before = len(journal.pauses(now))
        assert journal.lift_pause("ncts", "bojan", now) == before
        assert journal.pauses(now) == []


@given(DEEDS)
@settings(max_examples=60, deadline=None)
def test_whatever_is_done_is_read_again_and_chained(deeds: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        journal = SqliteJournal(path)
        slots: Slots = {}
        for second, (deed, job, number) in enumerate(deeds):
            if deed == "reopen":
                journal.close()
                journal = SqliteJournal(path)
            do(journal, deed, job, number, 100.0 + second, slots)
        now = 100.0 + len(deeds)
        told, paused = journal.calendar.slots(), journal.pauses(now)
        assert {(slot.job, slot.due): slot for slot in told} == slots
        anchor = sign(journal.head(), 1.0, KEY)
        journal.close()
        journal = SqliteJournal(path)
        assert (journal.calendar.slots(), journal.pauses(now)) == (told, paused)
        journal.close()
        assert verify(path, (anchor,), CHECK).intact


def older(path: Path, slots: list[tuple[str, float, str]], pauses: list[tuple[float, float | None]]) -> None:
    """Write a journal of version 2, which had them in tables beside its chain."""
    SqliteJournal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(BESIDE_THE_CHAIN)
        for job in JOBS:
            db.execute("INSERT INTO jobs VALUES (?, 5.0)", (job,))
        for job, due, state in slots:
            run, why = ("r1", "") if state == "started" else ("", "no" if state in {"refused", "missed"} else "")
            db.execute("INSERT OR IGNORE INTO slots VALUES (?, ?, ?, 9.0, ?, ?)", (job, due, state, run, why))
        for expires_at, lifted_at in pauses:
            by = None if lifted_at is None else "bojan"
            row = ("all", "ana", "works", 1.0, expires_at, lifted_at, by)
            columns = "system, owner, reason, since, expires_at, lifted_at, lifted_by"
            db.execute(f"INSERT INTO pauses ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608 - our own
        db.execute("PRAGMA user_version=2")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*JOBS, "gone"]),
            st.integers(1, 9).map(float),
            st.sampled_from(["claimed", "started", "refused", "missed", "sent"]),
        ),
        max_size=8,
    ),
    st.lists(st.tuples(st.sampled_from([50.0, 500.0]), st.sampled_from([None, 40.0])), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_what_an_older_journal_has_beside_its_chain_is_entered_as_it_stands(
    slots: list[tuple[str, float, str]], pauses: list[tuple[float, float | None]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        older(path, slots, pauses)
        assert verify(path, (), None).unchained == UNCHAINED
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT * FROM slots ORDER BY due DESC, job").fetchall()
        journal = SqliteJournal(path)
        assert journal.calendar.slots() == [Slot(*row) for row in rows]
        assert journal.calendar.job_since(JOBS[0], 99.0) == 5.0
        assert [each.expires_at for each in journal.pauses(45.0)] == [
            expires_at for expires_at, lifted_at in pauses if lifted_at is None
        ]
        head = journal.head()
        journal.close()
        again = SqliteJournal(path)
        assert again.head() == head
        again.close()
        found = verify(path, (sign(head, 5.0, KEY),), CHECK)
        assert (found.faults, found.unchained, found.journal.anchored) == ((), "", head.count)


def test_a_journal_without_a_chain_is_linked_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    older(path, [("backup-ncts", 7.0, "started")], [(500.0, None)])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:  # as version 1 had it
        db.execute("ALTER TABLE events DROP COLUMN link")
        db.execute("DROP TABLE identity")
        db.execute("PRAGMA user_version=1")
    with pytest.raises(StateError, match="is not a journal with a chain"):
        verify(path, (), None)
    journal = SqliteJournal(path)
    assert [slot.run_id for slot in journal.calendar.slots()] == ["r1"]
    head = journal.head()
    journal.close()
    found = verify(path, (sign(head, 5.0, KEY),), CHECK)
    assert (found.faults, found.journal.anchored) == ((), found.journal.entries)


def test_a_slot_that_cannot_be_read_spoils_no_other_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    for due in (1.0, 2.0, 3.0):
        journal.calendar.claim("backup-ncts", due, "missed", 4.0, "nobody was there")
    journal.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE events SET body = '{' WHERE seq = 2")
    journal = SqliteJournal(path)
    assert [slot.due for slot in journal.calendar.slots()] == [3.0, 1.0]
    assert journal.calendar.claim("backup-ncts", 4.0, "missed", 5.0)
    journal.close()
    assert any("calendar/backup-ncts" in fault for fault in verify(path, (), None).faults)

"""The record of planned downtimes is chained: whatever is done to it before the newest anchor is found."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import astuple, replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.evidence.anchor import Anchor, new_key, private_key, public_key, sign
from dr.evidence.verify import verify
from dr.journal.sqlite import SqliteJournal
from monitor import downtime_record
from monitor.downtimes import Downtimes
from monitor.errors import StateError
from monitor.status.downtime import Downtime

PRIVATE, PUBLIC = new_key()
KEY, CHECK = private_key(PRIVATE), public_key(PUBLIC)
TABLES = ("entries", "downtimes", "lines")
VERSION_1 = """
CREATE TABLE downtimes (id TEXT PRIMARY KEY, subject TEXT NOT NULL, starts REAL NOT NULL, ends REAL NOT NULL,
    planned_end REAL NOT NULL, owner TEXT NOT NULL, reason TEXT NOT NULL, announced_at REAL NOT NULL,
    origin TEXT NOT NULL, job TEXT NOT NULL, ended_by TEXT NOT NULL) STRICT;
CREATE INDEX downtimes_by_end ON downtimes (ends);
CREATE TABLE lines (line TEXT PRIMARY KEY, announced_at REAL NOT NULL) STRICT;
PRAGMA user_version=1;
"""


def told(number: int) -> Downtime:
    return Downtime(f"d{number}", "system/ncts", number, number + 60.0, number + 60.0, "Ана", "storage", 1.0, "command")


@cache
def template() -> tuple[Path, tuple[Anchor, ...]]:
    """Return a folder with a journal and a record of downtimes that are not touched, and the anchors over both."""
    folder = Path(tempfile.mkdtemp(prefix="karaula-downtimes-"))
    with closing(downtime_record.opened(folder / "downtimes.sqlite")) as db:
        downtime_record.write(db, [told(1), told(2), told(3)], {"works 1": 5.0, "works 2": 6.0})
        downtime_record.write(db, [replace(told(2), end=30.0, ended_by="ana")], {"works 2": 6.0})
        downtime_record.write(db, [told(3)], {"works 2": 6.0})  # as it is: nothing is entered
        planned = downtime_record.head(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal = SqliteJournal(folder / "journal.sqlite")
    anchors = (sign(journal.head(), 1.0, KEY), sign(planned, 2.0, KEY))
    journal.close()
    return folder, anchors


def faults(*statements: tuple[str, tuple[object, ...]]) -> tuple[str, ...]:
    """Return what is found after somebody did this to the record of downtimes."""
    source, anchors = template()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "downtimes.sqlite"
        shutil.copy(source / "downtimes.sqlite", path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for sql, values in statements:
                db.execute(sql, values)
        return verify(source / "journal.sqlite", anchors, CHECK, path).faults


def rows(table: str) -> list[int]:
    with closing(sqlite3.connect(template()[0] / "downtimes.sqlite")) as db:
        return [row[0] for row in db.execute(f"SELECT rowid FROM {table}")]  # noqa: S608 - our own tables


def test_a_spoiled_index_is_found_although_every_entry_stands() -> None:
    """Whoever reads by it is shown other downtimes."""
    with closing(sqlite3.connect(template()[0] / "downtimes.sqlite")) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_lines_1'").fetchone()
    said = faults(
        ("PRAGMA writable_schema = ON", ()),
        ("UPDATE sqlite_master SET rootpage = ? WHERE name = 'downtimes_by_end'", (root,)),
    )
    assert len(said) == 1
    assert said[0].startswith("the file of the planned downtimes is damaged, and whoever reads it may be shown others")


def test_what_was_written_is_intact_and_entered_once() -> None:
    folder, anchors = template()
    found = verify(folder / "journal.sqlite", anchors, CHECK, folder / "downtimes.sqlite")
    assert found.faults == ()
    assert found.downtimes is not None
    assert (found.downtimes.entries, found.downtimes.anchored, found.downtimes.anchored_at) == (7, 7, 2.0)


@given(table=st.sampled_from(TABLES), number=st.integers(0, 100), column=st.integers(0, 20), seed=st.integers())
@settings(deadline=None, max_examples=80)
def test_every_change_of_one_record_is_found(table: str, number: int, column: int, seed: int) -> None:
    ids, dice = rows(table), random.Random(seed)  # noqa: S311 - which byte is spoiled
    row = ids[number % len(ids)]
    with closing(sqlite3.connect(template()[0] / "downtimes.sqlite")) as db:
        names = [each[1] for each in db.execute(f"PRAGMA table_info({table})")]
        name = names[column % len(names)]
        (value,) = db.execute(f"SELECT {name} FROM {table} WHERE rowid = ?", (row,)).fetchone()  # noqa: S608 - likewise
    if name == "id" and table == "entries":
        return  # their order is what counts; another test exchanges them
    if isinstance(value, (int, float)):
        changed: object = value + 1000
    elif isinstance(value, bytes):
        place = dice.randrange(len(value))
        changed = value[:place] + bytes([value[place] ^ 1 << dice.randrange(8)]) + value[place + 1 :]
    else:
        place = dice.randrange(max(len(value), 1))
        changed = value[:place] + ("x" if value[place : place + 1] != "x" else "y") + value[place + 1 :]
    assert faults((f"UPDATE {table} SET {name} = ? WHERE rowid = ?", (changed, row)))  # noqa: S608 - likewise


@given(table=st.sampled_from(TABLES), number=st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_every_deletion_and_every_cut_is_found(table: str, number: int) -> None:
    ids = rows(table)
    row = ids[number % len(ids)]
    assert faults((f"DELETE FROM {table} WHERE rowid = ?", (row,)))  # noqa: S608 - our own tables
    assert faults((f"DELETE FROM {table} WHERE rowid >= ?", (row,)))  # noqa: S608 - likewise


@given(one=st.integers(0, 6), other=st.integers(0, 6))
@settings(deadline=None, max_examples=30)
def test_every_exchange_of_two_entries_is_found(one: int, other: int) -> None:
    if one == other:
        return
    moves = ((one + 1, -1), (other + 1, one + 1), (-1, other + 1))
    assert faults(*(("UPDATE entries SET id = ? WHERE id = ?", (new, old)) for old, new in moves))


def test_a_record_that_is_gone_or_was_written_anew_is_found(tmp_path: Path) -> None:
    source, anchors = template()
    (fault,) = verify(source / "journal.sqlite", anchors, CHECK).faults
    assert "the record of planned downtimes is missing" in fault
    with closing(downtime_record.opened(tmp_path / "downtimes.sqlite")) as db:
        downtime_record.write(db, [told(1)], {})
        id_of = astuple(downtime_record.head(db))[0]
    (fault,) = verify(source / "journal.sqlite", anchors, CHECK, tmp_path / "downtimes.sqlite").faults
    assert "belongs to another record" in fault
    assert id_of != anchors[1].journal


def test_a_record_that_somebody_else_puts_in_the_place_of_an_anchored_one_is_cut(tmp_path: Path) -> None:
    source, anchors = template()
    with closing(downtime_record.opened(tmp_path / "downtimes.sqlite")) as db:
        db.execute("UPDATE identity SET record = ?", (anchors[1].journal,))
        downtime_record.write(db, [told(1)], {})
    (fault,) = verify(source / "journal.sqlite", anchors, CHECK, tmp_path / "downtimes.sqlite").faults
    assert "the end was cut off" in fault


def test_a_file_of_version_1_is_entered_as_it_stands_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "downtimes.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(VERSION_1)
        db.execute("INSERT INTO downtimes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(told(1)))
        db.execute("INSERT INTO lines VALUES ('works 1', 5.0)")
    with pytest.raises(StateError, match="not a record of downtimes with a chain"):
        downtime_record.examine(path)

    async def announced() -> list[str]:
        record = Downtimes(path)
        await record.announce(told(2), 3.0)
        found = [each.id for each in record.in_force(3.0)]
        await record.close()
        return found

    assert asyncio.run(announced()) == ["d1", "d2"]
    examined = downtime_record.examine(path)
    assert (len(examined.links), examined.faults) == (3, ())

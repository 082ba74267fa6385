"""The chain, its anchors and their verification: whatever is done to the record before the newest anchor is found."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from engine_kit import FAILOVER, accepted
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.evidence.anchor import Anchor, new_key, private_key, public_key, read_lines, sign
from dr.evidence.verify import verify
from dr.journal import chain, schema
from dr.journal.calendar import Slot
from dr.journal.event import ApprovalAsked, Denied, RunEnded, StepFailed, StepSkipped, StepStarted
from dr.journal.fold import begin
from dr.journal.pause import Pause
from dr.journal.sqlite import SqliteJournal, StepOutput
from monitor.errors import CredentialError, StateError

PRIVATE, PUBLIC = new_key()
KEY, CHECK = private_key(PRIVATE), public_key(PUBLIC)
RUNS = 4


def written(folder: Path, runs: int = RUNS) -> Path:
    """Write a journal of refused runs, with pauses and slots of the calendar between them."""
    path = folder / "journal.sqlite"
    journal = SqliteJournal(path)
    for number in range(runs):
        _, (first,) = accepted(FAILOVER)
        run_id = f"ncts-failover-{number}"
        begin(run_id, first)
        steps = [StepSkipped(3.0 + number, step.id, "nothing had begun") for step in FAILOVER.steps]
        events = [
            first,
            ApprovalAsked(1.0 + number, 50.0, begin(run_id, first).plan_hash),
            Denied(2.0 + number, "ana", "no"),
            *steps,
            RunEnded(9.0 + number, "CANCELED", "canceled by ana: no"),
        ]
        journal.append(run_id, 0, events)
        journal.add_pause(Pause("ncts", "ana", "works", 10.0 + number, 100.0))
        journal.calendar.claim("backup-ncts", 20.0 + number, "claimed", 21.0 + number)
        journal.calendar.settle(Slot("backup-ncts", 20.0 + number, "started", 0.0, run_id, ""), 22.0 + number)
    journal.lift_pause("ncts", "bojan", 50.0)
    journal.close()
    return path


@cache
def template() -> tuple[Path, tuple[Anchor, ...], int]:
    """Return a journal that is not touched, the anchor over its end, and how many events it has."""
    path = written(Path(tempfile.mkdtemp(prefix="karaula-chain-")))
    journal = SqliteJournal(path)
    end, count = sign(journal.head(), 200.0, KEY), journal.head().count
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path, (end,), count


@contextmanager
def spoiled(spoil: Callable[[sqlite3.Connection], object]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        shutil.copy(template()[0], path)
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA synchronous = OFF")  # nobody takes its power away
        spoil(db)
        db.close()
        yield path


def test_what_was_written_is_intact() -> None:
    path, anchors, count = template()
    found = verify(path, anchors, CHECK)
    assert found.faults == ()
    told = found.journal
    assert (told.entries, found.runs, told.anchored, told.anchored_at) == (count, RUNS, count, 200.0)


COLUMNS = ("run_id", "seq", "at", "word", "body", "link")
COUNT = 57  # of events in the template; all of them are spoiled, one after the other


def spoiled_value(value: object, seed: int) -> object:
    """Return the value with one byte, or the number, changed."""
    dice = random.Random(seed)  # noqa: S311 - which byte is spoiled
    if isinstance(value, (int, float)):
        return value + dice.choice((-1000, 1000))  # one that no other has, or the database itself refuses it
    assert isinstance(value, (str, bytes))
    place = dice.randrange(len(value) - isinstance(value, str))  # likewise: a run's last character tells it from others
    if isinstance(value, bytes):
        return value[:place] + bytes([value[place] ^ 1 << dice.randrange(8)]) + value[place + 1 :]
    return value[:place] + chr(ord(value[place]) ^ 1 << dice.randrange(4)) + value[place + 1 :]


def changed(row: int, column: str, value: object) -> Callable[[sqlite3.Connection], object]:
    return lambda db: db.execute(f"UPDATE events SET {column} = ? WHERE id = ?", (value, row))  # noqa: S608 - our own columns


def exchanged(first: int, second: int) -> Callable[[sqlite3.Connection], object]:
    return lambda db: [
        db.execute("UPDATE events SET id = ? WHERE id = ?", (new, old))
        for old, new in ((first, -1), (second, first), (-1, second))
    ]


def deleted(where: str, row: int) -> Callable[[sqlite3.Connection], object]:
    return lambda db: db.execute(f"DELETE FROM events WHERE id {where} ?", (row,))  # noqa: S608 - our own words


def test_the_template_has_as_many_events_as_are_spoiled() -> None:
    assert template()[2] == COUNT


@pytest.mark.parametrize("column", COLUMNS)
def test_every_change_of_one_record_is_found(column: str) -> None:
    path, anchors, _ = template()
    with sqlite3.connect(path) as db:
        values = [row[0] for row in db.execute(f"SELECT {column} FROM events ORDER BY id")]  # noqa: S608 - our own columns
    assert len(values) == COUNT
    for row, value in enumerate(values, 1):
        for seed in range(2):
            with spoiled(changed(row, column, spoiled_value(value, row * 2 + seed))) as copy:
                assert not verify(copy, anchors, CHECK).intact, f"{column} of event {row}"


def test_every_deletion_and_every_cut_is_found() -> None:
    _, anchors, _ = template()
    for row in range(1, COUNT + 1):
        with spoiled(deleted("=", row)) as path:
            assert not verify(path, anchors, CHECK).intact, f"event {row} is gone"
        with spoiled(deleted(">=", row)) as path:
            faults = verify(path, anchors, CHECK).faults
            assert any("the end was cut off" in fault for fault in faults), f"cut before event {row}"


def test_every_exchange_of_two_neighbours_is_found() -> None:
    _, anchors, _ = template()
    for row in range(1, COUNT):
        with spoiled(exchanged(row, row + 1)) as path:
            assert not verify(path, anchors, CHECK).intact, f"events {row} and {row + 1}"


@given(st.lists(st.integers(1, COUNT), min_size=2, max_size=2, unique=True))
@settings(deadline=None, max_examples=60)
def test_so_is_an_exchange_of_any_two(rows: list[int]) -> None:
    _, anchors, _ = template()
    with spoiled(exchanged(*rows)) as path:
        assert not verify(path, anchors, CHECK).intact


def test_a_spoiled_index_is_found_although_every_record_stands() -> None:
    """Whoever reads by it is shown other records than those that the anchors vouch for."""
    _, anchors, _ = template()

    def hide(db: sqlite3.Connection) -> None:
        """Let the index of events forget its entries, as a flipped byte of it may."""
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'events'"
        ).fetchone()
        db.execute("PRAGMA writable_schema = ON")
        (empty,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'outputs'"
        ).fetchone()
        db.execute("UPDATE sqlite_master SET rootpage = ? WHERE type = 'index' AND tbl_name = 'events'", (empty,))
        assert page != empty

    with spoiled(hide) as path:
        (fault,) = verify(path, anchors, CHECK).faults
        assert fault.startswith("the file is damaged, and whoever reads it may be shown other records than these: ")


def test_a_record_written_anew_fits_its_chain_but_not_the_anchor() -> None:
    _, anchors, _ = template()

    def rewrite(db: sqlite3.Connection) -> None:
        db.execute("UPDATE events SET body = replace(body, 'canceled by ana', 'canceled by eva')")
        rows = [chain.Row(*row) for row in db.execute(schema.ROWS)]
        made = chain.links(chain.first(schema.journal_id(db)), rows)
        db.executemany("UPDATE events SET link = ? WHERE id = ?", [(link, n) for n, link in enumerate(made, 1)])

    with spoiled(rewrite) as path:
        assert verify(path, (), None).intact, "a chain alone cannot show it"
        (fault,) = verify(path, anchors, CHECK).faults
        assert "the record up to there was written anew" in fault


def test_many_anchors_that_say_the_same_are_one_sentence() -> None:
    """One is signed every minute: what spoils the record of a year's beginning is not told half a million times."""
    path, (anchor,), _ = template()
    heads = [replace(anchor, count=count) for count in (3, 5, 4)]
    (fault,) = verify(path, heads, None).faults
    assert fault == "3 anchors, over 3 to 5 events, cannot be verified without the public key"
    (fault,) = verify(path, [*heads, anchor], CHECK).faults
    assert fault == "3 anchors, over 3 to 5 events, were not signed with this key, or were changed"


def test_a_cut_without_an_anchor_is_not_claimed_to_be_shown() -> None:
    with spoiled(lambda db: db.execute("DELETE FROM events WHERE id > 11")) as path:
        found = verify(path, (), None)
        assert found.journal.anchored == 0
        assert found.journal.anchored_at is None


def test_an_anchor_of_another_hand_or_journal_does_not_count(tmp_path: Path) -> None:
    path, (anchor,), _ = template()
    stranger = public_key(new_key()[1])
    assert "not signed with this key" in verify(path, (anchor,), stranger).faults[0]
    assert "cannot be verified without the public key" in verify(path, (anchor,), None).faults[0]
    journal = SqliteJournal(written(tmp_path))
    foreign = sign(journal.head(), 1.0, KEY)
    journal.close()
    assert "belongs to another record" in verify(path, (foreign,), CHECK).faults[0]


def one_output(folder: Path) -> None:
    journal = SqliteJournal(folder / "journal.sqlite")
    _, (first,) = accepted(FAILOVER)
    output = StepOutput("fence", 1, "power off")
    failed = StepFailed(3.0, "fence", 1, "no", False, False, output.sha256)
    journal.append("r", 0, [first, StepStarted(2.0, "fence", 1, "k", 7), failed], [output])
    journal.close()


def test_an_output_that_is_not_its_events_is_found(tmp_path: Path) -> None:
    one_output(tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute("UPDATE outputs SET text = 'power on'")
    faults = verify(tmp_path / "journal.sqlite", (), None).faults
    assert "the output of step 'fence', attempt 1, of run r is not what was printed" in faults


TWICE = """
ALTER TABLE outputs RENAME TO kept;
CREATE TABLE outputs (run_id TEXT, step TEXT, attempt INTEGER, text TEXT, sha256 TEXT);
INSERT INTO outputs SELECT run_id, step, attempt, 'all was well', sha256 FROM kept LIMIT 1;
INSERT INTO outputs SELECT * FROM kept;
DROP TABLE kept;
"""


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (TWICE, "somebody has changed the file itself: of some outputs there are two"),
        ("CREATE TRIGGER late AFTER INSERT ON events BEGIN DELETE FROM outputs; END", "it has a trigger 'late'"),
        ("CREATE VIEW nights AS SELECT * FROM events", "it has a view 'nights'"),
    ],
)
def test_what_is_done_to_the_file_around_its_records_is_found(spoil: str, says: str, tmp_path: Path) -> None:
    """Each record stands; whoever reads them may be shown, or may write, something else."""
    one_output(tmp_path)
    before = verify(tmp_path / "journal.sqlite", (), None).faults
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.executescript(spoil)
    (fault,) = set(verify(tmp_path / "journal.sqlite", (), None).faults) - set(before)
    assert says in fault


def test_a_file_that_calls_itself_older_than_what_it_holds_is_found(tmp_path: Path) -> None:
    """Opened next, it would have forged tables of that version believed and chained."""
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.add_pause(Pause("all", "vera", "works", 100.0, 200.0))
    journal.close()
    assert verify(tmp_path / "journal.sqlite", (), None).intact
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.execute("PRAGMA user_version=2")
    (fault,) = verify(tmp_path / "journal.sqlite", (), None).faults
    assert fault == "the file says that it is of version 2, and holds what only later ones write"


def test_an_output_that_no_event_vouches_for_is_found_and_not_shown_as_intact(tmp_path: Path) -> None:
    path = written(tmp_path)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO outputs VALUES ('ncts-failover-0', 'fence', 1, 'outlet reads Off, 0 W', '')")
    (fault,) = verify(path, (), None).faults
    assert fault == "no event vouches for the output of step 'fence', attempt 1, of run ncts-failover-0"


def test_a_copy_without_what_is_not_in_the_file_yet_says_what_it_lacks(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    _, (first,) = accepted(FAILOVER)
    journal.append("r", 0, [first])
    (tmp_path / "copies").mkdir()
    shutil.copy(tmp_path / "journal.sqlite", tmp_path / "copies")
    with pytest.raises(StateError, match="needs its file …-wal beside it"):
        verify(tmp_path / "copies" / "journal.sqlite", (), None)
    shutil.copy(tmp_path / "journal.sqlite-wal", tmp_path / "copies")
    assert verify(tmp_path / "copies" / "journal.sqlite", (), None).journal.entries == 1
    journal.close()


def test_a_key_without_a_single_anchor_that_counts_is_a_fault() -> None:
    """Whoever cuts the journal empties the file of anchors, too."""
    with spoiled(lambda db: db.execute("DELETE FROM events WHERE id > 11")) as path:
        assert "no anchor vouches for any of the events" in verify(path, (), CHECK).faults[0]


@pytest.mark.parametrize("column", ["at", "seq", "run_id", "word"])
def test_a_file_that_somebody_made_is_one_sentence(column: str, tmp_path: Path) -> None:
    path = tmp_path / "made.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, run_id, seq, at, word, body, link)")
        db.execute("CREATE TABLE outputs (run_id, step, attempt, text, sha256)")
        db.execute("CREATE TABLE identity (journal)")
        db.execute("INSERT INTO identity VALUES ('x')")
        row = {"run_id": "r", "seq": 0, "at": 1.0, "word": "Denied", "body": "{}", "link": b""} | {column: None}
        db.execute("INSERT INTO events VALUES (1, :run_id, :seq, :at, :word, :body, :link)", row)
        db.execute(f"PRAGMA user_version={schema.SCHEMA_VERSION}")
    try:
        found = verify(path, (), None)
    except StateError:
        return
    assert not found.intact


# -- anchors as text --------------------------------------------------------------------------------------------------


def test_anchors_come_back_and_other_lines_are_named() -> None:
    _, (anchor,), _ = template()
    lines = [anchor.line(), "", "{}", "not json", anchor.line().replace('"schema":1', '"schema":2'), "[" * 5000]
    found, strange = read_lines(lines)
    assert found == [anchor]
    assert strange == [f"line {number} is not an anchor" for number in (3, 4, 5, 6)]


@given(st.text(max_size=300))
def test_any_line_is_an_anchor_or_named(line: str) -> None:
    found, strange = read_lines([line])
    assert not found
    assert len(strange) == bool(line.strip())


@pytest.mark.parametrize("pem", [b"", b"no key", PUBLIC])
def test_a_bad_signing_key_is_one_sentence_without_the_key(pem: bytes) -> None:
    with pytest.raises(CredentialError, match="not an unencrypted PEM private key"):
        private_key(pem)

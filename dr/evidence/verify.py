"""Is the record what was written? Holds it against its own chain and against anchors; needs no daemon.

The record is the journal (runs, people's decisions, pauses, the calendar's ledger) and, in a file of its own, the
planned downtimes. What it can show: every entry up to the newest genuine anchor stands as it was written, and in its
order. What it cannot show: that everything which happened was written down, nor anything of what came after the newest
anchor but that it is chained to it. Both are said wherever a result is shown.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dr.errors import IllegalEvent
from dr.evidence.anchor import Anchor, genuine
from dr.journal import chain, schema
from dr.journal.calendar import PREFIX as CALENDAR
from dr.journal.calendar import fold_job
from dr.journal.event import Event, StepFailed, StepSucceeded, StepUnknown, UndoFailed, UndoSucceeded, decode
from dr.journal.finding import PREFIX as FINDING
from dr.journal.finding import fold_finding
from dr.journal.fold import fold_all
from dr.journal.joint import JointAccepted, fold_all_joint
from dr.journal.override import PREFIX as OVERRIDE
from dr.journal.override import fold_override
from dr.journal.pause import PREFIX as PAUSE
from dr.journal.pause import fold_pause
from dr.journal.sqlite import BESIDE
from monitor import downtime_record
from monitor.errors import StateError

STORIES: Mapping[str, Callable[[str, Sequence[Event]], object]] = {
    OVERRIDE: fold_override,
    FINDING: fold_finding,
    PAUSE: fold_pause,
    CALENDAR: fold_job,
}
OUTPUTS = (StepSucceeded, StepFailed, StepUnknown, UndoSucceeded, UndoFailed)
SOUND = "ok"  # SQLite's word
DOWNTIMES = "entries of planned downtimes"
UNCHAINED = "pauses and the calendar's ledger of this older journal are not chained: of them this shows nothing"
LIMITS = (
    "Integrity is not completeness: this shows that what was written down stands as it was written, not that "
    "everything that happened was written down."
)


@dataclass(frozen=True, slots=True)
class Vouched:
    """How far anchors vouch for a record: over ``anchored`` of its ``entries``, the newest of which signed when.

    ``anchored_at`` is in Unix seconds, None: no anchor. ``anchors`` are those given, good or not.
    """

    record: str
    entries: int
    anchors: int
    anchored: int
    anchored_at: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a verification found; ``faults`` are sentences, the first place of each record first.

    ``downtimes`` None: there is no such record. ``unchained`` says what of an older journal no chain is over.
    """

    journal: Vouched
    runs: int
    downtimes: Vouched | None
    faults: tuple[str, ...]
    unchained: str = ""

    @property
    def intact(self) -> bool:
        """Tell whether nothing was found against the record."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class _Record:
    journal: str
    version: int
    rows: list[chain.Row]
    links: list[bytes]
    outputs: dict[tuple[str, str, int], str]
    damage: str
    strange: tuple[str, ...]


def verify(path: Path, anchors: Sequence[Anchor], key: Ed25519PublicKey | None, downtimes: Path | None = None) -> Found:
    """Verify the journal at ``path``, and the record of planned ``downtimes``. Raises StateError for what is no record.

    Without a ``key`` no anchor counts, and that is a fault when there are any; with one, that there is none is.
    """
    record = _read(path)
    try:
        true_links = list(chain.links(chain.first(record.journal), record.rows))
    except (AttributeError, TypeError) as error:
        raise StateError(f"{path} holds what no journal does: {error}") from error
    faults = [*_damage(record), *_chain(record, true_links), *_contents(record)]
    mine = [anchor for anchor in anchors if not anchor.journal.startswith(downtime_record.PREFIX)]
    journal, against = _vouched(record.journal, [chain.first(record.journal), *true_links], mine, key, "events")
    faults += against
    others = [anchor for anchor in anchors if anchor.journal.startswith(downtime_record.PREFIX)]
    planned = None
    if downtimes is not None:
        examined = downtime_record.examine(downtimes)
        planned, against = _vouched(examined.record, [examined.first, *examined.links], others, key, DOWNTIMES)
        faults += [*examined.faults, *against]
    elif others:
        faults.append("the record of planned downtimes is missing, and anchors vouch for one: name it with --downtimes")
    return Found(
        journal=journal,
        runs=len({row.run_id for row in record.rows if not row.run_id.startswith(BESIDE)}),
        downtimes=planned,
        faults=tuple(faults),
        unchained="" if record.version == schema.SCHEMA_VERSION else UNCHAINED,
    )


def _vouched(
    record: str, links: Sequence[bytes], anchors: Sequence[Anchor], key: Ed25519PublicKey | None, what: str
) -> tuple[Vouched, list[str]]:
    """Return how far ``anchors`` vouch for a record, and what they say against it; ``links`` begin before its first."""
    heads: list[Anchor] = []
    against: dict[tuple[str, str], list[int]] = {}
    for anchor in anchors:
        fault = _against(anchor, record, links, key)
        if fault:
            against.setdefault(fault, []).append(anchor.count)
        else:
            heads.append(anchor)
    faults = [_said(counts, what, one, many) for (one, many), counts in against.items()]
    if key is not None and not anchors:
        faults.append(f"no anchor vouches for any of the {what}: they were taken away, or were never kept")
    newest = max(heads, key=lambda anchor: anchor.count, default=None)
    anchored, anchored_at = (newest.count, newest.at) if newest is not None else (0, None)
    return Vouched(record, len(links) - 1, len(anchors), anchored, anchored_at), faults


def _read(path: Path) -> _Record:
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    except sqlite3.Error as error:
        raise StateError(f"{path} cannot be opened: {error}") from error
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in schema.CHAINED:
            raise StateError(
                f"{path} is not a journal with a chain (schema version {schema.SCHEMA_VERSION}); "
                "the copy of one that is in use needs its file …-wal beside it"
            )
        db.execute("BEGIN")  # one moment of a journal that may be written to meanwhile
        rows = [chain.Row(*row) for row in db.execute(schema.ROWS)]
        links = [bytes(row[0]) for row in db.execute("SELECT link FROM events ORDER BY id")]
        told = db.execute("SELECT run_id, step, attempt, CAST(text AS BLOB) FROM outputs").fetchall()
        outputs = {tuple(key): hashlib.sha256(text).hexdigest() for *key, text in told}
        strange = list(_strange(db))
        strange += ["of some outputs there are two"] if len(outputs) != len(told) else []
        damage = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        return _Record(
            schema.journal_id(db), version, rows, links, outputs, "" if damage == SOUND else damage, tuple(strange)
        )
    except (sqlite3.Error, TypeError, ValueError) as error:  # a file that somebody made may hold anything
        raise StateError(f"{path} cannot be read: {error}") from error
    finally:
        db.close()


def _strange(db: sqlite3.Connection) -> Iterator[str]:
    """Say what no journal has in its file, and what may change or hide what is written there."""
    for kind, name in db.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"):
        yield f"it has a {kind} '{name}', which no journal has"


def _damage(record: _Record) -> list[str]:
    """Return what is wrong with the file beneath the records: who reads by a spoiled index is shown other ones.

    So is who reads two outputs of one attempt; and a file that says to be of the version before its own stories were
    words would have the tables of that version believed when it is opened next.
    """
    faults = []
    if record.damage:
        damage = " ".join(record.damage.split())
        faults.append(f"the file is damaged, and whoever reads it may be shown other records than these: {damage}")
    faults += [f"somebody has changed the file itself: {what}" for what in record.strange]
    newer = any(row.run_id.startswith((PAUSE, CALENDAR)) for row in record.rows)
    if record.version != schema.SCHEMA_VERSION and newer:
        faults.append(f"the file says that it is of version {record.version}, and holds what only later ones write")
    return faults


def _chain(record: _Record, true_links: Sequence[bytes]) -> list[str]:
    """Return the first place where the chain does not fit; after it nothing can be told apart."""
    for number, (row, kept, true) in enumerate(zip(record.rows, record.links, true_links, strict=True), 1):
        if kept != true:
            where = f"event {number} ({row.word}, number {row.seq} of run {row.run_id})"
            return [
                f"{where} does not fit the chain: an event there or before it was changed, removed, put in or moved"
            ]
    return []


def _contents(record: _Record) -> list[str]:
    """Return runs that cannot have been written by the engine, and outputs that are not those of their events."""
    faults = []
    runs: dict[str, list[Event]] = {}
    vouched: set[tuple[str, str, int]] = set()
    for number, row in enumerate(record.rows, 1):
        try:
            event = decode(row.word, row.body.decode())
        except (IllegalEvent, UnicodeDecodeError) as error:
            faults.append(f"event {number} of run {row.run_id} cannot be read: {error}")
            continue
        runs.setdefault(row.run_id, []).append(event)
        if isinstance(event, OUTPUTS) and event.output_sha256:
            attempt = event.kept_as if isinstance(event, (UndoSucceeded, UndoFailed)) else event.attempt
            vouched.add((row.run_id, event.step, attempt))
            kept = record.outputs.get((row.run_id, event.step, attempt))
            if kept != event.output_sha256:
                what = "is missing" if kept is None else "is not what was printed"
                faults.append(f"the output of step '{event.step}', {_which(attempt)}, of run {row.run_id} {what}")
    faults += [
        f"no event vouches for the output of step '{step}', {_which(attempt)}, of run {run_id}"
        for run_id, step, attempt in sorted(record.outputs.keys() - vouched)
    ]
    for run_id, events in runs.items():
        try:
            _folded(run_id, events)
        except IllegalEvent as error:
            faults.append(f"run {run_id} cannot have been written so: {error}")
    return faults


def _which(attempt: int) -> str:
    return f"attempt {attempt}" if attempt > 0 else "its undo"


def _folded(run_id: str, events: list[Event]) -> None:
    """Fold a story by its kind. Raises IllegalEvent."""
    for prefix, fold in STORIES.items():
        if run_id.startswith(prefix):
            fold(run_id, events)
            return
    if isinstance(events[0], JointAccepted):
        fold_all_joint(run_id, events)
    else:
        fold_all(run_id, events)


def _against(
    anchor: Anchor, record: str, links: Sequence[bytes], key: Ed25519PublicKey | None
) -> tuple[str, str] | None:
    """Return what an anchor says against the record, in words about one and about several; None: it vouches for it."""
    if key is None:
        return ("cannot be verified without the public key",) * 2
    if not genuine(anchor, key):
        return "was not signed with this key, or was changed", "were not signed with this key, or were changed"
    if anchor.journal != record:
        return f"belongs to another record ({anchor.journal})", f"belong to another record ({anchor.journal})"
    if anchor.count >= len(links):
        more = f"for more than the {len(links) - 1} that are there: the end was cut off"
        return f"vouches {more}", f"vouch {more}"
    if anchor.link != links[anchor.count]:
        return (
            "does not fit: the record up to there was written anew",
            "do not fit: the record up to each of them was written anew",
        )
    return None


def _said(counts: Sequence[int], what: str, one: str, many: str) -> str:
    """Say of how many anchors it is so: one is signed every minute, and what spoils the first spoils all after it."""
    if len(counts) == 1:
        return f"the anchor over {counts[0]} {what} {one}"
    return f"{len(counts)} anchors, over {min(counts)} to {max(counts)} {what}, {many}"

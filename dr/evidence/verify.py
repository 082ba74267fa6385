"""Is the record what was written? Holds a journal file against its own chain and against anchors; needs no daemon.

What it can show: every event up to the newest genuine anchor stands as it was written, and in its order. What it cannot
show: that everything which happened was written down, nor anything of events after the newest anchor but that they are
chained to it. Both are said wherever a result is shown.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dr.errors import IllegalEvent
from dr.evidence.anchor import Anchor, genuine
from dr.journal import chain, schema
from dr.journal.event import Event, StepFailed, StepSucceeded, StepUnknown, decode
from dr.journal.finding import PREFIX as FINDING
from dr.journal.finding import fold_finding
from dr.journal.fold import fold_all
from dr.journal.joint import JointAccepted, fold_all_joint
from dr.journal.override import PREFIX as OVERRIDE
from dr.journal.override import fold_override
from monitor.errors import StateError

LIMITS = (
    "Integrity is not completeness: this shows that what was written down stands as it was written, not that "
    "everything that happened was written down."
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a verification found; ``faults`` are sentences, the first place first.

    ``anchored`` is how many events the newest genuine anchor vouches for, of ``events``; ``anchored_at`` when it was
    signed (Unix seconds, None: no anchor).
    """

    journal: str
    events: int
    runs: int
    anchors: int
    anchored: int
    anchored_at: float | None
    faults: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Tell whether nothing was found against the record."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class _Record:
    journal: str
    rows: list[chain.Row]
    links: list[bytes]
    outputs: dict[tuple[str, str, int], str]


def verify(path: Path, anchors: Sequence[Anchor], key: Ed25519PublicKey | None) -> Found:
    """Verify the journal file at ``path``. Raises StateError when it cannot be read at all.

    Without a ``key`` no anchor counts, and that is a fault when there are any; with one, that there is none is.
    """
    record = _read(path)
    try:
        true_links = list(chain.links(chain.first(record.journal), record.rows))
    except (AttributeError, TypeError) as error:
        raise StateError(f"{path} holds what no journal does: {error}") from error
    faults = [*_chain(record, true_links), *_contents(record)]
    heads: list[Anchor] = []
    for anchor in anchors:
        fault = _against(anchor, record, true_links, key)
        if fault:
            faults.append(fault)
        else:
            heads.append(anchor)
    if key is not None and not anchors:
        faults.append("no anchor vouches for any of it: they were taken away, or were never kept")
    newest = max(heads, key=lambda anchor: anchor.count, default=None)
    return Found(
        journal=record.journal,
        events=len(record.rows),
        runs=len({row.run_id for row in record.rows if not row.run_id.startswith((OVERRIDE, FINDING))}),
        anchors=len(anchors),
        anchored=0 if newest is None else newest.count,
        anchored_at=None if newest is None else newest.at,
        faults=tuple(faults),
    )


def _read(path: Path) -> _Record:
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    except sqlite3.Error as error:
        raise StateError(f"{path} cannot be opened: {error}") from error
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] != schema.SCHEMA_VERSION:
            raise StateError(f"{path} is not a journal with a chain (schema version {schema.SCHEMA_VERSION})")
        db.execute("BEGIN")  # one moment of a journal that may be written to meanwhile
        rows = [chain.Row(*row) for row in db.execute(schema.ROWS)]
        links = [bytes(row[0]) for row in db.execute("SELECT link FROM events ORDER BY id")]
        outputs = {
            (run_id, step, attempt): hashlib.sha256(text).hexdigest()
            for run_id, step, attempt, text in db.execute(
                "SELECT run_id, step, attempt, CAST(text AS BLOB) FROM outputs"
            )
        }
        return _Record(schema.journal_id(db), rows, links, outputs)
    except (sqlite3.Error, TypeError, ValueError) as error:  # a file that somebody made may hold anything
        raise StateError(f"{path} cannot be read: {error}") from error
    finally:
        db.close()


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
        if isinstance(event, (StepSucceeded, StepFailed, StepUnknown)) and event.output_sha256:
            vouched.add((row.run_id, event.step, event.attempt))
            kept = record.outputs.get((row.run_id, event.step, event.attempt))
            if kept != event.output_sha256:
                what = "is missing" if kept is None else "is not what was printed"
                faults.append(f"the output of step '{event.step}', attempt {event.attempt}, of run {row.run_id} {what}")
    faults += [
        f"no event vouches for the output of step '{step}', attempt {attempt}, of run {run_id}"
        for run_id, step, attempt in sorted(record.outputs.keys() - vouched)
    ]
    for run_id, events in runs.items():
        try:
            _folded(run_id, events)
        except IllegalEvent as error:
            faults.append(f"run {run_id} cannot have been written so: {error}")
    return faults


def _folded(run_id: str, events: list[Event]) -> None:
    """Fold a story by its kind. Raises IllegalEvent."""
    if run_id.startswith(OVERRIDE):
        fold_override(run_id, events)
    elif run_id.startswith(FINDING):
        fold_finding(run_id, events)
    elif isinstance(events[0], JointAccepted):
        fold_all_joint(run_id, events)
    else:
        fold_all(run_id, events)


def _against(anchor: Anchor, record: _Record, true_links: Sequence[bytes], key: Ed25519PublicKey | None) -> str:
    """Return what an anchor says against the record; empty when it vouches for it."""
    which = f"the anchor over {anchor.count} events"
    if key is None:
        return f"{which} cannot be verified without the public key"
    if not genuine(anchor, key):
        return f"{which} was not signed with this key, or was changed"
    if anchor.journal != record.journal:
        return f"{which} belongs to another journal ({anchor.journal})"
    if anchor.count > len(record.rows):
        return f"{which} vouches for more than the {len(record.rows)} that are there: the end was cut off"
    there = true_links[anchor.count - 1] if anchor.count else chain.first(record.journal)
    if anchor.link != there:
        return f"{which} does not fit: the record up to there was written anew"
    return ""

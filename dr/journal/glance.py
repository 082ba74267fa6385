"""What a journal tells at a glance, before it is read: what may be under way, and what its next steps stand on.

Nothing is believed that reading would not confirm: ``first`` may name too many stories, never too few. An event that
ends a run is its last, or the story does not fold; a fence is touched only by steps of a plan, whose text says so. All
is read as it lies in the file, never by an index, which could be spoiled and hide a run's end.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dr.journal.event import RunEnded
from dr.journal.joint import JointEnded
from dr.journal.story import Story, gleaned, token_in

FENCE = "fence"  # the field of the effects by which a step touches one
ENDS = frozenset({RunEnded.__name__, JointEnded.__name__})
LOWEST = -(2**63)  # no row has a lower id
_NEWEST = "SELECT run_id, max(id), word FROM events NOT INDEXED GROUP BY run_id"  # the word is that row's
_MARKED = """
SELECT run_id, seq = 0 AND instr(body, '"fence"'), CAST(body AS BLOB) FROM events NOT INDEXED
WHERE instr(body, '"token"') OR (seq = 0 AND instr(body, '"fence"'))
"""
_SOME = """
SELECT run_id, seq, word, CAST(body AS BLOB) FROM events NOT INDEXED
WHERE run_id IN (SELECT value FROM json_each(?)) ORDER BY id
"""
_NEXT = "SELECT id, run_id, seq, word, CAST(body AS BLOB) FROM events NOT INDEXED WHERE id > ? ORDER BY id LIMIT ?"


@dataclass(frozen=True, slots=True)
class Glance:
    """``ends`` has the id of the newest row of every run and joint run; ``token`` is the highest in any of their rows.

    ``first`` are those of them that may not be over, and those whose plan may touch a fence.
    """

    ends: Mapping[str, int]
    first: frozenset[str]
    token: int


def glance(db: sqlite3.Connection, beside: Collection[str]) -> Glance:
    """Look at the journal; ``beside`` are beginnings of the names of stories that are no runs. Raises sqlite3.Error."""
    names = tuple(beside)
    newest = [row for row in db.execute(_NEWEST) if not row[0].startswith(names)]
    first = {run_id for run_id, _, word in newest if word not in ENDS}
    token = 0
    for run_id, fences, body in db.execute(_MARKED):
        if run_id.startswith(names):
            continue
        if fences:
            first.add(run_id)
        token = max(token, token_in(gleaned(body)))
    return Glance({run_id: end for run_id, end, _ in newest}, frozenset(first), token)


def stories_of(db: sqlite3.Connection, run_ids: Iterable[str]) -> dict[str, Story]:
    """Return what is written of these runs. Raises sqlite3.Error."""
    found: dict[str, Story] = {}
    for run_id, seq, word, body in db.execute(_SOME, (json.dumps(list(run_ids)),)):
        found.setdefault(run_id, Story()).add(seq, word, body)
    return found


class Remainder:
    """What is left to read of the stories whose newest rows these are, in the order in which it was written."""

    def __init__(self, ends: Mapping[str, int]) -> None:
        """Begin before the first row; ``order`` is then that in which all stories began, as far as has been read."""
        self.order: dict[str, None] = {}
        self._ends = ends
        self._at = LOWEST
        self._begun: dict[str, Story] = {}
        self.over = False

    def read(self, db: sqlite3.Connection, rows: int) -> dict[str, Story]:
        """Read so many rows on; return the stories that are complete by them. Raises sqlite3.Error."""
        ends, begun = self._ends, self._begun
        done: dict[str, Story] = {}
        found = db.execute(_NEXT, (self._at, rows)).fetchall()
        for row_id, run_id, seq, word, body in found:
            if (story := begun.get(run_id)) is None:
                self.order[run_id] = None
                if run_id not in ends:
                    continue
                story = begun[run_id] = Story()
            story.add(seq, word, body)
            if row_id == ends[run_id]:
                done[run_id] = begun.pop(run_id)
        self.over = len(found) < rows
        self._at = found[-1][0] if found else self._at
        return done | begun if self.over else done

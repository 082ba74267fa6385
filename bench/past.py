"""A long past: a journal of many runs as the engine would have written it over months, for measurements.

The real engine carries out each shipped playbook once, with stand-ins for its actions; its events are then written
again and again under other ids and at other times, nights of backups and verifications with drills and hand-overs
between them. Everything folds, and every link of the chain is true.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.standin import engine, whole
from dr.engine.names import new_id
from dr.journal.event import RunAccepted, decode, encode
from dr.journal.fold import begin
from dr.journal.sqlite import SqliteJournal, StepOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dr.journal.event import Event

EVENTS = 100_000
SYSTEM = "ncts"
SYSTEMS = (SYSTEM, "cdeps", "ite", "exim")
ORDER = ("backup", "verify", "drill", "switchover", "failback", "failover", "reprotect", "failback")
DAY_S = 86_400.0
FIRST = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
MONTH, QUARTER = 30, 91


@dataclass(frozen=True, slots=True)
class Template:
    """One run as the engine wrote it."""

    run_id: str
    plan_hash: str
    events: Sequence[Event]
    outputs: Sequence[StepOutput]


async def templates(folder: Path) -> dict[str, Template]:
    """Carry out every shipped playbook once, in an order in which each may begin."""
    made = {}
    async with engine(folder / "templates.sqlite", lambda _step: 0.0) as orchestrator:
        for playbook in ORDER:
            run = await whole(orchestrator, playbook, SYSTEM)
            events, outputs = orchestrator.events(run.id), await orchestrator.outputs(run.id)
            made[playbook] = Template(run.id, run.plan_hash, events, outputs)
    return made


def nights() -> Iterator[tuple[float, str, str]]:
    """Yield when which playbook ran for which system, for ever; hand-overs lead back again the same day."""
    day = 0
    while True:
        for place, system in enumerate(SYSTEMS):
            night = FIRST + day * DAY_S + place * 300
            yield night, "backup", system
            yield night + 7200, "verify", system
            if day % MONTH == place:
                yield night + 20_000, "drill", system
            if day % QUARTER == 10 + place:
                yield night + 30_000, "switchover", system
                yield night + 40_000, "failback", system
        day += 1


def again(template: Template, run_id: str, system: str, at: float) -> list[Event]:
    """Return the run's events as they would be under another id, for another system, at another time."""
    shift = at - template.events[0].at
    moved: list[Event] = []
    plan_hash = template.plan_hash
    for event in template.events:
        word, body = encode(event)
        body = body.replace(template.run_id, run_id).replace(f'"{SYSTEM}"', f'"{system}"')
        body = body.replace(f"/{SYSTEM}/", f"/{system}/").replace(template.plan_hash, plan_hash)
        now = decode(word, body)
        now = replace(now, at=now.at + shift)
        if isinstance(now, RunAccepted):
            plan_hash = begin(run_id, now).plan_hash
        moved.append(now)
    return moved


async def write_past(path: Path, events: int = EVENTS) -> int:
    """Write at least so many events to a new journal at ``path``; return how many."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = await templates(Path(folder))
    journal = SqliteJournal(path)
    written = 0
    try:
        for at, playbook, system in nights():
            if written >= events:
                return written
            run_id = new_id(system, playbook, at, ())
            moved = again(made[playbook], run_id, system, at)
            journal.append(run_id, 0, moved, made[playbook].outputs)
            written += len(moved)
    finally:
        journal.close()
    return written

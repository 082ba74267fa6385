"""What the routes and pages may use of the daemon: one frozen bundle, handed over by ``console.daemon``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from dr.engine.orchestrator import Orchestrator
from dr.evidence.report import Report
from dr.schedule import Scheduler
from monitor.clock import Clock
from monitor.inventory.model import Inventory
from monitor.watch import Watch


@dataclass(frozen=True, slots=True)
class Desk:
    """The daemon's parts.

    ``problems()`` says what is wrong with the daemon itself, a sentence each; ``not_ready()`` why it cannot serve yet.
    ``metrics(accept)`` returns the exposition and its content type.
    """

    version: str
    inventory: Inventory
    watch: Watch
    orchestrator: Orchestrator
    scheduler: Scheduler
    clock: Clock
    metrics: Callable[[str], tuple[bytes, str]]
    problems: Callable[[], list[str]]
    not_ready: Callable[[], list[str]]
    report: Callable[[str], Awaitable[Report]]


def desk_of(request: Request) -> Desk:
    """Return the desk of the application that serves ``request``."""
    desk: Desk = request.app.state.desk
    return desk

"""What the routes and pages may use of the daemon: one frozen bundle, handed over by ``console.daemon``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.drifting import Drifting
from console.readiness import Readying
from console.reload import Reloaded
from console.reporting import Reporting
from console.responding import Responding
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Orchestrator
from dr.evidence.tracker import Tracker
from dr.forecast import Past
from dr.schedule import Scheduler
from monitor.clock import Clock
from monitor.credential import Credentials
from monitor.inventory.model import Inventory
from monitor.inventory.shard import Shard
from monitor.metrics.press import Page
from monitor.watch import Watch

if TYPE_CHECKING:  # the daemon makes the desk before it loads what serves it
    from fastapi import Request


@dataclass(frozen=True, slots=True)
class Desk:
    """The daemon's parts; ``inventory`` is what it watches.

    ``problems()`` says what is wrong with the daemon or with what it was told, a sentence each, and ``faults()`` what
    of it is work of its own that it cannot do; ``not_ready()`` why its picture is not complete. ``reload(by)`` reads
    the configuration anew. ``metrics(accept, accept_encoding)`` returns the page in the form that these headers want.
    ``past`` says what past runs let expect, ``readying`` how ready systems are. ``refusals()`` has, by alarm id, why
    the run that a response asks for is not prepared.
    """

    version: str
    inventory: Inventory
    shard: Shard
    watch: Watch
    orchestrator: Orchestrator
    responding: Responding
    credentials: Credentials
    joints: JointRuns
    scheduler: Scheduler
    clock: Clock
    metrics: Callable[[str, str], Awaitable[Page]]
    problems: Callable[[], list[str]]
    faults: Callable[[], list[str]]
    reload: Callable[[str], Awaitable[Reloaded]]
    not_ready: Callable[[], list[str]]
    reporting: Reporting
    drifting: Drifting
    past: Past
    readying: Readying
    tracker: Tracker
    refusals: Callable[[], Mapping[str, str]]

    @property
    def title(self) -> str:
        """The estate's name, and which part of it this is."""
        name = self.inventory.estate.name
        return name if self.shard.count == 1 else f"{name} (shard {self.shard})"


def desk_of(request: Request) -> Desk:
    """Return the desk of the application that serves ``request``."""
    desk: Desk = request.app.state.desk
    return desk

"""What observation tells the recovery half, and the ends of what both have written down."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from dr.engine.orchestrator import Orchestrator
from monitor.chain import Head
from monitor.errors import StateError
from monitor.inventory.model import Inventory
from monitor.probe import Observation
from monitor.watch import Watch


def epoch_seen(watch: Watch, inventory: Inventory, system: str) -> int:
    """Return the highest fencing token that the system's databases were seen to hold."""
    return max((int(each.values.get("epoch", 0)) for each in _seen(watch, inventory, system)), default=0)


def epoch_known(watch: Watch, inventory: Inventory, system: str) -> bool:
    """Tell whether each of the system's databases that are watched here was asked, and one has told its token."""
    subjects = [subject for subject in _databases(inventory, system) if watch.status(subject) is not None]
    asked = all(watch.observation(subject) is not None for subject in subjects)
    told = any("epoch" in each.values for each in _seen(watch, inventory, system))
    return not subjects or (asked and told)


def _databases(inventory: Inventory, system: str) -> list[str]:
    return [f"database/{system}/{site}" for site in inventory.systems[system].sites]


def _seen(watch: Watch, inventory: Inventory, system: str) -> list[Observation]:
    """Return what is known of the databases; one that is stopped is not OK, and yet tells its token."""
    subjects = _databases(inventory, system)
    found = [*map(watch.last_good, subjects), *map(watch.observation, subjects)]
    return [each for each in found if each is not None]


async def heads(orchestrator: Orchestrator, watch: Watch) -> Sequence[Head]:
    """Return the ends of what is chained; of downtimes that cannot be read none. Raises StateError."""
    found = [await orchestrator.in_thread(orchestrator.journal.head)]
    with contextlib.suppress(StateError):  # it is among the watch's problems
        found.append(await watch.downtimes.head())
    return found

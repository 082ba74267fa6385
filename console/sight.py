"""What the recovery half asks of the watch: tokens and losses that were seen, and what is held true of a subject."""

from __future__ import annotations

from dr.engine.observed import SIDES
from dr.loss import Loss, seen
from monitor.clients.redfish import recalled
from monitor.inventory.model import Inventory
from monitor.probe import Observation
from monitor.status.state import Health
from monitor.watch import Watch


def expected_loss(watch: Watch, system: str, from_site: str, to_site: str) -> Loss:
    """Return what was seen that a promotion of ``to_site`` would lose."""
    return seen(watch.evidence(system), watch.observation(f"database/{system}/{to_site}"), from_site)


def observed(watch: Watch, inventory: Inventory, subject: str) -> dict[str, str]:
    """Return the subject's status and, while it is heard, the role that it says it has.

    Of a front or database ``powered_at`` as well: when the outlets that feed it were read to be on, if they are.
    """
    status = watch.status(subject)
    if status is None:
        return {}
    found = {"status": status.health.value}
    newest = watch.last_good(subject)
    if status.health in {Health.OK, Health.DEGRADED} and newest is not None and "role" in newest.facts:
        found["role"] = newest.facts["role"]
    if (read := _outlets_on(watch, inventory, subject)) is not None:
        found["powered_at"] = str(read.at)
    return found


def _outlets_on(watch: Watch, inventory: Inventory, subject: str) -> Observation | None:
    """Return the newest reading of the outlets that feed a front or database, while it says that they are on."""
    kind, _, rest = subject.partition("/")
    system, _, site = rest.partition("/")
    if kind not in SIDES or system not in inventory.systems or site not in inventory.systems[system].sites:
        return None
    fence = inventory.systems[system].sites[site].fence
    read = watch.observation(f"power/{fence.controller}")
    group = None if read is None else recalled(fence.outlet_group, read.facts, read.values)
    return read if group is not None and group.power == "On" else None

"""What observation tells the recovery half."""

from __future__ import annotations

from monitor.inventory.model import Inventory
from monitor.watch import Watch


def epoch_seen(watch: Watch, inventory: Inventory, system: str) -> int:
    """Return the highest fencing token that the system's databases were seen to hold."""
    subjects = [f"database/{system}/{site}" for site in inventory.systems[system].sites]
    seen = [watch.last_good(subject) for subject in subjects]
    seen += [watch.observation(subject) for subject in subjects]  # one that is stopped is not OK
    return max((int(each.values.get("epoch", 0)) for each in seen if each is not None), default=0)

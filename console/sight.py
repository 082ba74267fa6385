"""What the recovery half asks of the watch: tokens and losses that were seen, and what is held true of a subject."""

from __future__ import annotations

from dr.loss import Loss, seen
from monitor.status.state import Health
from monitor.watch import Watch


def expected_loss(watch: Watch, system: str, from_site: str, to_site: str) -> Loss:
    """Return what was seen that a promotion of ``to_site`` would lose."""
    return seen(watch.evidence(system), watch.observation(f"database/{system}/{to_site}"), from_site)


def observed(watch: Watch, subject: str) -> dict[str, str]:
    """Return the subject's status and, while it is heard, the role that it says it has."""
    status = watch.status(subject)
    if status is None:
        return {}
    found = {"status": status.health.value}
    newest = watch.last_good(subject)
    if status.health in {Health.OK, Health.DEGRADED} and newest is not None and "role" in newest.facts:
        found["role"] = newest.facts["role"]
    return found

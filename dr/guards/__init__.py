"""Every guard by name, which of them a run is asked about, and which a step."""

from __future__ import annotations

from dr.guard import Guard
from dr.guards.approval import approval
from dr.guards.blackout import blackout
from dr.guards.exclusive import exclusive
from dr.guards.fencing import fencing
from dr.guards.flapping import flapping
from dr.guards.isolated import isolated
from dr.guards.lease import lease
from dr.guards.paused import paused
from dr.guards.placement import placement
from dr.guards.quorum import quorum
from dr.guards.readiness import readiness
from dr.guards.rpo import rpo
from dr.guards.safety import safety
from dr.guards.verification import verification

GUARDS: dict[str, Guard] = {
    "lease": lease,
    "exclusive": exclusive,
    "paused": paused,
    "flapping": flapping,
    "isolated": isolated,
    "placement": placement,
    "blackout": blackout,
    "readiness": readiness,
    "quorum": quorum,
    "rpo": rpo,
    "verification": verification,
    "safety": safety,
    "approval": approval,
    "fencing": fencing,
}
RUN_GUARDS: tuple[Guard, ...] = (
    lease,
    exclusive,
    paused,
    flapping,
    isolated,
    placement,
    blackout,
    readiness,
    quorum,
    rpo,
    verification,
    safety,
    approval,
)
STEP_GUARDS: tuple[Guard, ...] = (lease, fencing, rpo, safety)

"""Every guard by name, which of them a run is asked about, and which a step."""

from __future__ import annotations

from dr.guard import Guard
from dr.guards.approval import approval
from dr.guards.blackout import blackout
from dr.guards.exclusive import exclusive
from dr.guards.fencing import fencing
from dr.guards.flapping import flapping
from dr.guards.isolated import isolated
from dr.guards.paused import paused
from dr.guards.placement import placement
from dr.guards.quorum import quorum

GUARDS: dict[str, Guard] = {
    "exclusive": exclusive,
    "paused": paused,
    "flapping": flapping,
    "isolated": isolated,
    "placement": placement,
    "blackout": blackout,
    "quorum": quorum,
    "approval": approval,
    "fencing": fencing,
}
RUN_GUARDS: tuple[Guard, ...] = (exclusive, paused, flapping, isolated, placement, blackout, quorum, approval)
STEP_GUARDS: tuple[Guard, ...] = (fencing,)

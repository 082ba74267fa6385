"""The monitor's own uplink: while it is cut, the estate works on and answers nobody but its own clients.

What only a monitor asks looks dead; fronts and name servers, which the clients use too, tell who calls by the address
that the call comes from. The mail and ticket servers are on the monitor's side of the uplink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.presence import Presence

if TYPE_CHECKING:
    from lab.scenario import Estate

CUT = ("cut-monitor", "monitor")
CLIENTS = "127.0.0.99"  # where the clients of the estate call from


def refuses(estate: Estate, peer: str) -> bool:
    """Tell whether whoever calls from ``peer`` is behind the uplink that is cut."""
    return estate.faults.active(*CUT) and peer != CLIENTS


def presence(estate: Estate) -> Presence:
    """Return how something appears to the monitor that never fails itself."""
    return Presence.DEAD if estate.faults.active(*CUT) else Presence.ALIVE

"""What is in the vCenter simulator, and a log-in beside the session that is tried."""

from __future__ import annotations

from contextlib import contextmanager

from monitor.clients.vsphere_soap import Line
from monitor.clock import RealClock

VM = "DC0_H0_VM0"
PASSWORD = "secret"


@contextmanager
def behind_its_back(session):
    """Log in beside the session, to do things that the client does not offer."""
    line = Line(session._peer, RealClock(), RealClock().monotonic() + 30)
    try:
        line.open()
        line.log_in()
        yield line
    finally:
        line.hang_up()

"""One long session of a vCenter for work that repeats: kept while it lasts, renewed after any trouble.

Blocking; one thread, but for ``abort``. A filter or view outlives a time-out unseen, so the old session is logged out
before a new one is used. Source: vSphere Web Services API 8.0, SessionManager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.clients.vsphere_soap import Line, Peer

if TYPE_CHECKING:
    from monitor.clock import Clock


class Keeper:
    """Holds at most one line with a session."""

    def __init__(self, peer: Peer, clock: Clock, call_limit_s: float | None = None) -> None:
        """Prepare; nothing is sent yet. ``call_limit_s`` bounds each call (None: all the time that is left)."""
        self.peer = peer
        self._call_limit_s = call_limit_s
        self.clock = clock
        self.line: Line | None = None
        self._old_session: str | None = None

    def connect(self, expires: float) -> Line:
        """Log in on a new line, whose calls end by ``expires`` (monotonic seconds). Raises TargetError, MethodFault."""
        line = Line(self.peer, self.clock, expires)
        line.call_limit_s = self._call_limit_s
        self.line = line  # from here on abort() reaches it
        line.open()
        if self._old_session is not None:
            line.resume(self._old_session)
            line.log_out()
            self._old_session = None
        line.log_in()
        return line

    def drop(self) -> None:
        """Hang up after trouble; the session is ended when the next one begins."""
        line, self.line = self.line, None
        if line is not None:
            self._old_session = line.session_id or self._old_session
            line.hang_up()

    def abort(self) -> None:
        """Break off the running call; from any thread."""
        line = self.line
        if line is not None:
            line.abort()

    def log_out(self, expires: float) -> None:
        """End the session. Raises TargetError."""
        line, self.line = self.line, None
        if line is not None:
            try:
                line.expires = expires
                line.log_out()
            finally:
                line.hang_up()

"""What is in the vCenter simulator, a log-in beside the session that is tried, and a way there that loses answers."""

from __future__ import annotations

import http.client
import ssl
from contextlib import contextmanager

from https_kit import reply, serving

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


@contextmanager
def forgetful(simulator, ca, call, *, silent=False):
    """Stand between a session and the simulator and lose the answers to ``call``: hang up, or say nothing for long."""
    trusting = ssl.create_default_context(cafile=ca.bundle)

    def forward(request, _connection):
        onward = http.client.HTTPSConnection("127.0.0.1", simulator.port, timeout=10, context=trusting)
        try:
            onward.request(request.method, request.path, request.body, {"Cookie": request.headers.get("cookie", "")})
            answer = onward.getresponse()
            body, cookie = answer.read(), answer.headers.get("Set-Cookie", "")
        finally:
            onward.close()
        if call.encode() in request.body:
            if silent:
                proxy.stop.wait(20)
            return None
        return reply(answer.status, body, "text/xml", *([f"Set-Cookie: {cookie}"] if cookie else []))

    with serving(ca.server("127.0.0.1"), forward) as proxy:
        yield proxy

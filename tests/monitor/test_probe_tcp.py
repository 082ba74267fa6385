"""The tcp probe against listeners of our own."""

from __future__ import annotations

import socket

import pytest
from real_kit import free_port

from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.tcp import TcpParams, TcpProbe

pytestmark = pytest.mark.anyio


async def ask(*ports, deadline_s=2.0):
    probe = TcpProbe(Credentials(None), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), ManualClock(1000.0))
    targets = [Target(f"dns/{port}", "tcp", TcpParams("127.0.0.1", port), 10, deadline_s) for port in ports]
    seen = {seen.subject: seen async for seen in probe.observe(targets)}
    await probe.close()
    return [seen[target.subject] for target in targets]


async def test_open_and_closed_ports_side_by_side():
    closed = free_port()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here, nowhere = await ask(listener.getsockname()[1], closed)
    assert (here.answer, here.reason, here.at) == (Answer.OK, "", 1000.0)
    assert here.values["rtt_seconds"] > 0
    assert (nowhere.answer, nowhere.reason) == (
        Answer.FAILED,
        f"127.0.0.1:{closed} cannot be reached: Connection refused",
    )


async def test_a_full_backlog_ends_at_the_deadline():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        (seen,) = await ask(port, deadline_s=0.3)
        for one in waiting:
            one.close()
    assert (seen.answer, seen.reason) == (Answer.FAILED, f"127.0.0.1:{port} did not accept a connection in time")

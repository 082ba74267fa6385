"""The vSphere client's arithmetic, and its behaviour before servers that are no vCenter or a sick one."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from https_kit import reply, serving
from hypothesis import given
from hypothesis import strategies as st
from pyVmomi import vim, vmodl
from real_kit import free_port
from tls_kit import ThrowawayCa

from monitor.clients.vsphere import VcenterSession
from monitor.clients.vsphere_inventory import escape, unescape
from monitor.clients.vsphere_soap import Peer, meaning, version_for
from monitor.clock import RealClock
from monitor.credential import Secret
from monitor.errors import (
    CredentialError,
    DeadlineExceeded,
    GarbledReply,
    NotFound,
    Refused,
    SessionLost,
    TargetError,
    Unreachable,
    Untrusted,
)

PASSWORD = "pa55word"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return ThrowawayCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def enter(ca):
    sessions = []

    def made(port, deadline_s=60.0):
        session = VcenterSession(
            "127.0.0.1", port, "karaula", Secret(PASSWORD), ca.bundle, deadline_s=deadline_s, clock=RealClock()
        )
        sessions.append(session)
        return session

    yield made
    await asyncio.gather(*(session.close() for session in sessions))


# -- names, versions


@given(st.text())
def test_a_name_survives_being_stored(name):
    assert unescape(escape(name)) == name


def test_names_as_vcenter_writes_them():
    assert unescape("drill-1%2fdb%252f%5C") == "drill-1/db%2f\\"


@pytest.mark.parametrize(
    ("theirs", "spoken"),
    [
        ("8.0.1.0", "vim.version.v8_0_1_0"),
        ("7.0", "vim.version.v7_0"),
        ("6.5", "vim.version.version11"),
        ("8.0.1.9", "vim.version.v8_0_1_0"),
        ("4.1", "vim.version.version9"),
        ("nonsense", "vim.version.version9"),
    ],
)
def test_the_version_spoken_is_one_that_both_know(theirs, spoken):
    assert version_for(theirs) == spoken


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (vim.fault.InvalidLogin(), Refused),
        (vim.fault.NotAuthenticated(), SessionLost),
        (vim.fault.NoPermission(privilegeId="VirtualMachine.Interact.PowerOn"), Refused),
        (vmodl.fault.ManagedObjectNotFound(), NotFound),
        (vmodl.query.InvalidCollectorVersion(), SessionLost),
        (vim.fault.InvalidPowerState(), Refused),
    ],
)
def test_what_a_fault_means(fault, error):
    peer = Peer("127.0.0.1", 443, "karaula", Secret(PASSWORD), None)
    told = meaning(fault, peer, "power change")
    assert type(told) is error
    assert PASSWORD not in str(told)


# -- servers that are none


@pytest.mark.anyio
async def test_nobody_there(enter):
    session = enter(free_port())
    for job in (session.refresh(), session.vm("x"), session.power("x", True, 5)):
        with pytest.raises(Unreachable, match="Connection refused") as caught:
            await job
        assert caught.value.outcome_known


@pytest.mark.anyio
async def test_a_certificate_of_somebody_else(tmp_path, enter):
    with serving(ThrowawayCa(tmp_path).server("127.0.0.1"), lambda *_: reply(200, b"")) as server:
        session = enter(server.port)
        for job in (session.refresh(), session.vm("x")):
            with pytest.raises(Untrusted):
                await job
    assert server.requests == []


@pytest.mark.anyio
async def test_a_certificate_for_another_address(ca, enter):
    other = ca.server("127.0.0.2")
    with serving(other, lambda *_: None) as server, pytest.raises(Untrusted, match="IP address mismatch"):
        await enter(server.port).refresh()


def test_a_missing_ca_bundle_is_named(tmp_path):
    with pytest.raises(CredentialError, match=r"gone\.pem"):
        VcenterSession("127.0.0.1", 1, "u", Secret(""), tmp_path / "gone.pem", deadline_s=1, clock=RealClock())


ENVELOPE = (
    b'<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
    b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body>%s</e:Body></e:Envelope>'
)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"<html>hello", "text/html"),
        reply(200, b"", "text/xml"),
        reply(200, b"\x00\xff" * 50, "text/xml"),
        reply(200, ENVELOPE % b'<RetrieveServiceContentResponse xmlns="urn:vim25"/>', "text/xml"),
        reply(
            200, ENVELOPE % b'<RetrieveServiceContentResponse xmlns="urn:vim25"><returnval xsi:type="No"/>', "text/xml"
        ),
        reply(500, ENVELOPE % b"<e:Nothing/>", "text/xml"),
        reply(500, b"<html>proxy error", "text/html"),
        reply(502, b"bad gateway", "text/plain"),
        reply(404, b"", "text/plain"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhaha",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhaha",
        None,
    ],
)
async def test_what_is_no_vcenter(ca, enter, answer):
    def once(_request, connection):
        if answer is not None:
            connection.sendall(answer)

    with serving(ca.server("127.0.0.1"), once) as server:
        session = enter(server.port)
        for job in (session.refresh(), session.vm("x")):
            with pytest.raises(TargetError) as caught:
                await job
            assert isinstance(caught.value, GarbledReply | SessionLost), caught.value
            assert PASSWORD not in str(caught.value)


# -- hanging


async def until(holds):
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - threads of the client
            await asyncio.sleep(0.02)


def threads():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("vcenter-")}


@pytest.mark.anyio
@pytest.mark.parametrize("drip", [False, True])
async def test_a_hung_poll_is_broken_off_and_gives_its_thread_back(ca, enter, drip):
    def hang(_request, connection):
        if drip:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not server.stop.wait(0.05):
            if drip:
                connection.sendall(b" ")

    with serving(ca.server("127.0.0.1"), hang) as server:
        session = enter(server.port, deadline_s=0.4)
        for _ in range(3):
            with pytest.raises((DeadlineExceeded, Unreachable), match=r"in time|poll before"):
                await session.refresh()
        jobs = [session.power(f"vm-{number}", True, 0.4) for number in range(8)]
        for result in await asyncio.gather(*jobs, return_exceptions=True):
            assert isinstance(result, DeadlineExceeded | Unreachable)  # a slow handshake may eat the time
        assert len(threads()) <= 7  # one for the poll, six for errands
        await session.close()
        await until(lambda: not threads())


@pytest.mark.anyio
async def test_a_poll_that_is_cancelled_is_broken_off(ca, enter):
    with serving(ca.server("127.0.0.1"), lambda *_: server.stop.wait(600) and None) as server:
        session = enter(server.port, deadline_s=600)
        polling = asyncio.ensure_future(session.refresh())
        await until(lambda: server.requests)
        polling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await polling
        await until(session._polling.done)
        server.stop.set()


@pytest.mark.anyio
async def test_a_listener_that_never_speaks_tls(enter):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        session = enter(listener.getsockname()[1], deadline_s=0.4)
        for job in (session.refresh(), session.vm("x")):
            with pytest.raises(Unreachable, match="in time"):
                await job

"""The vsphere probe's judgement of a VM, and what it does with a refused log-in; real vCenters are in tests/real."""

from __future__ import annotations

import gzip

import pytest
from https_kit import reply, serving
from tls_kit import ThrowawayCa

from monitor.clients.vsphere import VcenterSession, Vm
from monitor.clients.vsphere_soap import MOST_SMALL_BYTES
from monitor.clock import ManualClock, RealClock
from monitor.credential import Credentials
from monitor.errors import Unreachable
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.vsphere import VsphereParams, VsphereProbe, judge

TRUST = Trust(tls_ca="ca.pem", known_hosts="known_hosts")


def vm(power="on", connection="connected", heartbeat="green"):
    return Vm("vm-1", "ncts-db-1", "uuid", power, connection, "running", heartbeat, "host-1", False, "")


@pytest.mark.parametrize(
    ("seen", "needed", "answer", "reason"),
    [
        (vm(), True, Answer.OK, ""),
        (vm(heartbeat="gray"), True, Answer.OK, ""),
        (vm(heartbeat="yellow"), True, Answer.OK, ""),
        (vm(heartbeat="red"), True, Answer.FAILED, "its guest has stopped giving heartbeats"),
        (vm("off", heartbeat="gray"), True, Answer.FAILED, "powered off"),
        (vm("suspended"), True, Answer.FAILED, "suspended"),
        (vm("off", heartbeat="gray"), False, Answer.OK, ""),
        (vm(connection="disconnected"), True, Answer.UNKNOWN, "its host is disconnected from the vCenter"),
        (vm(connection="inaccessible"), False, Answer.FAILED, "the vCenter calls it inaccessible"),
        (vm("off", connection="orphaned"), True, Answer.FAILED, "the vCenter calls it orphaned"),
    ],
)
def test_judgement(seen, needed, answer, reason):
    assert judge(seen, needed=needed) == (answer, reason)


CONTENT = b"""<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body><RetrieveServiceContentResponse xmlns="urn:vim25">
<returnval><rootFolder type="Folder">group-d1</rootFolder>
<propertyCollector type="PropertyCollector">propertyCollector</propertyCollector>
<about><name>vCenter</name><fullName>vCenter</fullName><vendor>x</vendor><version>8.0.1</version><build>1</build>
<osType>linux</osType><productLineId>vpx</productLineId><apiType>VirtualCenter</apiType><apiVersion>8.0.1.0</apiVersion>
</about><sessionManager type="SessionManager">SessionManager</sessionManager></returnval>
</RetrieveServiceContentResponse></e:Body></e:Envelope>"""
REFUSED = b"""<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body><e:Fault><faultcode>ServerFaultCode</faultcode>
<faultstring>Cannot complete login</faultstring><detail><InvalidLoginFault xmlns="urn:vim25" xsi:type="InvalidLogin"/>
</detail></e:Fault></e:Body></e:Envelope>"""


@pytest.mark.anyio
async def test_a_refused_log_in_is_not_repeated_until_the_account_locks(tmp_path):
    ca, clock = ThrowawayCa(tmp_path), ManualClock()
    (tmp_path / "vcenter-main").write_text("old password\n")
    passwords = []

    def vcenter(request, _connection):
        if b"<Login " in request.body:
            passwords.append(b"new password" in request.body)
            return reply(500, REFUSED, "text/xml")
        return reply(200, CONTENT, "text/xml")

    probe = VsphereProbe(Credentials(tmp_path), TRUST, clock)
    with serving(ca.server("127.0.0.1"), vcenter) as server:
        params = VsphereParams("vc-main", "127.0.0.1", server.port, "karaula", "vcenter-main", vms=("ncts-db-1",))
        target = Target("vcenter/vc-main", "vsphere", params, 10, 5)

        async def poll():
            return {seen.subject: seen async for seen in probe.observe([target])}

        for _ in range(6):
            seen = await poll()
            assert seen["vcenter/vc-main"].answer is Answer.FAILED
            assert "user 'karaula' with this password; asked again" in seen["vcenter/vc-main"].reason
            assert seen["vm/vc-main/ncts-db-1"].answer is Answer.UNKNOWN
            clock.advance(9)
        assert passwords == [False]
        (tmp_path / "vcenter-main").write_text("new password\n")
        clock.advance(10)
        await poll()
        assert passwords == [False, True]
    await probe.close()


@pytest.mark.anyio
async def test_a_missing_credential_is_our_mistake_not_the_vcenters(tmp_path):
    ThrowawayCa(tmp_path)
    probe = VsphereProbe(Credentials(tmp_path), TRUST, ManualClock())
    params = VsphereParams("vc-main", "127.0.0.1", 1, "karaula", "vcenter-main")
    (seen,) = [one async for one in probe.observe([Target("vcenter/vc-main", "vsphere", params, 10, 1)])]
    assert seen.answer is Answer.UNKNOWN
    assert "credential 'vcenter-main' is not in" in seen.reason
    await probe.close()


@pytest.mark.anyio
async def test_what_breaks_the_reading_of_one_vcenter_leaves_the_other_and_calls_its_vms_unknown(tmp_path, monkeypatch):
    async def broken(session):
        if session.survey is None and "hostile" in str(session._peer.user):
            raise OverflowError("what a stranger sent")
        raise Unreachable("the other one")

    monkeypatch.setattr(VcenterSession, "refresh", broken)
    ThrowawayCa(tmp_path)
    (tmp_path / "secret").write_text("x\n")
    probe = VsphereProbe(Credentials(tmp_path), TRUST, ManualClock())
    targets = [
        Target(
            f"vcenter/{key}", "vsphere", VsphereParams(key, "127.0.0.1", 1, key, "secret", vms=("ncts-db-1",)), 10, 1
        )
        for key in ("hostile", "other")
    ]
    seen = {one.subject: (one.answer.value, one.reason) async for one in probe.observe(targets)}
    assert seen == {
        "vcenter/hostile": ("unknown", "the vsphere probe itself failed: OverflowError"),
        "vm/hostile/ncts-db-1": ("unknown", "vCenter hostile says what could not be read"),
        "vcenter/other": ("failed", "the other one"),
        "vm/other/ncts-db-1": ("unknown", "vCenter other does not answer"),
    }
    await probe.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "header", "reason"),
    [
        (gzip.compress(CONTENT), ("Content-Encoding: gzip",), "its answer is compressed, which was not asked for"),
        (CONTENT + b" " * MOST_SMALL_BYTES, (), "its answer is larger than 32 MiB"),
    ],
)
async def test_what_pyvmomi_reads_by_itself_is_bounded(tmp_path, body, header, reason):
    ca = ThrowawayCa(tmp_path)
    (tmp_path / "secret").write_text("x\n")
    probe = VsphereProbe(Credentials(tmp_path), TRUST, RealClock())
    with serving(ca.server("127.0.0.1"), lambda *_: reply(200, body, "text/xml", *header)) as server:
        params = VsphereParams("vc-main", "127.0.0.1", server.port, "karaula", "secret")
        (seen,) = [one async for one in probe.observe([Target("vcenter/vc-main", "vsphere", params, 10, 30)])]
    assert seen.answer is Answer.FAILED
    assert reason in seen.reason
    await probe.close()

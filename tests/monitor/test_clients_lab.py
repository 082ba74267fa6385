"""Clients and probes against the lab: what the product asks of a vCenter, a PDU, a DNS server and a front end."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from estate_kit import start_lab

from monitor.clients.dns import query_a, replace_a, soa_serial
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient, recalled
from monitor.clients.vsphere import StillReading, VcenterSession
from monitor.clock import ManualClock, RealClock
from monitor.credential import Credentials, Secret
from monitor.errors import NotFound, Refused, TargetError, Unreachable
from monitor.inventory.equipment import PowerController
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.http import HttpParams, HttpProbe
from monitor.probes.outlets import OutletsParams, OutletsProbe
from monitor.probes.tcp import TcpParams, TcpProbe
from monitor.probes.vsphere import VsphereParams, VsphereProbe

pytestmark = [pytest.mark.anyio, pytest.mark.lab]
TRUST = Trust(tls_ca="lab-ca.pem", known_hosts="known_hosts")
LONG_S = 60.0  # for what must happen, however slow the machine
USER = "karaula@vsphere.local"
DB, WEB = "ncts-db-1", "ncts-web-1"
NCTS = "ncts.customs.example"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with start_lab(tmp_path_factory.mktemp("clients"), rate=0) as running:
        yield running


@pytest.fixture(autouse=True)
def healed(lab):
    yield
    lab.clear()


@pytest.fixture
def credentials(lab):
    return Credentials(lab.credentials)


@pytest.fixture
async def enter(lab, credentials):
    sessions = []

    def made(site, credential, deadline_s=LONG_S):
        session = VcenterSession(
            lab.address(f"{site}.5"),
            8989,
            USER,
            credentials.secret(credential),
            credentials.path("lab-ca.pem"),
            deadline_s=deadline_s,
            clock=RealClock(),
        )
        sessions.append(session)
        return session

    yield made
    await asyncio.gather(*(session.close() for session in sessions))


async def everything(probe, target):
    return {seen.subject: seen async for seen in probe.observe([target])}


async def until_ok(probe, target):
    """Ask until the answer is OK: an earlier test's fault may still be healing (VMs boot)."""
    give_up = RealClock().monotonic() + LONG_S
    while (seen := (await everything(probe, target))[target.subject]).answer is not Answer.OK:
        assert RealClock().monotonic() < give_up, f"{target.subject} does not come back: {seen.reason}"
        await asyncio.sleep(0.2)
    return seen


async def test_a_vcenter_is_followed_and_obeys(enter):
    session = enter(2, "vcenter-dr")
    first = await session.refresh()
    assert (first.full, first.named(DB)[0].power, first.named(DB)[0].heartbeat) == (True, "on", "green")
    assert (await session.refresh()).full is False

    await session.power(WEB, False, LONG_S)
    after = await session.refresh()
    assert (after.full, after.named(WEB)[0].power) == (False, "off")
    await session.power(WEB, True, LONG_S)
    assert (await session.vm(WEB)).power == "on"

    await session.snapshot(DB, "before", LONG_S)
    await session.clone(DB, "drill-1-ncts-db-1", LONG_S)
    assert (await session.vm("drill-1-ncts-db-1")).power == "off"
    await session.plug("drill-1-ncts-db-1", "drill-bubble", LONG_S)
    await session.power("drill-1-ncts-db-1", True, LONG_S)
    with pytest.raises(Refused, match="refused the deletion"):
        await session.destroy("drill-1-ncts-db-1", LONG_S)
    assert len((await session.refresh()).vms) == len(first.vms) + 1
    await session.power("drill-1-ncts-db-1", False, LONG_S)
    await session.destroy("drill-1-ncts-db-1", LONG_S)
    last = await session.refresh()
    assert (last.full, len(last.vms)) == (False, len(first.vms))
    with pytest.raises(NotFound):
        await session.power("drill-1-ncts-db-1", True, LONG_S)
    with pytest.raises(Refused, match="with this password"):
        await enter(2, "vcenter-main").refresh()


async def test_a_vcenter_that_hangs_and_comes_back(lab, enter):
    hung, well = enter(1, "vcenter-main"), enter(2, "vcenter-dr")
    await hung.refresh()
    hung._deadline_s = 0.7
    lab.fault("hang-vcenter", "vc-main")
    for job in (hung.refresh(), hung.vm(DB)):
        with pytest.raises(TargetError, match="in time"):
            await job
    assert (await well.refresh()).vms
    lab.clear()
    hung._deadline_s = LONG_S
    back = await hung.refresh()
    assert back.full
    assert (await hung.vm(DB)).power == "on"


async def test_a_vm_that_vanishes_takes_only_its_own_counters_along(lab, enter):
    """A vCenter answers a whole query by a fault when one of its VMs has gone."""
    session = enter(1, "vcenter-main")
    before = await session.refresh()
    gone = before.named(WEB)[0].moref
    surveyor = session._surveyor
    surveyor._counters = ("cpu-usage", "cpu-ready", "memory-swapped", "disk-latency")
    morefs = list(before.vms)
    lab.fault("vanish-vm", f"vc-main/{WEB}")
    lab.fault("old-snapshot", f"vc-main/{DB}", days=2)
    expires = RealClock().monotonic() + LONG_S
    db = before.named(DB)[0].moref
    found = await asyncio.to_thread(surveyor.survey, morefs, [gone, db], expires)
    assert found.measures.keys() == set(morefs) - {gone}
    values = found.measures[db]
    assert values["memory-swapped"] == 0.0  # a counter that says 0 is a value
    assert 0 < values["cpu-ready"] < 0.05
    assert found.snapshot_bytes.keys() == {db}
    assert found.snapshot_bytes[db] == pytest.approx(8 * 2**30, rel=0.01)


async def test_a_large_inventory_of_a_slow_vcenter_is_read_over_several_polls(lab, enter, monkeypatch, credentials):
    monkeypatch.setattr("monitor.clients.vsphere_collector.PAGE_OBJECTS", 3)
    lab.fault("slow-vcenter", "vc-main", seconds=0.25)
    session = enter(1, "vcenter-main", deadline_s=2.6)
    with pytest.raises(StillReading, match="objects until now"):
        await session.refresh()
    first = None
    for _ in range(20):
        with contextlib.suppress(StillReading):
            first = await session.refresh()
            break
    assert first is not None
    assert (first.full, len(first.vms), len(first.hosts), len(first.datastores)) == (True, 21, 4, 2)
    assert first.changed >= 26
    lab.clear()
    assert (await session.refresh()).full is False

    lab.fault("slow-vcenter", "vc-main", seconds=0.25)
    probe = VsphereProbe(credentials, TRUST, RealClock())
    params = VsphereParams("vc-main", lab.address("1.5"), 8989, USER, "vcenter-main", vms=(DB,))
    try:
        seen = await everything(probe, Target("vcenter/vc-main", "vsphere", params, 10, 2.6))
        assert seen["vcenter/vc-main"].answer is Answer.UNKNOWN  # not down: it answers
        assert seen[f"vm/vc-main/{DB}"].answer is Answer.UNKNOWN
    finally:
        await probe.close()


async def test_a_clock_that_is_wrong_at_the_vcenter_is_its_own(lab, enter, monkeypatch):
    session = enter(1, "vcenter-main")
    morefs = list((await session.refresh()).vms)
    session._surveyor._counters = ("cpu-usage",)
    monkeypatch.setattr("monitor.clients.vsphere_survey.OLDEST_SAMPLE_S", -1.0)
    found = await asyncio.to_thread(session._surveyor.survey, morefs, [], RealClock().monotonic() + LONG_S)
    assert found.measures == {}  # samples are compared with the vCenter's clock, and old ones are left out


async def test_the_vcenter_probe_sees_a_vm_vanish_and_a_site_cut(lab, credentials):
    probe = VsphereProbe(credentials, TRUST, RealClock())
    params = VsphereParams("vc-main", lab.address("1.5"), 8989, USER, "vcenter-main", vms=(DB, WEB))
    target = Target("vcenter/vc-main", "vsphere", params, 10, LONG_S)
    try:
        seen = await everything(probe, target)
        assert {seen[f"vm/vc-main/{name}"].answer for name in (DB, WEB)} == {Answer.OK}
        lab.fault("vanish-vm", f"vc-main/{WEB}")
        for _ in range(2):
            gone = (await everything(probe, target))[f"vm/vc-main/{WEB}"]
            assert gone.answer is Answer.FAILED
        lab.fault("cut-site", "main")
        seen = await everything(probe, target)
        assert "refused" in seen["vcenter/vc-main"].reason or "broke" in seen["vcenter/vc-main"].reason
        assert seen[f"vm/vc-main/{DB}"].answer is Answer.UNKNOWN
    finally:
        await probe.close()


async def test_a_front_says_what_it_is(lab, credentials):
    pages, ports = HttpProbe(credentials, TRUST, RealClock()), TcpProbe(credentials, TRUST, RealClock())
    address = lab.address("1.12")
    page = Target("front/ncts/main", "http", HttpParams(f"https://{address}:8443/health"), 10, LONG_S)
    port = Target("dns/dns-main", "tcp", TcpParams(lab.address("1.53"), 5353), 10, LONG_S)
    try:
        front = await until_ok(pages, page)
        assert front.answer is Answer.OK
        assert front.facts == {"system": "ncts", "site": "main", "role": "active"}
        assert {"position", "epoch", "duration_seconds", "tls_not_after_seconds"} <= set(front.values)
        open_port = (await everything(ports, port))["dns/dns-main"]
        assert open_port.answer is Answer.OK
        assert open_port.values["rtt_seconds"] > 0
        lab.fault("cut-site", "main")
        for probe, target in ((pages, page), (ports, port)):
            seen = (await everything(probe, target))[target.subject]
            assert seen.answer is Answer.FAILED
            assert "Connection refused" in seen.reason
    finally:
        await pages.close()


async def test_an_outlet_group_is_switched(lab, credentials):
    http = HttpClient(credentials.path("lab-ca.pem"))
    redfish, password = RedfishClient(http), credentials.secret("pdu-dr")
    controller = PowerController(
        address=lab.address("2.6"), port=8444, site="dr", pdu="pdu-dr", user="karaula", credential="pdu-dr"
    )
    try:
        before = await redfish.outlet_group(controller, password, "exim", LONG_S)
        assert before.power == "On"
        assert before.watts > 0
        await redfish.set_power(controller, password, "exim", LONG_S, on=False)
        assert (await redfish.outlet_group(controller, password, "exim", LONG_S)).watts == 0
        assert (await redfish.outlet_group(controller, password, "exim", LONG_S)).power == "Off"
        await redfish.set_power(controller, password, "exim", LONG_S, on=True)
        with pytest.raises(NotFound):
            await redfish.outlet_group(controller, password, "nothing", LONG_S)
        with pytest.raises(Refused, match="user 'karaula'"):
            await redfish.outlet_group(controller, credentials.secret("pdu-main"), "exim", LONG_S)
    finally:
        await http.close()


async def test_a_controller_is_well_while_every_outlet_group_can_be_read(lab, credentials):
    place = {"address": lab.address("2.6"), "port": 8444, "site": "dr", "pdu": "pdu-dr", "user": "karaula"}
    clock = ManualClock(0)

    def asked(*groups, credential="pdu-dr"):
        controller = PowerController(**place, credential=credential)
        return Target("power/pdu-dr", "outlets", OutletsParams(controller, groups), 10, LONG_S)

    probe = OutletsProbe(credentials, TRUST, clock)
    try:
        seen = await until_ok(probe, asked("cdeps", "exim", "ite"))
        for name in ("cdeps", "exim", "ite"):
            group = recalled(name, seen.facts, seen.values)
            assert (group.power, group.watts > 0) == ("On", True)
        assert recalled("ncts", seen.facts, seen.values) is None
        lost = (await everything(probe, asked("cdeps", "nothing", "exim")))["power/pdu-dr"]
        assert lost.answer is Answer.FAILED
        assert "outlet group pdu-dr/nothing, does not exist" in lost.reason
        assert recalled("exim", lost.facts, lost.values).power == "On", "what could be read is told"
        wrong = asked("cdeps", "exim", credential="pdu-main")
        refused = (await everything(probe, wrong))["power/pdu-dr"]
        assert (refused.answer, "asked again once a minute" in refused.reason) == (Answer.FAILED, True)
        lab.fault("hang-power", "pdu-dr")
        wrong = replace(wrong, deadline_s=0.5)
        assert "does not accept" in (await everything(probe, wrong))["power/pdu-dr"].reason, "it is left alone"
        clock.advance(61)
        assert "in time" in (await everything(probe, wrong))["power/pdu-dr"].reason
    finally:
        await probe.close()


async def test_a_name_is_moved(lab, credentials):
    server, key = (lab.address("2.53"), 5353), credentials.secret("tsig-karaula")
    (old,), _ = await query_a(*server, NCTS, LONG_S)
    serial = await soa_serial(*server, "customs.example", LONG_S)
    await replace_a(*server, "customs.example", NCTS, lab.address("2.12"), 15, "karaula", key, LONG_S)
    assert await query_a(*server, NCTS, LONG_S) == ((lab.address("2.12"),), 15)
    assert await soa_serial(*server, "customs.example", LONG_S) > serial
    with pytest.raises(Refused, match="TSIG"):
        await replace_a(*server, "customs.example", NCTS, old, 15, "karaula", Secret("AAAA"), LONG_S)
    await replace_a(*server, "customs.example", NCTS, old, 15, "karaula", key, LONG_S)
    lab.fault("cut-site", "dr")
    with pytest.raises(Unreachable):
        await replace_a(*server, "customs.example", NCTS, old, 15, "karaula", key, LONG_S)

"""The lab's SNMP agents, asked by gufo-snmp and net-snmp."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess

import pytest
from gufo.snmp import NoSuchInstance, SnmpVersion
from gufo.snmp.aio import SnmpSession
from hypothesis import given
from hypothesis import strategies as st
from real_kit import need
from server_kit import running

from lab.servers import ber, snmp_agent

SENSOR = "main-rack-1-temperature"
VALUES = "1.3.6.1.2.1.99.1.1.1.4"
pytestmark = pytest.mark.anyio


def session(lab, key: str = SENSOR, community: str = "", timeout_s: float = 2.0) -> SnmpSession:
    source = lab.estate.plan.sensors[key].source
    return SnmpSession(
        addr=source["address"],
        port=source["port"],
        community=community or lab.identity.secret(source["community"]),
        version=SnmpVersion.v2c,
        timeout=timeout_s,
        allow_bulk=True,
    )


async def raw_reply(lab) -> bytes:
    source = lab.estate.plan.sensors[SENSOR].source
    binding = ber.encode(ber.SEQUENCE, ber.object_identifier(ber.parse_oid(f"{VALUES}.1")).encode() + b"\5\0")
    numbers = b"".join(ber.integer(number).encode() for number in (77, 0, 0))
    pdu = ber.encode(snmp_agent.GET, numbers + ber.encode(ber.SEQUENCE, binding))
    community = ber.text(lab.identity.secret(source["community"])).encode()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        await loop.sock_connect(asking, (source["address"], source["port"]))
        await loop.sock_sendall(asking, ber.encode(ber.SEQUENCE, ber.integer(1).encode() + community + pdu))
        async with asyncio.timeout(2):
            return await loop.sock_recv(asking, 2048)


async def test_get_get_next_and_get_bulk(tmp_path):
    async with running(tmp_path, snmp_agent.servers) as lab:
        lab.fault("set-sensor", SENSOR, value=23.4)
        async with session(lab) as agent:
            assert await agent.get(f"{VALUES}.1") == 234
            assert await agent.get("1.3.6.1.2.1.1.1.0") == b"Simulated sensor agent of the lab"
            assert await agent.get("1.3.6.1.2.1.1.2.0") == "1.3.6.1.4.1.8072.3.2.10"
            many = await agent.get_many([f"{VALUES}.{n}" for n in range(1, 6)])
            assert len(many) == 5
            walked = [oid async for oid, _ in agent.getnext(VALUES)]
            assert walked == [f"{VALUES}.{n}" for n in range(1, 6)]
            assert [oid async for oid, _ in agent.getbulk(VALUES, max_repetitions=3)] == walked
            assert [value async for _, value in agent.getnext("1.3.6.1.2.1.99.1.1.1.3")] == [1] * 5


@pytest.mark.real
async def test_an_unknown_object_and_a_missing_instance_are_told_apart(tmp_path):
    async with running(tmp_path, snmp_agent.servers) as lab:
        source = lab.estate.plan.sensors[SENSOR].source
        community = lab.identity.secret(source["community"])
        command = [need("snmpget", "snmp"), "-v2c", "-c", community, "-On", "-t1", "-r0"]
        where = f"{source['address']}:{source['port']}"
        asked = [f"{VALUES}.1", f"{VALUES}.99", "1.3.6.1.4.1.9.9.9.0"]
        done = await asyncio.to_thread(
            subprocess.run, [*command, where, *asked], capture_output=True, text=True, check=True
        )
    lines = done.stdout.splitlines()
    assert "INTEGER: " in lines[0]
    assert "No Such Instance" in lines[1]
    assert "No Such Object" in lines[2]


@pytest.mark.real
async def test_the_ups_is_told_by_ups_mib_and_net_snmp_walks_all_of_it(tmp_path):
    async with running(tmp_path, snmp_agent.servers) as lab:
        key = "main-ups-b-charge"
        source = lab.estate.plan.sensors[key].source
        lab.fault("set-sensor", key, value=12)
        async with session(lab, key) as agent:
            assert await agent.get("1.3.6.1.2.1.33.1.2.4.0") == 12
            assert await agent.get("1.3.6.1.2.1.33.1.2.1.0") == 3  # batteryLow
        command = [need("snmpbulkwalk", "snmp"), "-v2c", "-c", lab.identity.secret(source["community"]), "-On", "-t1"]
        where = f"{source['address']}:{source['port']}"
        done = await asyncio.to_thread(
            subprocess.run, [*command, where, "1.3.6.1"], capture_output=True, text=True, check=True
        )
    assert ".1.3.6.1.2.1.33.1.4.4.1.5.1 = INTEGER: " in done.stdout
    assert "No more variables left in this MIB View" in done.stdout


async def test_a_wrong_community_and_a_dead_site_are_met_with_silence(tmp_path):
    async with running(tmp_path, snmp_agent.servers) as lab:
        async with session(lab, community="public", timeout_s=0.2) as agent:
            with pytest.raises(TimeoutError):
                await agent.get(f"{VALUES}.1")
        lab.fault("cut-site", "main")
        async with session(lab, timeout_s=0.2) as agent:
            with pytest.raises(TimeoutError):
                await agent.get(f"{VALUES}.1")
        async with session(lab, "dr-rack-1-temperature") as agent:
            assert isinstance(await agent.get(f"{VALUES}.1"), int)


async def test_a_faulty_sensor_is_missing_and_its_neighbour_is_not(tmp_path):
    async with running(tmp_path, snmp_agent.servers) as lab:
        lab.fault("fault-sensor", SENSOR)
        async with session(lab) as agent:
            with pytest.raises(NoSuchInstance):
                await agent.get(f"{VALUES}.1")
            assert isinstance(await agent.get(f"{VALUES}.2"), int)


async def test_a_garbled_agent_answers_noise(tmp_path):
    # Not asked through gufo: its 0.13 panics (a BaseException) on some noise, and this test is about the agent.
    async with running(tmp_path, snmp_agent.servers) as lab:
        sound = await raw_reply(lab)
        lab.fault("garble-snmp", SENSOR)
        noise = await raw_reply(lab)
        assert len(noise) == len(sound)
        assert noise != sound
        lab.heal("garble-snmp", SENSOR)
        assert await raw_reply(lab) == sound


@pytest.mark.real
async def test_set_is_refused(tmp_path):
    async with running(tmp_path, snmp_agent.servers) as lab:
        source = lab.estate.plan.sensors[SENSOR].source
        community = lab.identity.secret(source["community"])
        where = f"{source['address']}:{source['port']}"
        command = [need("snmpset", "snmp"), "-v2c", "-c", community, "-t1", "-r0", where, f"{VALUES}.1", "i", "5"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "notWritable" in done.stderr


@given(st.integers(-(2**31), 2**32 - 1))
def test_integers_come_back_from_ber(number):
    assert ber.decode_integer(ber.integer(number).contents) == number


@given(st.lists(st.integers(0, 2**28), min_size=0, max_size=12), st.integers(0, 39))
def test_object_identifiers_come_back_from_ber(arcs, second):
    oid = (1, second, *arcs)
    assert ber.decode_oid(ber.object_identifier(oid).contents) == oid


@given(st.binary(max_size=300))
def test_no_datagram_breaks_the_agent(datagram):
    agent = snmp_agent.SnmpAgent("127.0.0.1", 0, "public", dict)
    with contextlib.suppress(ber.BadEncoding):
        agent._read(datagram)

"""Sensors behind SNMP agents: one question an agent, absent objects, numbers written as text, silence."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_client_snmp import ADDRESS, OIDS, Agent, answered

from monitor.clock import ManualClock, RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.inventory.profiles import Point
from monitor.probe import Answer, Observation, Target
from monitor.probes.snmp import SnmpParams, SnmpProbe, as_number


@pytest.fixture
def probe(tmp_path: Path) -> SnmpProbe:
    (tmp_path / "snmp-community").write_text("public\n")
    return SnmpProbe(Credentials(tmp_path), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())


async def agent(*values: bytes) -> Agent:
    def reply(request: bytes) -> list[bytes]:
        return [answered(request, *values)] if values else []

    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(lambda: Agent(reply), local_addr=(ADDRESS, 0))
    return protocol


def sensors(port: int, deadline_s: float = 20.0, community: str = "snmp-community") -> list[Target]:
    return [
        Target(
            f"sensor/{port}/{n}",
            "snmp",
            SnmpParams(ADDRESS, port, community, Point("temperature", oid, (-20, 80), 0.1)),
            10,
            deadline_s,
        )
        for n, oid in enumerate(OIDS)
    ]


async def observe(probe: SnmpProbe, targets: list[Target]) -> list[Observation]:
    return [observation async for observation in probe.observe(targets)]


@pytest.mark.anyio
async def test_one_question_an_agent(probe: SnmpProbe) -> None:
    rack = await agent(b"\x02\x02\x00\xd7", b"\x04\x0523.5\n")
    seen = await observe(probe, sensors(rack.port))
    rack.transport.close()
    assert [one.answer for one in seen] == [Answer.OK, Answer.OK]
    assert [one.values["value"] for one in seen] == [21.5, 2.35]
    assert len(rack.asked) == 1


@pytest.mark.anyio
async def test_an_absent_object_fails_alone(probe: SnmpProbe) -> None:
    rack = await agent(b"\x80\x00", b"\x02\x01\x07")
    absent, present = await observe(probe, sensors(rack.port))
    rack.transport.close()
    assert (absent.answer, present.answer) == (Answer.FAILED, Answer.OK)
    assert f"no object {OIDS[0]}" in absent.reason


@pytest.mark.anyio
async def test_words_are_no_reading(probe: SnmpProbe) -> None:
    rack = await agent(b"\x04\x03n/a", b"\x04\x03nan")
    seen = await observe(probe, sensors(rack.port))
    rack.transport.close()
    assert [one.answer for one in seen] == [Answer.FAILED, Answer.FAILED]
    assert "is not a number" in seen[0].reason


@pytest.mark.anyio
async def test_a_silent_agent_delays_no_other(probe: SnmpProbe) -> None:
    silent, rack = await agent(), await agent(b"\x02\x01\x01", b"\x02\x01\x02")
    seen = await observe(probe, [*sensors(silent.port, 0.5), *sensors(rack.port, 20.0)])
    silent.transport.close()
    rack.transport.close()
    assert [one.answer for one in seen] == [Answer.OK, Answer.OK, Answer.FAILED, Answer.FAILED]


@pytest.mark.anyio
async def test_a_missing_community_is_our_mistake(probe: SnmpProbe) -> None:
    seen = await observe(probe, sensors(9, community="forgotten"))
    assert {one.answer for one in seen} == {Answer.UNKNOWN}
    assert "'forgotten'" in seen[0].reason


@given(st.one_of(st.none(), st.integers(-(2**64), 2**64), st.floats(), st.binary(max_size=60), st.text(max_size=60)))
def test_a_reading_is_finite_or_none(found: float | str | bytes | None) -> None:
    number = as_number(found)
    assert number is None or math.isfinite(number)


@given(
    st.one_of(st.none(), st.integers(-(2**71), 2**71), st.floats(), st.binary(max_size=9)),
    st.sampled_from([1.0, 0.1, 60.0]),
)
def test_a_plain_number_is_read_as_any_other_value(found: float | bytes | None, scale: float) -> None:
    """The short way for what nearly all sensors are gives what ``read`` gives."""
    point = Point("power", "1.3.6.1.9.1", (0, 1e9), scale)
    plain, long = (SnmpParams(ADDRESS, 161, "c", each) for each in (point, replace(point, sentinels={1e300: "never"})))
    assert (plain.plain, long.plain) == (True, False)
    probe = SnmpProbe(Credentials(None), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), ManualClock())
    one, other = (
        probe._observation(Target("sensor/x", "snmp", params, 10, 5), {point.oid: found}) for params in (plain, long)
    )
    assert one == other

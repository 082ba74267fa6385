"""A crossing's router: one question for all its states, and what an answer that lacks one is worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.crossings import Router, states_of
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes import router
from monitor.probes.router import RouterParams, RouterProbe

pytestmark = pytest.mark.anyio
ADDRESS = "127.94.6.62"
ROUTER = Router.model_validate(
    {
        "address": ADDRESS,
        "community": "snmp-border",
        "primary": {"interface": 1, "bgp_peer": "10.1.0.1"},
        "backup": {"interface": 2},
    }
)


def test_the_objects_are_those_of_the_mibs() -> None:
    assert states_of(ROUTER) == {
        "primary interface": "1.3.6.1.2.1.2.2.1.8.1",
        "primary bgp": "1.3.6.1.2.1.15.3.1.2.10.1.0.1",
        "backup interface": "1.3.6.1.2.1.2.2.1.8.2",
    }
    vrrp = Router.model_validate({"address": "r", "community": "c", "vrrp": "2.10"})
    assert states_of(vrrp) == {"vrrp": "1.3.6.1.2.1.68.1.3.1.3.2.10"}


async def asked(folder: Path, monkeypatch: pytest.MonkeyPatch, states: list[object]) -> Observation:
    async def get(*_: object) -> dict[str, object]:
        return dict(zip(states_of(ROUTER).values(), states, strict=True))

    async def find(*_: object) -> None:
        return None

    monkeypatch.setattr(router.snmp.Agents, "get", get)
    monkeypatch.setattr(router.snmp.Agents, "find", find)
    (folder / "snmp-border").write_text("public\n")
    params = RouterParams(ADDRESS, 161, "snmp-border", tuple(states_of(ROUTER).items()))
    probe = RouterProbe(Credentials(folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())
    (found,) = [one async for one in probe.observe([Target("router/blace", "router", params, 10, 1.0)])]
    return found


async def test_every_state_is_a_value(tmp_path: Path, monkeypatch) -> None:
    found = await asked(tmp_path, monkeypatch, [1, 6, 2])
    assert (found.answer, found.reason) == (Answer.OK, "")
    assert found.values == {"primary interface": 1, "primary bgp": 6, "backup interface": 2}


@pytest.mark.parametrize("state", [None, b"up", 1.5])
async def test_a_state_that_is_not_there_makes_nothing_known(tmp_path: Path, monkeypatch, state: object) -> None:
    found = await asked(tmp_path, monkeypatch, [1, state, 2])
    reason = "the router has no number at 1.3.6.1.2.1.15.3.1.2.10.1.0.1"
    assert (found.answer, found.reason) == (Answer.UNKNOWN, reason)

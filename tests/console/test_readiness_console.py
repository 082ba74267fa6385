"""Readiness as people and programs meet it: the command, the API, the pages, the plan; and gathered from the parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from web_kit import WebDaemon, web_daemon

from console.terminal.readiness_shapes import ReadinessAnswer
from monitor.inventory.shard import Shard
from monitor.probe import Answer, Observation
from monitor.status.state import Health, Status

NAMES = ["replica", "machines", "access", "fence", "capacity", "playbook-failover", "drill", "backups"]
VM = "vm/vc-dr/ncts-web-1"


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def see(daemon: WebDaemon, subject: str, values: dict[str, float], facts: dict[str, str]) -> None:
    now = daemon.clock.now()
    daemon.watch.held[subject] = Status(subject, Health.OK, "", now, now)
    daemon.watch.seen[subject] = Observation(subject, "vsphere", now, Answer.OK, "", values, facts)


def test_the_command_says_each_check_and_exits_by_the_worst(daemon: WebDaemon) -> None:
    result = daemon.karaula("readiness", "ncts")
    assert result.exit_code == 1, "never drilled, and nothing backed up"
    assert result.output.startswith("ncts to dr: RED\n")
    assert "no drill of ncts has ever succeeded; hold one: karaula drill ncts" in result.output
    found: ReadinessAnswer = daemon.json("readiness", code=1)
    assert [each["system"] for each in found["systems"]] == ["cdeps", "ncts", "ite", "exim"]
    lights = {check["name"]: check["light"] for check in found["systems"][1]["checks"]}
    assert list(lights) == NAMES
    assert lights["capacity"] == "unknown", "the vCenter has not told of it"
    assert (lights["machines"], lights["access"]) == ("green", "unknown"), "no name server has taken the key yet"
    assert lights["playbook-failover"] == "amber", "nothing is on record"
    unknown = daemon.karaula("readiness", "nctss")
    assert (unknown.exit_code, "did you mean 'ncts'" in unknown.output) == (2, True), unknown.output


def test_what_the_parts_know_is_put_together(daemon: WebDaemon) -> None:
    place = daemon.orchestrator.world.deployment("ncts", "dr").vms
    for name in (*place.database, *place.application, *place.web):
        values = {"powered_on": 1.0, "memory_bytes": 8 * 2.0**30}
        see(daemon, f"vm/vc-dr/{name}", values, {"datastores": "datastore-1", "host": "one"})
    placed = {"moref": "host-1", "placement": "host-1"}
    see(daemon, "esx/vc-dr/one", {"memory_bytes": 2.0**37, "memory_used_bytes": 2.0**35}, placed)
    see(daemon, "datastore/vc-dr/san", {}, {"moref": "datastore-1", "free": "40 GiB"})

    def light(name: str) -> str:
        (found,) = daemon.ask("GET", "/api/readiness/ncts").json()["systems"]
        return str(next(check["light"] for check in found["checks"] if check["name"] == name))

    see(daemon, "dns/dns-dr", {}, {"key": "accepted"})
    assert light("capacity") == light("access") == "green"
    daemon.watch.set("datastore/vc-dr/san", Health.DOWN, "3 % free")
    assert light("capacity") == "red"
    daemon.watch.set("vcenter/vc-dr", Health.DOWN, "does not accept the password of karaula")
    assert light("access") == "red"


def test_the_plan_shows_it_and_its_guard(daemon: WebDaemon) -> None:
    daemon.watch.set(VM, Health.DOWN, "the vCenter calls it orphaned")
    shown = daemon.karaula("plan", "failover", "ncts")
    assert shown.exit_code == 0
    assert "ncts to dr: RED" in shown.output
    assert f"machines           RED      {VM} is down: the vCenter calls it orphaned" in shown.output
    verdicts = {one["guard"]: one for one in daemon.json("plan", "failover", "ncts")["plan"]["guards"]}
    assert (verdicts["readiness"]["ruling"], verdicts["readiness"]["reason"]) == ("allow", "red-told")
    assert daemon.json("plan", "backup", "ncts")["plan"]["readiness"] is None, "a backup does not go by it"


def test_the_pages_show_what_is_amiss_first(daemon: WebDaemon) -> None:
    daemon.watch.set(VM, Health.DOWN, "the vCenter calls it <orphaned>")
    see(daemon, "dns/dns-dr", {}, {"key": "accepted"})
    text = daemon.ask("GET", "/readiness").text
    assert "0 of 4 systems are ready for a recovery; at worst red" in text
    block = text[text.index('id="ready-ncts"') :]
    assert "the vCenter calls it &lt;orphaned&gt;" in block
    places = [block.index(f">{name}</") for name in ("machines", "fence", "playbook-failover", "access")]
    assert places == sorted(places), "red, unknown, amber, and then what is well"
    estate = daemon.ask("GET", "/").text
    assert '<a href="/readiness#ready-ncts"><span class="badge down">red</span></a>' in estate


def test_a_daemon_that_only_watches_sends_elsewhere(daemon: WebDaemon) -> None:
    state = daemon.front.app.state
    state.desk = replace(state.desk, shard=Shard(2, 5))
    for path in ("/api/readiness", "/readiness"):
        reply = daemon.ask("GET", path)
        assert (reply.status, "the daemon of shard 1 knows how ready systems are" in reply.text) == (409, True)
    assert "Readiness" not in daemon.ask("GET", "/").text

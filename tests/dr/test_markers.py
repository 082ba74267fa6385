"""Markers in the databases: when they are written, what is remembered of them, and what they say of a loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from actions_kit import Desk
from watch_kit import estate

from dr.errors import StepFailed
from dr.markers import Markers
from dr.world import Marker, World
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool, SshResult
from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.errors import Unreachable
from monitor.inventory.equipment import SshHost
from monitor.status.board import Sighting

pytestmark = pytest.mark.anyio
SITES = ("main", "dr")


@dataclass
class Hosts:
    """Database hosts that answer to `mark` and `status` like karaula-pg; ``dead`` ones do not answer."""

    clock: ManualClock
    count: int = 0
    dead: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    status: dict[str, object] = field(default_factory=dict)

    async def run(self, host: SshHost, argv: Sequence[str], **how: Any) -> SshResult:
        del how
        if host.site in self.dead:
            raise Unreachable(f"{host.address}: silent")
        self.asked.append(f"{host.site} {argv[-1]}")
        if argv[-1] == "status":
            return SshResult(0, json.dumps(self.status), "", 0.0)
        self.count += 1
        return SshResult(0, json.dumps({"marker": self.count, "at": self.clock.now()}), "", 0.0)


def world_with(hosts: Hosts, folder: Path) -> World:
    inventory = estate()
    kind = inventory.database_kinds["ledger"]
    marking = kind.model_copy(update={"commands": kind.commands.model_copy(update={"mark": ("karaula-pg", "mark")})})
    entry = inventory.systems["ncts"]
    database = entry.database.model_copy()
    database.join({"ledger": marking})
    systems = {
        "ncts": entry.model_copy(update={"database": database, "receipts": None}),
        "ite": inventory.systems["ite"],
    }
    inventory = inventory.model_copy(update={"systems": systems})
    nobody = cast("HttpClient", None)
    ssh = cast("SshPool", hosts)
    credentials = Credentials(folder)
    return World(inventory, credentials, hosts.clock, ssh, {}, nobody, RedfishClient(nobody), lambda _system: None)


def at(site: str) -> Sighting:
    return Sighting(site, 0.0, None, None, None)


async def test_markers_are_written_at_the_primary_when_they_are_due_and_outlive_the_daemon(tmp_path: Path) -> None:
    hosts = Hosts(ManualClock())
    world, primary = world_with(hosts, tmp_path), {"ncts": "main", "ite": "main"}
    seen = lambda system: at(primary[system]) if system in primary else None  # noqa: E731 - short
    markers = Markers(tmp_path, lambda: world, seen)
    for _ in range(21):  # every 10 s, of the system alone whose kind has the command
        await markers.tick()
        hosts.clock.advance(1)
    assert hosts.asked == ["main mark"] * 3
    first = markers.newest("ncts")
    assert first == Marker(3, hosts.clock.now() - 1)
    assert markers.newest("ite") is None
    hosts.dead.add("main")
    hosts.clock.advance(30)
    await markers.tick()
    assert Markers(tmp_path, lambda: world, seen).newest("ncts") == first, "a marker that failed is none"
    primary["ncts"] = "dr"
    hosts.clock.advance(10)
    await markers.tick()
    assert hosts.asked[-1] == "dr mark"
    primary.clear()
    hosts.clock.advance(10)
    await markers.tick()
    assert len(hosts.asked) == 4, "nobody knows where the primary is"


@pytest.mark.parametrize("damaged", ["", "[]", '{"ncts": {"marker": "x"}}', '{"ncts": 5}', "\x00"])
async def test_a_damaged_file_is_begun_anew(tmp_path: Path, damaged: str) -> None:
    file = tmp_path / "markers.json"
    file.write_text(damaged)
    hosts = Hosts(ManualClock())
    world = world_with(hosts, tmp_path)
    markers = Markers(tmp_path, lambda: world, lambda _system: at("main"))
    assert markers.newest("ncts") is None
    await markers.tick()
    assert json.loads(file.read_text())["ncts"]["marker"] == 1


@pytest.mark.parametrize(("behind_s", "marker_at"), [(0.0, 1000.0), (7.5, 992.5), (0.0, 1003.0)])
async def test_without_receipts_the_lost_time_is_known_by_markers(
    tmp_path: Path, behind_s: float, marker_at: float
) -> None:
    hosts = Hosts(ManualClock(), dead={"main"})
    standby = {"role": "standby", "position": 4096, "received_at": 990.0, "epoch": 3, "record": 17}
    hosts.status = {**standby, "marker": 5, "marker_at": marker_at}
    world = replace(world_with(hosts, tmp_path), newest_marker=lambda _system: Marker(6, 1000.0))
    found = (await Desk(world).run("recovery_point", "dr")).outputs
    assert (found["lost_known"], found["lost"], found["rpa_s"]) == ("by-markers", -1, behind_s)
    hosts.status = {"role": "stopped", "position": 4096, "received_at": 990.0, "epoch": 0}
    with pytest.raises(StepFailed, match="the database is stopped"):
        await Desk(world).run("recovery_point", "dr")
    hosts.status = {**standby, "marker": 5, "marker_at": marker_at}
    without = (await Desk(replace(world, newest_marker=lambda _system: None)).run("recovery_point", "dr")).outputs
    assert (without["lost_known"], without["rpa_s"]) == ("unknown", -1.0)

"""The shipped playbooks on two sites of PostgreSQL, OpenSSH, BIND and vCenters, with clients that write all along.

The tests tell one story, in their order. What is said of loss is held against the clients' own record.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from actions_kit import Desk, world_of
from two_site_clients import Ack
from two_site_kit import SYSTEM, VIP, TwoSites, inside, two_sites

from dr.action import Holds
from dr.errors import StepFailed

log = logging.getLogger(__name__)
LONG_S = 60.0
PARTS_OF_MAIN = ("vcenter/vc-main", "dns/dns-main", "check/directory-main")
KNOWN_LOST: list[Ack] = []  # what the failover of this story lost, and nobody finds again
pytestmark = [pytest.mark.real, pytest.mark.proof, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSites]:
    folder: Path = tmp_path_factory.mktemp("two-sites")
    with two_sites(folder) as made:
        yield made


def outputs(run: dict[str, Any], step: str) -> dict[str, Any]:
    found = next(one for one in run["steps"] if one["id"] == step)
    result: dict[str, Any] = found["outputs"]
    return result


def missing(estate: TwoSites, site: str, acks: list[Ack]) -> list[Ack]:
    """Return what clients were told is accepted and is not in the database of ``site``."""
    held = set(estate.sites[site].pg.sql("SELECT id FROM declaration").split())
    return [ack for ack in acks if ack.id not in held]


def no_two_writers(acks: list[Ack]) -> None:
    """Each declaration was accepted once, and the sites took turns: none accepted anything in another's time."""
    assert len({ack.id for ack in acks}) == len(acks)
    ordered = sorted(acks, key=lambda ack: ack.moment)
    turns = [
        ack.site
        for before, ack in zip([None, *ordered], ordered, strict=False)
        if before is None or before.site != ack.site
    ]
    assert turns == ["main", "dr"] * (len(turns) // 2) + ["main"] * (len(turns) % 2), turns


def test_an_address_moves_its_neighbours_know_and_an_old_token_moves_nothing(estate: TwoSites) -> None:
    def neighbour() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            asks.sendto(b"", (VIP, 9))
        while "lladdr" not in estate.net.run(estate.border, "ip", "neigh", "show", VIP):
            time.sleep(0.05)
        return estate.net.run(estate.border, "ip", "neigh", "show", VIP).split()[4]

    def card(site: str) -> str:
        said = estate.net.run(estate.sites[site].host, "ip", "-o", "link", "show", "eth0")
        return said.split("link/ether ")[1].split()[0]

    async def story() -> None:
        async with world_of(estate.daemon.lab) as world:
            desk = Desk(world, SYSTEM)
            assert (await desk.probe("vip", "main")).holds is Holds.NO
            done = await desk.run("vip", "main")
            assert (done.outputs["before"], done.outputs["missed"]) == ("", "")
            with estate.net.inside(estate.border):
                assert neighbour() == card("main")
            moved = await desk.run("vip", "dr")
            assert (await desk.run("vip", "dr")).outputs["before"] == "dr"  # again is the same
            assert (await desk.probe("vip", "dr")).holds is Holds.YES
            assert estate.net.run(estate.border, "ip", "neigh", "show", VIP).split()[4] == card("dr"), "it was told"
            assert (await desk.probe("vip", "main")).holds is Holds.NO
            await desk.undo("vip", "dr", moved)
            assert (await desk.probe("vip", "main")).holds is Holds.YES
            place = (f"{VIP}/16", "eth0")
            words = {
                "host": "db-main",
                "command": ("karaula-vip", "remove", *place, "--epoch", "{epoch}"),
                "check": ("karaula-vip", "status", *place),
            }
            assert '"holds": false' in str((await desk.run("ssh_run", "main", **words)).outputs["stdout"])
            desk.token -= 1
            with pytest.raises(StepFailed, match="exit status 76"):
                await desk.run("ssh_run", "main", **words)
            with pytest.raises(StepFailed, match="stale fencing token 6"):
                await desk.run("vip", "dr")

    with estate.net.inside(estate.witness):
        asyncio.run(story())


def test_a_drill_leaves_no_trace(estate: TwoSites) -> None:
    run_id = estate.ask("drill")

    def cloned() -> bool:
        run = estate.daemon.run(run_id)
        assert not run["final"], estate.daemon.karaula("run", "show", run_id, code=None)
        return next(step["state"] for step in run["steps"] if step["id"] == "bubble") == "SUCCEEDED"

    estate.daemon.wait("the clones", cloned, LONG_S)
    with estate.dr.bubble():
        run = estate.daemon.wait_run(run_id, within_s=LONG_S * 2)
    assert run["state"] == "SUCCEEDED", estate.daemon.karaula("run", "show", run_id, code=None)
    assert outputs(run, "answers")["role"] == "active"
    estate.clients.wait(3, "main")


def night(estate: TwoSites, site: str) -> None:
    """Take a backup of the active side and prove it, while clients write on: what was in it then is in the copy."""
    before = len(estate.clients.seen()) - len(KNOWN_LOST)
    taken = outputs(estate.play("backup"), "backup")
    after = len(estate.clients.seen()) + estate.clients.count  # each may have one that is not acknowledged yet
    verified = estate.play("verify")
    assert verified["state"] == "SUCCEEDED"
    assert outputs(verified, "select")["backup"] == taken["backup"]
    assert before <= taken["records"] == outputs(verified, "content")["records"] <= after
    assert outputs(verified, "boots")["took_s"] >= 0
    assert not list(estate.vault.scratch.iterdir()), "the restored copy and its server are gone"
    assert inside(estate.vault.host) <= {*estate.vault.sshd.family()}
    (proof,) = estate.daemon.api("/api/backups")["proofs"]
    assert (proof["newest"], proof["proven"], proof["required"]) == (taken["backup"], taken["backup"], "L4")
    assert proof["met"]
    estate.clients.wait(3, site)


def test_the_night_proves_a_backup_while_clients_write(estate: TwoSites) -> None:
    night(estate, "main")


def told_lost(estate: TwoSites, run: dict[str, Any]) -> float:
    """Return how much the run's report says is lost."""
    report = estate.daemon.api(f"/api/runs/{run['id']}/report.json")
    return float(next(one["value"] for one in report["measures"] if one["name"] == "rpa_count"))


def stands_as_declared(estate: TwoSites, site: str) -> None:
    """The address is seen where the newest run has put it, and nothing is otherwise than runs have set it."""
    found: list[dict[str, Any]] = []

    def seen() -> bool:
        found[:] = estate.daemon.api("/api/drift")
        agreements = {one["field"]: one["agreement"] for one in found if one["field"] in {"vip", "active", "fence"}}
        return set(agreements.values()) == {"agrees"} and "drift" not in {one["agreement"] for one in found}

    try:
        estate.daemon.wait("the address to be seen where it stands", seen, LONG_S * 2)
    except AssertionError as error:
        raise AssertionError("\n".join(map(str, found))) from error
    (vip,) = [one for one in found if one["field"] == "vip"]
    assert (vip["declared"], vip["observed"], vip["step"]) == (site, site, "address")


def planned(estate: TwoSites, playbook: str, site: str) -> None:
    """Move the system with both sites well: nothing is lost, whatever clients send meanwhile."""
    estate.clients.wait(5)
    before = estate.clients.seen()[-1]
    run = estate.play(playbook)
    estate.clients.wait(5, site)
    acks = estate.clients.seen()
    first = next(ack for ack in acks if ack.moment > before.moment and ack.site == site)
    last = [ack for ack in acks if ack.moment < first.moment][-1]
    log.info("%s: 0 lost, clients interrupted for %.1f s", playbook, first.moment - last.moment)
    assert told_lost(estate, run) == 0
    assert missing(estate, site, acks) == KNOWN_LOST
    stands_as_declared(estate, site)


def test_a_switchover_loses_nothing(estate: TwoSites) -> None:
    planned(estate, "switchover", "dr")
    assert estate.main.pg.pg("status")["role"] == "standby"


def test_nor_does_the_way_back(estate: TwoSites) -> None:
    planned(estate, "failback", "main")


def lost_parts(estate: TwoSites) -> set[str]:
    """Return which of the parts that a recovery must not need are held to be down."""
    statuses = {one["subject"]: one["health"] for one in estate.daemon.api("/api/status")["subjects"]}
    return {part for part in PARTS_OF_MAIN if statuses[part] == "down"}


def lose_main(estate: TwoSites) -> tuple[dict[str, Any], list[Ack], float]:
    """Take main away as it is, fail over, and return the run, what was accepted before, and when that was.

    vCenter, name server and directory of main are gone with it. No log-in of before helps: each is asked for anew.
    """
    estate.main.lose_site()
    estate.dr.sshd.stop()
    estate.dr.start_sshd()
    (estate.dr.folder / "logins").write_text("")
    before = estate.clients.seen()
    at = time.monotonic()
    run = estate.play("failover")
    assert set(estate.dr.logins) == {"dr"}, "hosts' log-ins were let in by dr's own directory"
    estate.clients.wait(5, "dr")
    first = next(ack for ack in estate.clients.seen()[len(before) :] if ack.site == "dr")
    log.info("from the loss of main to the first declaration accepted at dr: %.1f s", first.moment - at)
    return run, before, at


def test_an_asynchronous_failover_says_exactly_what_is_lost(estate: TwoSites) -> None:
    """The link is cut before the kill; main's vCenter, directory and name server are gone with it."""
    estate.net.cut("r-main")
    estate.clients.wait(10, "main")
    estate.daemon.wait("a marker", lambda: SYSTEM in (estate.daemon.state / "markers.json").read_text())
    run, before, _ = lose_main(estate)
    lost = missing(estate, "dr", before)
    log.info("asynchronous: %d accepted declarations lost", len(lost))
    assert len(lost) >= 10
    assert outputs(run, "loss")["lost"] == told_lost(estate, run) == len(lost)
    assert outputs(run, "loss")["lost_known"] == "exact"
    assert outputs(run, "names")["missed"] == "dns-main"
    estate.daemon.wait("what the disaster took to be seen", lambda: lost_parts(estate) == set(PARTS_OF_MAIN), LONG_S)
    stands_as_declared(estate, "dr")
    KNOWN_LOST[:] = lost


def test_the_night_needs_nothing_of_the_lost_site(estate: TwoSites) -> None:
    night(estate, "dr")


def test_the_old_side_may_not_write_and_comes_back_as_a_standby(estate: TwoSites) -> None:
    estate.net.mend("r-main")
    estate.main.repair_site()
    run = estate.play("reprotect")
    assert "dr is primary" in estate.main.refused, "its power came back, and it would have started"
    # What it had alone: what was lost, and at most one declaration a client that was written and never acknowledged.
    assert len(KNOWN_LOST) <= outputs(run, "follow")["discarded"] <= len(KNOWN_LOST) + estate.clients.count
    assert estate.main.pg.pg("status")["role"] == "standby"
    planned(estate, "failback", "main")
    assert estate.daemon.status("vip/ncts/main") == estate.daemon.status("vip/ncts/dr") == "ok"
    estate.net.run(estate.dr.host, "ip", "address", "add", f"{VIP}/16", "dev", "eth0")  # by somebody who asks nobody

    def told() -> list[str]:
        return [one["why"] for one in estate.daemon.api("/api/drift") if one["agreement"] == "drift"]

    estate.daemon.wait("it to be seen twice", lambda: told() == [f"{VIP} stands at main and dr"], LONG_S)
    estate.net.run(estate.dr.host, "ip", "address", "flush", "to", f"{VIP}/32", "dev", "eth0")
    estate.daemon.wait("it to be seen once", lambda: told() == [], LONG_S)


def test_a_synchronous_failover_loses_nothing(estate: TwoSites) -> None:
    estate.make_synchronous()
    assert estate.main.pg.pg("status")["attached"] == ["dr"]
    estate.clients.wait(5, "main")
    estate.net.cut("r-main")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    while estate.main.pg.sql(waits) == "0":
        time.sleep(0.05)
    run, before, _ = lose_main(estate)
    log.info("synchronous: %d accepted declarations lost", len(missing(estate, "dr", before)) - len(KNOWN_LOST))
    assert missing(estate, "dr", before) == KNOWN_LOST
    assert outputs(run, "loss")["lost"] == told_lost(estate, run) == 0


def test_at_no_time_were_there_two_writers(estate: TwoSites) -> None:
    no_two_writers(estate.clients.seen())
    rows = dict(line.split("|") for line in estate.dr.pg.sql("SELECT id, site FROM declaration").split())
    told = {ack.id: ack.site for ack in estate.clients.seen() if ack not in KNOWN_LOST}
    # One that was written, not acknowledged and sent again is acknowledged by the site that has it then.
    moved = [key for key, site in told.items() if rows[key] != site]
    assert len(moved) <= estate.clients.count * 4

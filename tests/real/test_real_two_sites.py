"""The shipped playbooks on two sites of PostgreSQL, OpenSSH, BIND and vCenters, with clients that write all along.

The tests tell one story, in their order. What is said of loss is held against the clients' own record.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from actions_kit import Desk, world_of
from tls_kit import ThrowawayCa
from two_site_clients import Ack
from two_site_kit import SYSTEM, VIP, TwoSites, two_sites

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


# -- backups, and what of them is proven ------------------------------------------------------------------------------


@contextmanager
def unnoticed(estate: TwoSites, site: str) -> Iterator[None]:
    """Clients go on at ``site`` meanwhile, and nobody is refused."""
    before, refused = len(estate.clients.seen()), len(estate.clients.refusals)
    yield
    assert estate.clients.refusals[refused:] == []
    assert {ack.site for ack in estate.clients.seen()[before:]} == {site}


@contextmanager
def dump_held_up(estate: TwoSites, site: str) -> Iterator[Callable[[], bool]]:
    """Let a dump wait for a table that clients have no part in; yields what tells whether it waits."""
    pg = estate.sites[site].pg
    pg.sql("CREATE TABLE IF NOT EXISTS tariff (code text)")
    holders = "FROM pg_locks WHERE relation = 'tariff'::regclass AND mode = 'AccessExclusiveLock' AND granted"
    holder = pg.start_sql("BEGIN; LOCK TABLE tariff IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)")
    estate.daemon.wait("the table to be held", lambda: pg.sql(f"SELECT count(*) {holders}") == "1")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock'"
    try:
        yield lambda: pg.sql(waits) == "1"
    finally:
        pg.sql(f"SELECT pg_terminate_backend(pid) {holders}")
        holder.wait()


def in_the_clear(estate: TwoSites) -> str:
    """Return who has come over the wire without TLS; the vault and the standby have come."""
    pg = estate.main.pg
    came = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL"
    assert set(pg.sql(f"SELECT DISTINCT usename {came} AND ssl").split()) >= {"karaula_backup", "karaula_replica"}
    return pg.sql(f"SELECT usename, application_name {came} AND NOT ssl")


def by_calendar(estate: TwoSites, playbook: str) -> str:
    """Let the nightly hour of ``playbook`` be now; return the run that the calendar asks for."""
    job = f"nightly-{playbook}"
    due = max(time.time() // 60, estate.began // 60 + 1) * 60  # a job has no past before the daemon first knew it
    estate.vault.crons[playbook] = f"{int(due // 60) % 60} * * * *"
    estate.write_inventory()
    estate.daemon.karaula("reload")

    def asked() -> str:
        slots = estate.daemon.api("/api/calendar")["slots"]
        return next((str(one["run_id"]) for one in slots if (one["job"], one["due"]) == (job, due)), "")

    return str(estate.daemon.wait(f"the calendar to ask for {playbook}", asked, LONG_S * 2))


def step_done(estate: TwoSites, run_id: str, step: str) -> bool:
    run = estate.daemon.run(run_id)
    assert not run["final"], estate.daemon.karaula("run", "show", run_id, code=None)
    return bool(next(one["state"] for one in run["steps"] if one["id"] == step) == "SUCCEEDED")


def proven(estate: TwoSites) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is proven of the system now, and its newest backup."""
    answer = estate.daemon.api("/api/backups")
    (proof,) = answer["proofs"]
    by_id = {one["id"]: one for one in answer["backups"]}
    if proof["proven"]:
        assert answer["at"] - proof["proven_age_s"] == pytest.approx(by_id[proof["proven"]]["taken_at"], abs=0.01)
    return proof, by_id[proof["newest"]]


def told_truly(estate: TwoSites, newest: dict[str, Any], held: set[str], before: list[Ack]) -> None:
    """What the backup would lose begins with the oldest declaration that it has not: its age is the proven RPO."""
    assert {ack.id for ack in before} <= held
    assert len(held) == newest["records"]
    acks = estate.clients.seen()
    lost = [ack for ack in acks if ack.id not in held and ack not in KNOWN_LOST]
    oldest = min(ack.at for ack in lost)
    assert max(ack.at for ack in before) <= newest["taken_at"] <= oldest
    log.info(
        "%d declarations held, %d since; the proven RPO counts from %.3f s before the oldest of these",
        len(held),
        len(lost),
        oldest - newest["taken_at"],
    )


def test_a_night_proves_the_backup_at_dr_and_nobody_at_work_notices(estate: TwoSites) -> None:
    vault, clients = estate.vault, estate.clients
    with unnoticed(estate, "main"):
        before = clients.seen()
        with dump_held_up(estate, "main") as waits:
            run_id = by_calendar(estate, "backup")
            estate.daemon.wait("the dump to wait", waits, LONG_S)
            begun = len(clients.seen())
            clients.wait(5, "main")
            meanwhile = clients.seen()[begun:]
            assert not in_the_clear(estate), "the dump and what follows come by TLS"
        run = estate.daemon.wait_run(run_id, within_s=LONG_S)
        assert run["state"] == "SUCCEEDED", estate.daemon.karaula("run", "show", run_id, code=None)
        with vault.far_hangs():  # so that there is time to look
            run_id = by_calendar(estate, "verify")
            estate.daemon.wait("the copy to answer", lambda: step_done(estate, run_id, "content"), LONG_S * 2)
            assert vault.where(vault.server()) == "vault"
            assert vault.listens() == {f"{vault.host.address}:2222"}, "nobody reaches the copy but by its socket"
            clients.wait(5, "main")
            held = vault.restored()
        run = estate.daemon.wait_run(run_id, within_s=LONG_S * 2)
        assert run["state"] == "SUCCEEDED", estate.daemon.karaula("run", "show", run_id, code=None)
    proof, newest = proven(estate)
    assert (proof["met"], proof["copies"], proof["append_only"], proof["findings"]) == (True, 2, True, [])
    assert (newest["level"], newest["id"]) == ("L4", proof["proven"])
    told_truly(estate, newest, held, before)
    assert not {ack.id for ack in meanwhile} & held, "what was written while the dump was read is not in it"
    assert not vault.places(), "the copy is gone"
    assert {"sshd"} == vault.programs() & {"sshd", "postgres"}, "and so is its server"
    assert not vault.locks(), "and nothing is left locked at the far place"


def test_a_flipped_byte_advances_nothing(estate: TwoSites) -> None:
    before, _ = proven(estate)
    with unnoticed(estate, "main"):
        estate.daemon.karaula("backup", SYSTEM, user="ana")
        mend = estate.vault.flip_a_byte()
        try:
            said = estate.daemon.karaula("verify", SYSTEM, user="ana", code=1)
        finally:
            mend()
        estate.clients.wait(3, "main")
    assert "damaged" in said
    proof, newest = proven(estate)
    assert (newest["level"], newest["fell_at"]) == ("L0", "L1")
    assert proof["proven"] == before["proven"] != proof["newest"]
    assert proof["proven_age_s"] > max(before["proven_age_s"], proof["nominal_age_s"])
    assert not estate.vault.places()


def test_a_database_that_the_estates_ca_does_not_vouch_for_gives_no_backup(estate: TwoSites, tmp_path: Path) -> None:
    _, newest = proven(estate)
    estate.vault.trust(ThrowawayCa(tmp_path, "Somebody else").bundle)
    try:
        said = estate.daemon.karaula("backup", SYSTEM, user="ana", code=1)
    finally:
        estate.vault.trust(estate.ca.bundle)
    assert "certificate verify failed" in said
    assert proven(estate)[1]["id"] == newest["id"]


# -- disasters --------------------------------------------------------------------------------------------------------


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
    assert len(lost) >= 10 - estate.clients.count  # one of each may have reached dr and be acknowledged after the cut
    assert outputs(run, "loss")["lost"] == told_lost(estate, run) == len(lost)
    assert outputs(run, "loss")["lost_known"] == "exact"
    assert outputs(run, "names")["missed"] == "dns-main"
    estate.daemon.wait("what the disaster took to be seen", lambda: lost_parts(estate) == set(PARTS_OF_MAIN), LONG_S)
    stands_as_declared(estate, "dr")
    KNOWN_LOST[:] = lost


def test_with_main_gone_backups_are_of_dr_and_are_proven(estate: TwoSites) -> None:
    """The vault asks the active side; neither it nor the far place needs anything of main."""
    was, _ = proven(estate)
    with unnoticed(estate, "dr"):
        before = [ack for ack in estate.clients.seen() if ack not in KNOWN_LOST]
        estate.daemon.karaula("backup", SYSTEM, user="ana")
        estate.daemon.karaula("verify", SYSTEM, user="bojan")
        estate.clients.wait(1, "dr")
    proof, newest = proven(estate)
    assert proof["findings"] == []
    assert proof["proven"] == newest["id"] != was["proven"]
    held = set(estate.dr.pg.sql("SELECT id FROM declaration ORDER BY n").split()[: newest["records"]])
    told_truly(estate, newest, held, before)
    assert not {ack.id for ack in KNOWN_LOST} & held


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

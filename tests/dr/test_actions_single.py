"""Single actions on the simulated estate: what they do, see, refuse and take back."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from actions_kit import Desk, world_of
from estate_kit import RunningLab, start_lab

from dr.action import Holds
from dr.actions import ACTIONS
from dr.backups.catalog import Backup
from dr.errors import StepFailed
from dr.estate.front import NAME_LIMIT_S
from dr.estate.waiting import ASK_LIMIT_S
from dr.world import World
from monitor.clients import dns
from monitor.errors import GarbledReply, TargetError

pytestmark = [pytest.mark.anyio, pytest.mark.lab]


@pytest.fixture(scope="module")
def whole_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("lab"), rate=16) as lab:
        lab.wait_for("exim", lambda truth: truth["positions"]["dr"] >= 2)
        yield lab


@pytest.fixture
def lab(whole_lab: RunningLab) -> Iterator[RunningLab]:
    yield whole_lab
    whole_lab.clear()


def with_system(world: World, system: str, **changes: object) -> World:
    entry = world.inventory.systems[system].model_copy(update=changes)
    inventory = world.inventory.model_copy(update={"systems": {**world.inventory.systems, system: entry}})
    return replace(world, inventory=inventory)


def with_commands(world: World, system: str, **commands: tuple[str, ...]) -> World:
    database = world.inventory.systems[system].database.model_copy()
    kinds = world.inventory.database_kinds
    kind = kinds[database.kind]
    changed = kind.model_copy(update={"commands": kind.commands.model_copy(update=commands)})
    database.join({**kinds, database.kind: changed})
    return with_system(world, system, database=database)


async def point_back(world: World, lab: RunningLab, server: str) -> None:
    """Let one name server alone say main again."""
    one = world.inventory.dns_servers[server]
    secret = world.credentials.secret(one.tsig_credential)
    record = ("customs.example", "cdeps.customs.example", lab.address("1.11"), 30)
    await dns.replace_a(one.address, one.port, *record, one.tsig_name, secret, 3)


def test_registry_and_names_agree() -> None:
    assert {name: action.name for name, action in ACTIONS.items()} == {name: name for name in ACTIONS}


async def test_fence_is_proven_or_it_failed(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ite")
        assert (await desk.probe("fence", "dr")).holds is Holds.NO
        lab.fault("stuck-fence", "pdu-dr/ite")
        with pytest.raises(StepFailed, match=r"says Off and still draws \d+ W"):
            await desk.run("fence", "dr", timeout_s=3)
        assert (await desk.probe("fence", "dr")).holds is Holds.NO
        lab.clear()
        done = await desk.run("fence", "dr")
        assert (done.outputs["proof"], done.outputs["watts"]) == ("PROVEN", 0.0)
        assert (await desk.probe("fence", "dr")).outputs["proof"] == "PROVEN"
        with pytest.raises(StepFailed, match="cannot be undone"):
            await desk.undo("fence", "dr", done)
        await desk.run("unfence", "dr")
        assert (await desk.probe("unfence", "dr")).holds is Holds.YES
        lab.fault("hang-power", "pdu-dr")
        with pytest.raises(TargetError):
            await desk.run("fence", "dr", timeout_s=1)
        assert len(lab.effects("ite", "outlets off")) == 1


async def test_promotion_reads_the_fence_once_more_and_believes_only_the_database(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "exim")
        with pytest.raises(StepFailed, match="fence of exim at main no longer holds"):
            await desk.run("promote", "dr")
        assert lab.effects("exim", "promote") == []
        await desk.run("fence", "main")
        point = await desk.run("recovery_point", "dr")
        assert point.outputs["lost"] == lab.truth("exim")["newest_position"] - lab.truth("exim")["positions"]["dr"]
        lab.fault("lie", "exim-db-dr", command="ledgerctl promote")
        with pytest.raises(StepFailed, match="expected primary under epoch 7"):
            await desk.run("promote", "dr", timeout_s=4)
        assert (await desk.probe("promote", "dr")).holds is Holds.NO
        lab.clear()
        assert (await desk.run("promote", "dr")).outputs["epoch"] == 7
        assert (await desk.run("promote", "dr")).outputs["epoch"] == 7, "repeating it does no harm"
        assert (await desk.probe("promote", "dr")).holds is Holds.YES
        desk.token = 3
        with pytest.raises(StepFailed, match="has seen fencing token 7"):
            await desk.run("promote", "dr")
        lab.fault("hang-host", "exim-db-dr")
        assert (await desk.probe("promote", "dr")).holds is Holds.CANNOT_TELL


async def test_recovery_point_says_how_much_it_knows(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        exact = (await Desk(world, "cdeps").run("recovery_point", "dr")).outputs
        assert (exact["lost_known"], int(exact["acknowledged"]) > 0) == ("exact", True)
        alone = Desk(with_system(world, "cdeps", receipts=None), "cdeps")
        assert (await alone.run("recovery_point", "dr")).outputs["lost_known"] == "at-least"
        lab.fault("hang-host", "cdeps-db-main")
        unknown = (await alone.run("recovery_point", "dr")).outputs
        assert (unknown["lost_known"], unknown["lost"], unknown["acknowledged"]) == ("unknown", -1, -1)


async def test_names_move_where_a_server_answers_and_back(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "cdeps")
        assert (await desk.probe("dns_record", "dr")).holds is Holds.NO
        lab.fault("hang-dns", "dns-main")
        done = await desk.run("dns_record", "dr", timeout_s=4)
        assert (done.outputs["updated"], done.outputs["missed"]) == ("dns-dr", "dns-main")
        assert (await desk.probe("dns_record", "dr")).holds is Holds.YES
        lab.clear()
        await point_back(world, lab, "dns-main")
        assert (await desk.probe("dns_record", "dr")).holds is Holds.NO
        with pytest.raises(StepFailed, match="do not agree on one address"):
            await desk.run("http_check", "dr", where="service")
        await desk.undo("dns_record", "dr", done)
        assert set(lab.truth("cdeps")["addresses"].values()) == {lab.address("1.11")}
        for server in ("dns-main", "dns-dr"):
            lab.fault("hang-dns", server)
        with pytest.raises(TargetError) as failed:
            await desk.run("dns_record", "dr", timeout_s=3)
        assert not failed.value.outcome_known
        assert (await desk.probe("dns_record", "dr")).holds is Holds.CANNOT_TELL


async def test_a_silent_name_server_does_not_hold_up_the_return_of_the_service(
    lab: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost site takes its name server along: where others answer, it is not waited for as for one that does."""
    waited: dict[str, float] = {}
    update = dns.replace_a

    async def noted(address: str, *rest: Any) -> None:
        waited[address] = rest[-1]
        await update(address, *rest)

    monkeypatch.setattr(dns, "replace_a", noted)
    async with world_of(lab) as world:
        main, dr = (world.inventory.dns_servers[key].address for key in ("dns-main", "dns-dr"))
        lab.fault("hang-dns", "dns-main")
        done = await Desk(world, "cdeps").run("dns_record", "dr", timeout_s=60)
        assert (done.outputs["updated"], done.outputs["missed"]) == ("dns-dr", "dns-main")
        assert waited == {main: NAME_LIMIT_S, dr: ASK_LIMIT_S}
        lab.fault("hang-dns", "dns-dr")
        with pytest.raises(TargetError):
            await Desk(world, "cdeps").run("dns_record", "dr", timeout_s=5)
        assert min(waited.values()) > NAME_LIMIT_S, "where none answers none is given up sooner"


async def test_a_name_that_is_pointed_back_at_one_server_only_is_not_taken_back(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        await Desk(world, "cdeps").run("dns_record", "main")
        done = await Desk(world, "cdeps").run("dns_record", "dr")
        servers = dict(world.inventory.dns_servers)
        servers["dns-main"] = servers["dns-main"].model_copy(update={"tsig_name": "stranger"})
        refused = replace(world, inventory=world.inventory.model_copy(update={"dns_servers": servers}))
        with pytest.raises(StepFailed, match=r"to point to .*1\.11 again, and this is said of it: dns-main"):
            await Desk(refused, "cdeps").undo("dns_record", "dr", done)
        await Desk(world, "cdeps").undo("dns_record", "dr", done)
        assert (await Desk(world, "cdeps").probe("dns_record", "main")).holds is Holds.YES


async def test_a_check_by_name_must_arrive_at_the_right_site(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ncts")
        done = await desk.run("http_check", "main", where="service", expect_role="active")
        assert done.outputs["address"] == lab.address("1.12")
        with pytest.raises(StepFailed, match="answers from main, not from dr"):
            await desk.run("http_check", "dr", where="service")
        with pytest.raises(StepFailed, match="says it is standby, not active"):
            await desk.run("http_check", "dr", where="front", expect_role="active", within_s=3)
        with pytest.raises(StepFailed, match=r"not within 0\.2 s"):
            await desk.run("http_check", "dr", where="bubble", within_s=0.2)


async def test_a_bubble_is_made_once_and_removed_whole(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ncts")
        before = await desk.run("production_state", "dr")
        lab.fault("vanish-vm", "vc-dr/cdeps-app-1")  # another system's; nothing to do with this one
        first = await desk.run("bubble_create", "dr")
        assert (await desk.run("bubble_create", "dr")).outputs == first.outputs
        assert (await desk.probe("bubble_create", "dr")).outputs == first.outputs
        assert len(lab.effects("ncts", "clone")) == first.outputs["count"] == 5
        assert (await desk.run("http_check", "dr", where="bubble", within_s=60)).outputs["role"] == "active"
        assert (await desk.probe("bubble_remove", "dr")).holds is Holds.NO
        assert (await desk.run("bubble_remove", "dr")).outputs["removed"] == 5
        assert (await desk.run("bubble_remove", "dr")).outputs["removed"] == 0
        assert (await desk.probe("bubble_remove", "dr")).holds is Holds.YES
        same: dict[str, Any] = {"expect": before.outputs["digest"], "before": before.outputs["summary"]}
        await desk.run("production_unchanged", "dr", **same)
        powered = await desk.run("vm_power", "dr", tier="web", state="off")
        with pytest.raises(StepFailed, match="vm dr/ncts-web-1 was on, is off; vm dr/ncts-web-2 was on, is off"):
            await desk.run("production_unchanged", "dr", **same)
        await desk.undo("vm_power", "dr", powered, tier="web", state="off")
        await desk.run("production_unchanged", "dr", **same)


async def test_clones_of_an_earlier_attempt_that_come_late_are_taken_as_they_are(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ite", run_id="ite-drill-late")
        one, other = await asyncio.gather(desk.run("bubble_create", "dr"), desk.run("bubble_create", "dr"))
        assert one.outputs == other.outputs
        assert len(lab.effects("ite", "clone")) == 5
        await desk.run("bubble_remove", "dr")


async def test_power_touches_only_what_is_not_so_yet_and_puts_back_only_that(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ite")
        await world.vcenters["vc-dr"].power("ite-web-1", on=False, timeout_s=60)
        assert (await desk.probe("vm_power", "dr", state="on")).evidence == "ite-web-1 is off"
        done = await desk.run("vm_power", "dr", state="on")
        assert done.outputs == {"changed": "ite-web-1", "count": 5}
        assert (await desk.run("vm_power", "dr", state="on")).outputs["changed"] == ""
        await desk.undo("vm_power", "dr", done, state="on")
        assert (await desk.probe("vm_power", "dr", state="on")).evidence == "ite-web-1 is off"
        await desk.run("vm_power", "dr", state="on")


async def test_a_snapshot_is_taken_once_and_removed_alone(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk, vcenter = Desk(world, "ite", run_id="ite/patch 1"), world.vcenters["vc-dr"]
        machines = ("ite-db-1", "ite-app-1", "ite-app-2", "ite-web-1", "ite-web-2")
        await vcenter.snapshot("ite-web-1", "before", timeout_s=60)
        ours = f"karaula-ite-patch-1-{hashlib.sha256(b'key').hexdigest()[:8]}"
        await vcenter.snapshot("ite-web-2", ours, timeout_s=60)  # as of an attempt that broke off
        seen = await desk.probe("vm_snapshot", "dr")
        assert (seen.holds, seen.evidence) == (
            Holds.NO,
            ", ".join(f"{name} has no snapshot {ours}" for name in machines[:-1]),
        )
        done = await desk.run("vm_snapshot", "dr")
        assert done.outputs == {"snapshot": ours, "count": 5}
        assert (await desk.run("vm_snapshot", "dr", attempt=2)).outputs == done.outputs
        assert (await desk.probe("vm_snapshot", "dr")).outputs == done.outputs
        assert len(lab.effects("ite", "snapshot")) == 1 + 5
        await vcenter.snapshot("ite-web-1", "after", timeout_s=60)
        await desk.undo("vm_snapshot", "dr", done)
        await desk.undo("vm_snapshot", "dr", done)
        assert len(lab.effects("ite", "remove snapshot")) == 5
        kept = await vcenter.snapshots(machines)
        assert kept == {name: ("before", "after") if name == "ite-web-1" else () for name in machines}
        lab.fault("vanish-vm", "vc-dr/ite-app-2")
        with pytest.raises(StepFailed, match="the vCenter has no VM ite-app-2"):
            await desk.run("vm_snapshot", "dr", tier="application")
        assert "ite-app-2 does not exist" in (await desk.probe("vm_snapshot", "dr")).evidence


async def test_a_machine_that_does_not_exist_is_named(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        lab.fault("vanish-vm", "vc-dr/exim-app-2")
        with pytest.raises(StepFailed, match="the vCenter has no VM exim-app-2"):
            await Desk(world, "exim").run("vm_power", "dr", state="on")


async def test_a_replica_is_waited_for(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ncts")
        done = await desk.run("wait_replica", "dr", within_s=60)
        assert int(done.outputs["position"]) >= int(done.outputs["target"]) > 0
        with pytest.raises(StepFailed, match="of 1000000"):
            await desk.run("wait_replica", "dr", position=1_000_000, within_s=3)
        assert (await desk.run("check_role", "main", expect="primary")).outputs["epoch"] == 1
        with pytest.raises(StepFailed, match="is standby, not primary"):
            await desk.run("check_role", "dr", expect="primary")
        assert (await desk.run("wait_database", "dr")).outputs["role"] == "standby"


async def test_what_a_host_prints_is_not_trusted(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(with_commands(world, "ncts", status=("uptime",)), "ncts")
        with pytest.raises(GarbledReply, match="printed what it should not"):
            await desk.run("check_role", "main", expect="primary")
        assert (await desk.probe("promote", "dr")).holds is Holds.CANNOT_TELL
        desk = Desk(with_commands(world, "ncts", status=("ledgerctl", "nonsense")), "ncts")
        with pytest.raises(StepFailed, match="exit status 2"):
            await desk.run("check_role", "main", expect="primary")


async def test_a_command_is_confirmed_by_its_check(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ncts")
        args: dict[str, Any] = {"host": "vault-dr", "command": ["uptime"], "check": ["true"]}
        assert "load" in str((await desk.run("ssh_run", "dr", **args)).outputs["stdout"])
        assert (await desk.probe("ssh_run", "dr", **args)).holds is Holds.YES
        wrong: dict[str, Any] = {
            **args,
            "command": ["systemctl", "is-active", "nothing-such"],
            "check": ["ledgerctl", "query", "none"],
        }
        with pytest.raises(StepFailed, match="expected 0"):
            await desk.run("ssh_run", "dr", **wrong)
        assert (await desk.probe("ssh_run", "dr", **wrong)).holds is Holds.NO
        with pytest.raises(StepFailed, match="no host 'nowhere'"):
            await desk.run("ssh_run", "dr", **{**args, "host": "nowhere"})


async def test_only_a_known_and_young_backup_is_chosen(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        with pytest.raises(StepFailed, match="take one with 'karaula backup ncts'"):
            await Desk(world).run("backup_select", "main")
    old = Backup("b", "ncts", time.time() - 200_000, 1, 1, "x", 1, "0" * 64, "run")
    async with world_of(lab, lambda _system: old) as world:
        with pytest.raises(StepFailed, match=r"is 55\.6 h old; the policy allows 26\.0 h"):
            await Desk(world).run("backup_select", "main")


async def test_a_backup_is_held_against_its_manifest_and_its_restored_copy(lab: RunningLab) -> None:
    async with world_of(lab) as world:
        desk = Desk(world, "ncts")
        assert (await desk.probe("backup", "main")).holds is Holds.NO
        manifest: dict[str, Any] = dict((await desk.run("backup", "main")).outputs)
        assert (await desk.probe("backup", "main")).outputs == manifest
        recorded: dict[str, Any] = {
            key: manifest[key] for key in ("backup", "sha256", "bytes", "records", "position", "newest_id")
        }
        await desk.run("backup_check", "main", **recorded)
        with pytest.raises(StepFailed, match=r"records is \d+, recorded was 0"):
            await desk.run("backup_check", "main", **{**recorded, "records": 0})
        where: dict[str, Any] = {"backup": manifest["backup"], "scratch": "verify-x"}
        done = await desk.run("restore", "main", **where)
        assert (await desk.probe("restore", "main", **where)).holds is Holds.YES
        content: dict[str, Any] = {
            "records": manifest["records"],
            "position": manifest["position"],
            "newest_id": "another",
        }
        with pytest.raises(StepFailed, match="newest_id is"):
            await desk.run("restore_check", "main", scratch="verify-x", **content)
        await desk.undo("restore", "main", done, **where)
        assert (await desk.probe("discard", "main", scratch="verify-x")).holds is Holds.YES
        await desk.run("discard", "main", scratch="verify-x")
        lab.fault("corrupt-backup", "ncts")
        with pytest.raises(StepFailed, match="damaged"):
            await desk.run("backup_check", "main", **recorded)
        assert (await desk.probe("backup", "main")).holds is Holds.NO

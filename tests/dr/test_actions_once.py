"""Every action run twice, and with its answer lost, has one effect. The table is complete: no action is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from actions_kit import Desk
from once_kit import ELSEWHERE, in_the_dark, once_more
from orchestrator_kit import ROOT
from sim_kit import Sim, State, with_vip

from dr.action import Done, Holds
from dr.actions import ACTIONS
from dr.backups.catalog import Backup
from dr.errors import StepFailed
from monitor.clients import dns
from monitor.errors import TargetError
from monitor.inventory.read import read

pytestmark = pytest.mark.anyio
ESTATE = with_vip(read(ROOT / "inventory.yaml"), "ncts")
MANIFEST = ("backup", "sha256", "bytes", "records", "position", "newest_id")


@dataclass
class Case:
    """An action with what it needs to have something to do, and the orders whose answers may get lost.

    ``first`` are actions that come before it; ``args`` may name a value of the newest backup as ``=name``, and the
    output of the step before as ``<name``.
    """

    site: str = "dr"
    args: Mapping[str, Any] = field(default_factory=dict)
    loses: tuple[str, ...] = ()
    arrange: Callable[[State], None] = lambda _state: None
    first: tuple[tuple[str, Mapping[str, Any]], ...] = ()


def lost_main(state: State) -> None:
    state["outlets"]["ncts/main"] = "Off"


def after_a_failover(state: State) -> None:
    state["databases"]["ncts/dr"].update(role="primary", epoch=5, following=False)
    state["databases"]["ncts/main"].update(records=[*state["databases"]["ncts/main"]["records"], "never-arrived"])


def address_at_main(state: State) -> None:
    state["address"]["ncts-db-main"] = True


def dr_off(state: State) -> None:
    for machine in state["machines"]["vc-dr"].values():
        machine["on"] = False


SCRATCH = {"backup": "=backup", "scratch": "verify-one"}
BACKED_UP: tuple[tuple[str, Mapping[str, Any]], ...] = (("backup", {}),)
RESTORED = (*BACKED_UP, ("restore", SCRATCH))
TABLE: dict[str, Case] = {
    "vm_power": Case(args={"tier": "all", "state": "on"}, loses=("power on",), arrange=dr_off),
    "vm_snapshot": Case(args={"tier": "all"}, loses=("snapshot",)),
    "ssh_run": Case(
        args={"host": "vault-dr", "command": ["touch", "it"], "check": ["test", "-e", "it"]}, loses=("command",)
    ),
    "http_check": Case("main", {"where": "front", "expect_role": "active"}),
    "dns_record": Case(loses=("name at dns-dr", "name at dns-main")),
    "vip": Case(loses=("address add", "address remove"), arrange=address_at_main),
    "fence": Case("main", loses=("outlets off",)),
    "unfence": Case("main", loses=("outlets on",), arrange=lost_main),
    "promote": Case(loses=("promote",), arrange=lost_main),
    "demote": Case("main", loses=("demote",)),
    "follow": Case("main", loses=("follow",), arrange=after_a_failover),
    "wait_database": Case(),
    "wait_replica": Case(),
    "wait_for": Case(args={"subject": "dns/dns-dr"}),
    "ask": Case(args={"question": "May it go on?"}),
    "notify": Case(args={"message": "It goes on"}),
    "check_role": Case("main", {"expect": "primary"}),
    "recovery_point": Case(),
    "production_state": Case(),
    "production_unchanged": Case(args={"expect": "<digest"}, first=(("production_state", {}),)),
    "bubble_create": Case(loses=("clone", "plug", "power on")),
    "bubble_remove": Case(loses=("power off", "destroy"), first=(("bubble_create", {}),)),
    "backup": Case("main", loses=("backup",)),
    "backup_select": Case("main", first=BACKED_UP),
    "backup_check": Case("main", {name: f"={name}" for name in MANIFEST}, first=BACKED_UP),
    "restore": Case("main", SCRATCH, loses=("restore",), first=BACKED_UP),
    "restore_start": Case("main", SCRATCH, first=RESTORED),  # the lab's kind of database answers once it is restored
    "restore_check": Case(
        "main", {"scratch": "verify-one", **{name: f"={name}" for name in MANIFEST[3:]}}, first=RESTORED
    ),
    "discard": Case("main", {"scratch": "verify-one"}, loses=("discard",), first=RESTORED),
}
CHANGING = {name: case for name, case in TABLE.items() if case.loses}
LOSSES = [(name, lost) for name, case in CHANGING.items() for lost in case.loses]


@dataclass
class Stage:
    """The estate with a case's beginnings done."""

    sim: Sim
    desk: Desk
    args: dict[str, Any]
    before: Counter[str]

    def done(self) -> Counter[str]:
        return Counter(self.sim.changes()) - self.before


@asynccontextmanager
async def staged(folder: Path, case: Case) -> AsyncIterator[Stage]:
    kept: dict[str, Any] = {}
    sim = Sim(folder / "truth.json", ESTATE)
    sim.arrange(case.arrange)
    asked = dns.query_a, dns.replace_a
    try:
        shelf: Any = lambda _system: _backup(kept) if "sha256" in kept else None  # noqa: E731 - as the wiring has it
        desk = Desk(sim.world(shelf, lambda _system: ()), token=9)
        for name, args in case.first:
            kept |= (await desk.run(name, case.site, **_filled(args, kept))).outputs
        yield Stage(sim, desk, _filled(case.args, kept), Counter(sim.changes()))
    finally:
        dns.query_a, dns.replace_a = asked


def _filled(args: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    return {key: kept[value[1:]] if str(value)[:1] in {"=", "<"} else value for key, value in args.items()}


def _backup(kept: Mapping[str, Any]) -> Backup:
    numbers = (kept["taken_at"], kept["records"], kept["position"], kept["newest_id"], kept["bytes"], kept["sha256"])
    return Backup(kept["backup"], "ncts", *numbers, "ncts-test")


def test_no_action_is_left_out() -> None:
    assert TABLE.keys() | ELSEWHERE.keys() == ACTIONS.keys()
    assert not TABLE.keys() & ELSEWHERE.keys()
    for file, test in ELSEWHERE.values():
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert {name for name in TABLE if not ACTIONS[name].reads_only} == {*CHANGING, "restore_start"}


@pytest.mark.parametrize("name", TABLE)
async def test_twice_it_has_one_effect(name: str, tmp_path: Path) -> None:
    case = TABLE[name]
    async with staged(tmp_path, case) as at:
        if name == "ask":
            with pytest.raises(StepFailed, match="answered by a person"):
                await at.desk.run(name, case.site, **at.args)
            return
        first = await at.desk.run(name, case.site, **at.args)
        done = at.done()
        assert bool(done) is bool(case.loses)
        if name == "ssh_run":  # what its command does twice nobody can know, so the engine asks its check before
            assert (await at.desk.probe(name, case.site, **at.args)).holds is Holds.YES
            return
        again = await at.desk.run(name, case.site, attempt=2, **at.args)
        assert at.done() == done
        assert first.outputs.keys() == again.outputs.keys()
        if not ACTIONS[name].reads_only:
            assert (await at.desk.probe(name, case.site, **at.args)).holds is Holds.YES
        assert at.sim.state["double_active"] == at.sim.state["astray"] == []


@pytest.mark.parametrize(("name", "lost"), LOSSES)
async def test_with_its_answer_lost_it_has_one_effect(name: str, lost: str, tmp_path: Path) -> None:
    case = TABLE[name]
    whole, dark = tmp_path / "whole", tmp_path / "dark"
    for folder in (whole, dark):
        folder.mkdir()
    async with staged(whole, case) as at:
        await at.desk.run(name, case.site, **at.args)
        wanted = at.done()
    async with staged(dark, case) as at:
        at.sim.lost = {lost} if name != "dns_record" else {*case.loses}
        seen = await in_the_dark(at.desk, name, case.site, at.args)
        assert seen.holds is Holds.YES
        assert set(seen.outputs) <= set(ACTIONS[name].outputs)
        assert not at.sim.lost, "no answer got lost"
        if name != "ssh_run":
            await once_more(at.desk, name, case.site, at.args)
        assert at.done() == wanted
        assert at.sim.state["double_active"] == at.sim.state["astray"] == []


UNDOABLE = [(name, lost) for name, lost in LOSSES if ACTIONS[name].undoable]


def left(sim: Sim) -> Any:
    """Return how things stand, without the record of what happened; an address that was given up is none."""
    picture = {key: value for key, value in sim.picture().items() if key not in {"backups", "double_active", "astray"}}
    return {**picture, "address": {host for host, held in picture["address"].items() if held}}


@pytest.mark.parametrize("name", sorted({name for name, _ in UNDOABLE}))
async def test_what_is_undone_is_as_it_was(name: str, tmp_path: Path) -> None:
    case = TABLE[name]
    async with staged(tmp_path, case) as at:
        before = deepcopy(left(at.sim))
        done = await at.desk.run(name, case.site, **at.args)
        assert left(at.sim) != before
        await at.desk.undo(name, case.site, done, **at.args)
        assert left(at.sim) == before


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("name", "lost"), UNDOABLE)
async def test_after_a_lost_answer_it_is_undone_or_says_that_it_cannot_be(
    name: str, lost: str, again: bool, tmp_path: Path
) -> None:
    """With ``again`` the engine tries once more instead of looking, as after a failure that it knows of."""
    case = TABLE[name]
    async with staged(tmp_path, case) as at:
        before = deepcopy(left(at.sim))
        at.sim.lost = {lost} if name != "dns_record" else {*case.loses}
        with suppress(TargetError):
            await at.desk.run(name, case.site, **at.args)
        outputs = (
            (await at.desk.run(name, case.site, attempt=2, **at.args)).outputs
            if again
            else (await in_the_dark(at.desk, name, case.site, at.args)).outputs
        )
        said = ""
        try:
            await at.desk.undo(name, case.site, Done(outputs), **at.args)
        except StepFailed as error:
            said = str(error)
        assert "by hand" in said if said else left(at.sim) == before


async def test_a_name_that_one_server_keeps_is_not_undone(tmp_path: Path) -> None:
    async with staged(tmp_path, TABLE["dns_record"]) as at:
        done = await at.desk.run("dns_record", "dr", **at.args)
        at.sim.arrange(lambda state: state["cut"].append("main"))
        with pytest.raises(StepFailed, match=r"is to point to .* again, and this is said of it: dns-main: "):
            await at.desk.undo("dns_record", "dr", done, **at.args)


async def test_a_host_that_has_seen_a_newer_token_obeys_no_older_one(tmp_path: Path) -> None:
    for name in ("promote", "demote"):
        (folder := tmp_path / name).mkdir()
        async with staged(folder, TABLE[name]) as at:
            at.sim.arrange(lambda state: [one.update(epoch=10) for one in state["databases"].values()])
            with pytest.raises(StepFailed, match=r"(fencing token 10|has seen 10)"):
                await at.desk.run(name, TABLE[name].site, **at.args)
            assert not at.done()


@pytest.mark.parametrize("status", [64, 75, 76, 78, 124, 126, 127])
async def test_a_check_that_was_not_carried_out_tells_nothing(status: int, tmp_path: Path) -> None:
    async with staged(tmp_path, TABLE["ssh_run"]) as at:
        at.sim.statuses["test"] = status
        seen = await at.desk.probe("ssh_run", "dr", **at.args)
        assert seen.holds is Holds.CANNOT_TELL
        assert f"exit status {status}" in seen.evidence

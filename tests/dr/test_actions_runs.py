"""Whole runs on the simulated estate, through the real orchestrator, and what their reports say against the truth."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from actions_kit import carried_out, orchestrator_of
from estate_kit import RunningLab, start_lab

from dr.engine.orchestrator import Orchestrator
from dr.evidence.collect import Measure
from dr.evidence.render import to_html, to_json
from dr.evidence.report import Report, report
from dr.forecast import Forecast
from dr.journal.run import Run, RunState

pytestmark = [pytest.mark.anyio, pytest.mark.lab]


async def report_of(orchestrator: Orchestrator, run: Run) -> Report:
    outputs = {(one.step, one.attempt): one.text for one in await orchestrator.outputs(run.id)}
    return report(run, orchestrator.events(run.id), outputs, orchestrator.world.inventory, Forecast(0), time.time())


def measure(made: Report, name: str) -> Measure:
    return next(one for one in made.measures if one.name == name)


def written(lab: RunningLab, position: int, site: str = "main") -> None:
    lab.wait_for("ncts", lambda truth: truth["positions"][site] >= position)


async def test_failover_and_failback_lose_only_what_had_not_arrived(tmp_path: Path) -> None:
    with start_lab(tmp_path, rate=16) as lab:
        written(lab, 12)
        async with orchestrator_of(lab, tmp_path) as orchestrator:
            lost_at = time.time()
            lab.fault("cut-site", "main")
            run = await carried_out(orchestrator, "failover", service_lost_at=lost_at, alarm_at=lost_at + 0.5)
            assert run.state is RunState.SUCCEEDED, run
            truth = lab.truth("ncts")
            assert (truth["active"], truth["writable_sites"]) == ("dr", ["dr"])
            assert run.steps["names"].outputs["missed"] == "dns-main"

            made = await report_of(orchestrator, run)
            assert truth["lost"] > 0
            assert measure(made, "rpa_count").value == truth["lost"]
            assert measure(made, "rpa_time").met
            assert measure(made, "detection").value == pytest.approx(0.5)
            rta = measure(made, "rta")
            assert rta.met
            assert rta.value == pytest.approx((run.steps["service"].ended_at or 0) - lost_at)
            assert all(attempt.output_intact for step in made.steps for attempt in step.attempts)
            assert json.loads(to_json(made))["schema"] == 1
            assert "Tabanovce" not in (page := to_html(made))
            assert "<script" not in page
            assert "http" not in page.split("<body>")[0]

            lab.clear()
            written(lab, truth["positions"]["dr"] + 5, "dr")
            back = await carried_out(orchestrator, "failback")
            assert back.state is RunState.SUCCEEDED, back
            made = await report_of(orchestrator, back)
            after = lab.truth("ncts")
            assert measure(made, "discarded").value >= truth["lost"]
            assert measure(made, "rpa_count").value == 0
            assert after["lost"] == truth["lost"], "the failback lost something"
            assert (after["writable_sites"], after["ever_double_writable"]) == (["main"], False)
            assert after["roles"] == {"main": "primary", "dr": "standby"}
            assert set(after["addresses"].values()) == {lab.address("1.12")}


async def test_night_drill_backup_verification(tmp_path: Path) -> None:
    with start_lab(tmp_path, rate=16) as lab:
        written(lab, 5)
        async with orchestrator_of(lab, tmp_path) as orchestrator:
            for playbook in ("drill", "backup", "verify"):
                run = await carried_out(orchestrator, playbook)
                assert run.state is RunState.SUCCEEDED, run
            changed = {(one["by"], one["what"]) for one in lab.effects("ncts")}
            assert changed <= {
                *(("vcenter", what) for what in ("clone", "plug", "power on", "power off", "destroy")),
                *(("power", what) for what in ("machine starts", "machine stops")),
                *(("ssh", what) for what in ("backup", "restore", "discard")),
            }
            assert len(lab.effects("ncts", "clone")) == len(lab.effects("ncts", "destroy")) == 5
            assert lab.truth("ncts")["active"] == "main"
            assert lab.truth("ncts")["production_clone"] is False

            lab.fault("corrupt-backup", "ncts")
            run = await carried_out(orchestrator, "verify")
            assert run.state is RunState.FAILED
            assert "damaged" in run.end_reason
            made = await report_of(orchestrator, run)
            assert measure(made, "proven_age").value is None
            assert made.findings[0].severity == "critical"


async def test_a_fence_that_cannot_be_proven_stops_the_failover_before_anything_is_promoted(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        lab.fault("stuck-fence", "pdu-main/ncts")
        async with orchestrator_of(lab, tmp_path) as orchestrator:
            orchestrator.rules.playbooks["failover"].playbook.steps[0].__dict__.update(timeout_s=6, retries=0)
            run = await carried_out(orchestrator, "failover")
            assert run.state is RunState.PAUSED
            assert "still draws" in run.pause_reason
            assert lab.effects("ncts", "promote") == []
            assert lab.truth("ncts")["writable_sites"] == ["main"]


async def test_a_system_that_is_active_at_the_recovery_site_is_backed_up_there(tmp_path: Path) -> None:
    with start_lab(tmp_path, rate=16) as lab:
        written(lab, 5)
        async with orchestrator_of(lab, tmp_path) as orchestrator:
            assert (await carried_out(orchestrator, "failover")).state is RunState.SUCCEEDED
            run = await carried_out(orchestrator, "backup")
            assert run.state is RunState.SUCCEEDED, run
            assert run.plan.from_site == "dr"
            assert (await carried_out(orchestrator, "verify")).state is RunState.SUCCEEDED

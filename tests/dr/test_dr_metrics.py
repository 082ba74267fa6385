"""What /metrics shows of recovery, worked out from a journal that really was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from orchestrator_kit import INVENTORY, Act, House, acts, house, refused

from dr import metrics
from dr.forecast import Past
from dr.journal.finding import TrackedFinding
from dr.journal.pause import Pause
from dr.readiness.lights import ACCESS, CAPACITY, Check, Light, Readiness
from dr.readiness.proven import Verified
from monitor.metrics.catalog import Metric

pytestmark = pytest.mark.anyio


def shown(
    at: House, upcoming: Mapping[str, float] | None = None, standing: Sequence[TrackedFinding] = ()
) -> dict[Metric, dict[tuple[str, ...], float]]:
    past, now = Past(at.orchestrator), at.clock.now()
    checks = (Check(ACCESS, Light.UNKNOWN, "not asked"), Check(CAPACITY, Light.AMBER, "little is left"))
    verified = [Verified("failover", "failover", "ncts", "", 7.0), Verified("drill", "drill", "ncts", "too old", None)]
    families = [
        *metrics.collect(
            at.orchestrator, INVENTORY.systems, now, lambda: upcoming or {}, {"vault": True}, past, standing
        ),
        *metrics.of_readiness([Readiness("ncts", "dr", now, checks)], verified),
    ]
    assert [family.metric for family in families] == list({family.metric: None for family in families})
    for family in families:
        keys = [key for key, _ in family.samples]
        assert len(set(keys)) == len(keys), family.metric.name
        assert all(len(key) == len(family.metric.labels) for key in keys)
    return {family.metric: dict(family.samples) for family in families}


async def test_an_empty_journal_shows_where_everything_belongs_and_no_runs(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        now = shown(at, {"nightly": 5.0})
    of_joints = {family.metric for family in metrics.of_joints([], {})}
    assert set(now) | of_joints == set(metrics.METRICS)
    assert now[metrics.PLACEMENT] == {("ncts", "main"): 1, ("ncts", "dr"): 0, ("ite", "main"): 1, ("ite", "dr"): 0}
    assert now[metrics.NEXT_DUE] == {("nightly",): 5.0}
    assert now[metrics.RUNS_ENDED] == now[metrics.RUN_ACTIVE] == now[metrics.BACKUP_NEWEST] == {}
    assert now[metrics.JOURNAL_FAILING] == {(): 0.0}
    assert now[metrics.READINESS] == {("ncts", "access"): 2, ("ncts", "capacity"): 1}
    assert now[metrics.READINESS_WORST] == {("ncts",): 2}
    assert now[metrics.PROOF_VERIFIED] == {("ncts", "failover"): 1, ("ncts", "drill"): 0}
    assert now[metrics.PROOF_AT] == {("ncts", "failover"): 7.0}


async def test_a_failover_that_waits_and_one_that_is_done(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        began = at.clock.now()
        run = await at.submit(origin="alarm", origin_ref="a:1", service_lost_at=began - 40, alarm_at=began - 30)
        now = shown(at)
        assert now[metrics.RUN_ACTIVE] == {("ncts", "failover", "WAITING"): 1}
        assert now[metrics.RUN_SINCE] == {("ncts", "failover"): began}
        at.clock.advance(60)
        await at.until(await at.approve(run))
        now = shown(at)
    assert now[metrics.RUN_ACTIVE] == {}
    assert now[metrics.RUNS_ENDED] == {("ncts", "failover", "SUCCEEDED"): 1}
    assert now[metrics.RTA] == {("ncts",): 100.0}
    assert now[metrics.RUN_DURATION] == {("ncts", "failover"): 0.0}
    assert now[metrics.PLACEMENT][("ncts", "dr")] == 1
    assert now[metrics.GUARD_VERDICTS][("approval", "wait")] == 1
    assert now[metrics.GUARD_VERDICTS][("approval", "allow")] >= 1


async def test_a_run_that_failed_is_the_last_end_and_not_the_last_success(tmp_path: Path) -> None:
    async with house(tmp_path, acts(write=Act("write", ("backup", "written"), refused))) as at:
        run = await at.until(await at.submit("backup"))
        now = shown(at)
    assert now[metrics.RUN_LAST_END] == {("ncts", "backup"): run.ended_at}
    assert now[metrics.RUN_LAST_SUCCESS] == {}
    assert now[metrics.RTA] == {}


async def test_a_pause_shows_while_it_lasts(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        now = at.clock.now()
        await at.orchestrator.standing.pause(Pause("ncts", "ana", "racks", now, now + 60))
        assert shown(at)[metrics.PAUSED] == {("ncts",): 1, ("ite",): 0}
        at.clock.advance(61)
        assert shown(at)[metrics.PAUSED] == {("ncts",): 0, ("ite",): 0}
        await at.orchestrator.standing.pause(Pause("all", "ana", "racks", now, at.clock.now() + 60))
        assert set(shown(at)[metrics.PAUSED].values()) == {1.0}
        assert await at.orchestrator.standing.lift_pause("all", "ana") == 1
        assert set(shown(at)[metrics.PAUSED].values()) == {0.0}


async def test_whatever_is_wrong_with_the_journal_shows(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        at.orchestrator._undriven["ncts-1"] = "run ncts-1 is not driven any more"
        assert shown(at)[metrics.JOURNAL_FAILING] == {(): 1.0}

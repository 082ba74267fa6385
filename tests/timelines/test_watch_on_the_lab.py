"""The watch with the real probes on the simulated estate: what is broken is named, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from estate_kit import PATIENCE_S, start_lab
from prometheus_client.parser import text_string_to_metric_families

from monitor.channels import channels
from monitor.clients.http import HttpClient
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.read import read
from monitor.metrics.export import render
from monitor.notify import Notifier
from monitor.probes import PROBES
from monitor.status.state import Health
from monitor.targets import targets
from monitor.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from estate_kit import RunningLab

pytestmark = [pytest.mark.anyio, pytest.mark.lab]


async def until(holds: Callable[[], bool], shown: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, f"it never was so: {shown()}"
        await asyncio.sleep(0.1)


def make(lab: RunningLab, state: Path, http: HttpClient) -> Watch:
    inventory, credentials, clock = read(lab.inventory), Credentials(lab.credentials), RealClock()
    probes = {name: probe(credentials, inventory.trust, clock) for name, probe in PROBES.items()}
    notifier = Notifier(channels(inventory, http), clock, hold_s=3)
    return Watch(inventory, targets(inventory), probes, state, clock, notifier)


def not_ok(watch: Watch) -> dict[str, str]:
    return {key: status.reason for key, status in watch.statuses().items() if status.health is not Health.OK}


def alone(watch: Watch) -> set[str]:
    """The alarms that nothing else explains."""
    return {alarm.key for alarm in watch.alarms() if not alarm.cause}


TOUCHED = (
    "vcenter/vc-main",
    "vm/vc-main/",
    "esx/vc-main",
    "datastore/vc-main",
    "sensor/main-rack-",
    "vote/main-overheat",
    "host/vault-dr",
    "check/",
    "site/",
)


def spoil_hosts(lab: RunningLab) -> None:
    lab.fault("fill-disk", "cdeps-db-main", percent=97)
    lab.fault("fill-disk", "cdeps-db-dr", percent=90)
    lab.fault("skew-clock", "cdeps-db-dr", seconds=-30)
    lab.fault("refuse-logins", "cdeps/main")


async def test_everything_broken_at_once_is_named_each_by_its_own_alarm(tmp_path: Path) -> None:
    state = tmp_path / "watch"
    state.mkdir()
    http = HttpClient(None)
    with start_lab(tmp_path) as lab:
        watch = make(lab, state, http)
        await watch.start()
        try:
            await until(lambda: not not_ok(watch), lambda: not_ok(watch))
            assert watch.problems() == []
            for fault, target in (
                ("hang-vcenter", "vc-main"),
                ("garble-snmp", "main-rack-1-temperature"),
                ("change-host-key", "vault-dr"),
                ("cut-link", "blace/primary"),
                ("move-traffic", "tabanovce"),
                ("cut-link", "stenje/primary"),
                ("cut-link", "stenje/backup"),
            ):
                await asyncio.to_thread(lab.fault, fault, target)
            await asyncio.to_thread(spoil_hosts, lab)
            expected = {
                "vcenter-down vcenter/vc-main",
                "sensor-fault sensor/main-rack-1-temperature",
                "host-untrusted host/vault-dr",
                "crossing-on-backup crossing/blace",
                "crossing-on-backup crossing/tabanovce",
                "crossing-cut-off crossing/stenje",
                "check-down check/cdeps-db-main-disk",
                "check-degraded check/cdeps-db-dr-disk",
                "check-down check/cdeps-db-dr-clock",
                "check-down check/cdeps-login",
            }
            await until(lambda: expected <= alone(watch), lambda: expected - alone(watch))
            assert not_ok(watch)["check/cdeps-db-main-disk"].startswith("/var/lib/ledger has 3 % free (6.01 GB)")
            moved = "the primary link answers, but traffic is on the backup: the BGP session with"
            assert not_ok(watch)["crossing/tabanovce"].startswith(moved)
            assert not_ok(watch)["check/cdeps-login"] == "log-in refused: answered 403"
            assert "front/cdeps/main" not in not_ok(watch)  # its health page is as green as ever
            others = {
                key: reason
                for key, reason in not_ok(watch).items()
                if not key.startswith(TOUCHED) and key.split("/")[1] not in ("blace", "stenje", "tabanovce")
            }
            assert others == {}
            now = RealClock().now()
            fronts = [f"front/{key}/dr" for key in ("cdeps", "ncts", "ite", "exim")]
            await until(
                lambda: all(seen is not None and seen.at > now for seen in map(watch.observation, fronts)),
                lambda: "the fronts at dr are not asked any more",
            )
            # What ends before it was told is never told.
            await until(lambda: all(each.sent >= len(expected) for each in watch._notifier.stats()), watch.problems)
            await asyncio.to_thread(lab.clear)
            await until(lambda: not not_ok(watch) and not watch.alarms(), lambda: not_ok(watch))
            await until(lambda: all(each.pending == 0 for each in watch._notifier.stats()), watch.problems)
            page = render(watch.snapshot())[0].decode()
            samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
            sent = {each.labels["channel"]: each.value for each in samples if each.name == "karaula_notices_sent_total"}
            assert sent["mail"] == sent["tickets"] >= 2 * len(expected)
        finally:
            await watch.stop()
            await http.close()

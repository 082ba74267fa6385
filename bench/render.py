"""Render a page of 50,000 samples: first, unchanged, a tenth and all changed; beside prometheus_client.

Both get the same families of the same moment. prometheus_client's ``generate_latest`` renders them through its own
types; what comes out must hold the same samples.
"""

from __future__ import annotations

import gc
import random
import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from bench.measure import Cost, Watch, machine, median, table
from monitor.metrics import catalog
from monitor.metrics.catalog import Family, Metric
from monitor.metrics.export import Exporter, SnapshotCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VMS = 5_000
CROSSINGS = 500
SYSTEMS = 250
SENSORS = 1_050
ROUNDS = 7
STATES = ("ok", "degraded", "down", "unknown")


def series() -> list[tuple[Metric, Sequence[tuple[str, ...]]]]:
    """Return metrics with their label sets as a large estate would have them: 50,000 samples together."""
    vms = [("vc-main", f"system-{number // 20}-app-{number % 20}", "main") for number in range(VMS)]
    subjects = [f"vm/{vcenter}/{vm}" for vcenter, vm, _ in vms] + [f"sensor/rack-{n}" for n in range(SENSORS)]
    links = [(f"crossing-{n}", link, f"operator-{n % 4}") for n in range(CROSSINGS) for link in ("primary", "backup")]
    fronts = [(f"system-{number}", site) for number in range(SYSTEMS) for site in ("main", "dr")]
    sensors = [(f"rack-{number}", "main") for number in range(SENSORS)]
    made: list[tuple[Metric, Sequence[tuple[str, ...]]]] = [
        (catalog.SUBJECT_STATUS, [(subject, state) for subject in subjects for state in STATES]),
        (catalog.SUBJECT_SEEN, [(subject,) for subject in subjects]),
        (catalog.VM_UP, vms),
        (catalog.VM_POWER, vms),
        (catalog.SENSOR_TEMPERATURE, sensors),
    ]
    made += [(metric, links) for metric in (catalog.LINK_UP, catalog.LINK_RTT, catalog.LINK_JITTER, catalog.LINK_LOSS)]
    made += [(metric, fronts) for metric in (catalog.SYSTEM_UP, catalog.SYSTEM_ACTIVE, catalog.SYSTEM_RESPONSE)]
    missing = 50_000 - sum(len(labels) for _, labels in made)
    assert 0 < missing < VMS, missing
    made.append((catalog.ALARM_ACTIVE, [("vm-down", subject, "warning") for subject in subjects[:missing]]))
    return made


def families(values: dict[tuple[str, tuple[str, ...]], float]) -> list[Family]:
    """Return the snapshot of one moment."""
    return [
        Family(metric, tuple((labels, values[metric.name, labels]) for labels in every)) for metric, every in SERIES
    ]


SERIES = series()


def measured(prepare: Callable[[], None], render: Callable[[], bytes]) -> tuple[Cost, bytes]:
    """Return the median cost of rendering, each round prepared before; and the last page."""
    costs, page = [], b""
    for _ in range(ROUNDS):
        prepare()
        gc.collect()
        with Watch() as watch:
            page = render()
        costs.append(watch.cost)
    return median(costs), page


def main() -> int:
    """Run all of it."""
    chance = random.Random(1)  # noqa: S311 - the same figures each time
    values = {(metric.name, labels): chance.random() for metric, every in SERIES for labels in every}
    keys = list(values)
    now = families(values)

    def change(part: float) -> None:
        for key in chance.sample(keys, int(len(keys) * part)):
            values[key] = chance.random()
        now[:] = families(values)

    def fresh() -> None:
        exporter[0] = Exporter()

    exporter = [Exporter()]
    rows = []
    for name, prepare in (
        ("karaula, first page", fresh),
        ("karaula, nothing changed", lambda: change(0)),
        ("karaula, a tenth changed", lambda: change(0.1)),
        ("karaula, everything changed", lambda: change(1)),
    ):
        cost, ours = measured(prepare, lambda: exporter[0].render(now)[0])
        rows.append((name, cost))
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(now))

    def theirs() -> bytes:
        return generate_latest(registry)

    cost, page = measured(lambda: None, theirs)
    rows.append(("prometheus_client, generate_latest", cost))
    assert sorted(samples(page)) == sorted(samples(ours)), "the two pages differ"
    print(machine())
    print(f"{len(keys)} samples, {len(ours) / 1e6:.1f} MB a page; medians of {ROUNDS}")
    table("/metrics; times: wall / processor beside a page of which a tenth changed", rows, beside=2)
    return 0


def samples(page: bytes) -> list[str]:
    """Return the lines that are no comments."""
    return [line for line in page.decode().splitlines() if not line.startswith("#")]


if __name__ == "__main__":
    sys.exit(main())

"""Performance counters of VMs as vim25 shows them: measured every 20 seconds, only of machines that run.

What a counter says depends on machine, counter and the 20 seconds alone, so that asking twice gives the same.
Source: vSphere Web Services API 8.0, PerformanceManager (QueryPerf, QueryPerfProviderSummary, perfCounter).
"""

from __future__ import annotations

import random

from lab.scenario import Estate
from lab.servers.vcenter_objects import Objects
from lab.servers.vcenter_soap import Call, Many, Ref, Struct, Value, VimFault, Word, ref_of, stamp
from lab.servers.vcenter_storage import long

MANAGER = Ref("PerformanceManager", "PerfMgr")
REFRESH_S = 20
MOST_METRICS = 64 * 64  # of one query
# id: group, name, rollup, unit, a quiet and a busy value
COUNTERS: dict[int, tuple[str, str, str, str, int, int]] = {
    2: ("cpu", "usage", "average", "percent", 400, 4500),
    12: ("cpu", "ready", "summation", "millisecond", 20, 900),
    24: ("mem", "usage", "average", "percent", 1500, 6000),
    85: ("mem", "swapped", "average", "kiloBytes", 0, 0),
    90: ("mem", "vmmemctl", "average", "kiloBytes", 0, 0),
    130: ("disk", "read", "average", "kiloBytesPerSecond", 10, 4000),
    131: ("disk", "write", "average", "kiloBytesPerSecond", 50, 9000),
    133: ("disk", "maxTotalLatency", "latest", "millisecond", 0, 18),
    148: ("net", "received", "average", "kiloBytesPerSecond", 5, 2000),
    149: ("net", "transmitted", "average", "kiloBytesPerSecond", 5, 2500),
}


def counters() -> Many:
    """Return the property ``perfCounter``."""
    return Many("PerfCounterInfo", tuple(_counter(number, *one[:4]) for number, one in COUNTERS.items()))


def _counter(number: int, group: str, name: str, rollup: str, unit: str) -> Struct:
    return Struct(
        "PerfCounterInfo",
        {
            "key": number,
            "nameInfo": _described(name),
            "groupInfo": _described(group),
            "unitInfo": _described(unit),
            "rollupType": Word("PerfSummaryType", rollup),
            "statsType": Word("PerfStatsType", "delta" if rollup == "summation" else "rate"),
            "level": 1,
            "perDeviceLevel": 3,
        },
    )


def _described(key: str) -> Struct:
    return Struct("ElementDescription", {"label": key, "summary": key, "key": key})


class Performance:
    """The PerformanceManager of one vCenter."""

    def __init__(self, estate: Estate, objects: Objects) -> None:
        self._estate = estate
        self._objects = objects

    def summary(self, call: Call) -> Struct:
        """Answer QueryPerfProviderSummary. Raises VimFault."""
        entity = call.ref("entity")
        if entity is None or entity.type not in {"VirtualMachine", "HostSystem"}:
            raise VimFault("InvalidArgument", "There is no provider of this.", {"invalidProperty": "entity"})
        self._objects.properties(entity)
        return Struct(
            "PerfProviderSummary",
            {"entity": entity, "currentSupported": True, "summarySupported": True, "refreshRate": REFRESH_S},
        )

    def query(self, call: Call) -> list[Struct]:
        """Answer QueryPerf: of each machine the newest sample. Raises VimFault, for all of it when one has gone."""
        specs = call.arguments.findall("querySpec")
        if sum(max(1, len(spec.findall("metricId"))) for spec in specs) > MOST_METRICS:
            raise VimFault("InvalidArgument", "A query of so many counters.", {"invalidProperty": "querySpec"})
        slot = int(self._estate.now() // REFRESH_S)
        answers = []
        for spec in specs:
            entity = ref_of(spec.find("entity"))
            if entity is None or entity.type != "VirtualMachine":
                raise VimFault("InvalidArgument", "Here only VMs are measured.", {"invalidProperty": "entity"})
            wanted = [int(one.findtext("counterId", "0")) for one in spec.findall("metricId")]
            answers.append(self._newest(entity, wanted, slot))
        return answers

    def _newest(self, entity: Ref, wanted: list[int], slot: int) -> Struct:
        fields: dict[str, Value] = {"entity": entity}
        if self._estate.up(self._objects.machine(entity)):
            info = Struct("PerfSampleInfo", {"timestamp": stamp(slot * REFRESH_S), "interval": REFRESH_S})
            fields["sampleInfo"] = Many("PerfSampleInfo", (info,))
            series = tuple(_series(entity, number, slot) for number in wanted if number in COUNTERS)
            fields["value"] = Many("PerfMetricIntSeries", series)
        return Struct("PerfEntityMetric", fields)


def _series(entity: Ref, number: int, slot: int) -> Struct:
    low, high = COUNTERS[number][4:]
    value = random.Random(f"{entity.id}/{number}/{slot}").triangular(low, high, low + (high - low) / 5)
    identity = Struct("PerfMetricId", {"counterId": number, "instance": ""})
    return Struct("PerfMetricIntSeries", {"id": identity, "value": Many("long", (long(value),))})

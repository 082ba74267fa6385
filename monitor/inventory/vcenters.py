"""vCenters: where they answer, what is too much of their snapshots and datastores, which counters are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.values import Endpoint, Key, Model, Number, Percent, Reference, Seconds, Text, Whole

MOST_COUNTERS = 6  # a VM; each costs the vCenter and us a value a VM and round
Measure = Literal[
    "cpu-usage",
    "cpu-ready",
    "memory-usage",
    "memory-swapped",
    "memory-ballooned",
    "disk-read",
    "disk-write",
    "disk-latency",
    "network-received",
    "network-transmitted",
]
USUAL: tuple[Measure, ...] = ("cpu-usage", "cpu-ready", "memory-usage", "disk-latency", "disk-read", "disk-write")


class Performance(Model):
    """Performance counters of every running VM, read by a clock of their own."""

    interval_s: Annotated[Seconds, Field(ge=20)] = Field(60, description="a vCenter measures every 20 s")
    counters: tuple[Measure, ...] = Field(USUAL, max_length=MOST_COUNTERS, description="none: none are read")


class VcenterLimits(Model):
    """What is too old, too large or too full."""

    snapshot_age_s: Seconds = Field(3 * 86400, description="an older snapshot of a VM is a warning")
    snapshot_gib: Annotated[Number, Field(gt=0)] = Field(100, description="larger snapshots of a VM are a warning")
    datastore_warn_free_percent: Percent = 15
    datastore_alarm_free_percent: Percent = 5
    datastores_that_may_fill: tuple[Text, ...] = Field((), description="names; of images and the like, always full")


class Vcenter(Endpoint):
    """A vCenter Server; VMs are found in it by name."""

    site: Key
    user: Text
    credential: Reference
    bubble_network: Text = Field(
        description="port group without a way out; a drill's clones are plugged into it before they start",
        examples=["drill-bubble"],
    )
    datacenter: str = Field("", description="limit to one datacenter; empty means the whole inventory")
    limits: VcenterLimits = VcenterLimits()
    performance: Performance = Performance()
    tags_interval_s: Annotated[Seconds, Field(ge=20)] = Field(
        60, description="how often tags are read when a rule goes by one; each takes about three requests"
    )


class VmRule(Model):
    """VMs that belong to a tier because of where they are kept or how they are marked, besides those named.

    They are watched as if they were named; a recovery moves the named ones only.
    """

    tier: Literal["database", "application", "web"]
    folder: Text | None = Field(None, description="path of the folder, with all below it", examples=["main/vm/CDEPS"])
    attribute: Text | None = Field(None, description="name of a custom attribute")
    value: Text | None = Field(None, description="what the custom attribute says")
    category: Text | None = Field(None, description="category of the tag")
    tag: Text | None = Field(None, description="name of a tag of the VM itself (folders hand none down)")
    at_least: Annotated[Whole, Field(ge=1, le=10_000)] = Field(1, description="fewer VMs than that are a fault")

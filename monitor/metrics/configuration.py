"""What ``/metrics`` shows of the configuration: when it was read, whether it was refused; and of the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from monitor.metrics.catalog import Family, Metric

if TYPE_CHECKING:
    from monitor.inventory.shard import Shard

LOADED = Metric(
    "karaula_configuration_loaded_timestamp_seconds",
    "gauge",
    "seconds",
    (),
    "When the configuration in force was read",
)
REFUSED = Metric(
    "karaula_configuration_refused",
    "gauge",
    "",
    (),
    "1 while a changed configuration has mistakes and the one before goes on, else 0",
)
FINGERPRINT = Metric(
    "karaula_configuration_fingerprint",
    "gauge",
    "",
    (),
    "The first 48 bits of the SHA-256 of the inventory in force; the same in every daemon that shares an estate",
)
SHARD_INFO = Metric(
    "karaula_shard_info",
    "gauge",
    "",
    ("shard", "shards"),
    "Always 1: which part of the estate this daemon watches, and of how many",
)
TASKS = Metric(
    "karaula_event_loop_tasks", "gauge", "", (), "Tasks of the daemon's event loop: what it has under way at once"
)
SHARDS = Metric("karaula_shards", "gauge", "", (), "How many daemons share the estate, as this one was told")
METRICS: tuple[Metric, ...] = (LOADED, REFUSED, FINGERPRINT, SHARD_INFO, SHARDS, TASKS)
_SHOWN = 12  # hexadecimal digits that a float holds exactly


def families(loaded_at: float, sha256: str, shard: Shard, *, refused: bool) -> list[Family]:
    """Return the families; ``loaded_at`` is Unix seconds. To be called in the event loop."""
    return [
        Family(LOADED, (((), loaded_at),)),
        Family(REFUSED, (((), float(refused)),)),
        Family(FINGERPRINT, (((), float(int(sha256[:_SHOWN] or "0", 16))),)),
        Family(SHARD_INFO, (((str(shard.number), str(shard.count)), 1.0),)),
        Family(SHARDS, (((), float(shard.count)),)),
        Family(TASKS, (((), float(len(asyncio.all_tasks()))),)),
    ]

"""What ``/metrics`` shows of the configuration: when it was read, whether a changed one was refused, which shard."""

from __future__ import annotations

from monitor.metrics.catalog import Family, Metric

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
SHARD_INFO = Metric(
    "karaula_shard_info",
    "gauge",
    "",
    ("shard", "shards"),
    "Always 1: which part of the estate this daemon watches, and of how many",
)
METRICS: tuple[Metric, ...] = (LOADED, REFUSED, SHARD_INFO)


def families(loaded_at: float, *, refused: bool, shard: int, shards: int) -> list[Family]:
    """Return the families; ``loaded_at`` is Unix seconds, ``shard`` counts from 1."""
    return [
        Family(LOADED, (((), loaded_at),)),
        Family(REFUSED, (((), float(refused)),)),
        Family(SHARD_INFO, (((str(shard), str(shards)), 1.0),)),
    ]

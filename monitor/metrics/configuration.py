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
SHARDS = Metric("karaula_shards", "gauge", "", (), "How many daemons share the estate, as this one was told")
METRICS: tuple[Metric, ...] = (LOADED, REFUSED, FINGERPRINT, SHARD_INFO, SHARDS)
_SHOWN = 12  # hexadecimal digits that a float holds exactly


def families(loaded_at: float, sha256: str, *, refused: bool, shard: int, shards: int) -> list[Family]:
    """Return the families; ``loaded_at`` is Unix seconds, ``shard`` counts from 1."""
    return [
        Family(LOADED, (((), loaded_at),)),
        Family(REFUSED, (((), float(refused)),)),
        Family(FINGERPRINT, (((), float(int(sha256[:_SHOWN] or "0", 16))),)),
        Family(SHARD_INFO, (((str(shard), str(shards)), 1.0),)),
        Family(SHARDS, (((), float(shards)),)),
    ]

"""Further checks that belong to a site or system."""

from __future__ import annotations

from typing import Literal

from monitor.inventory.values import Host, Key, Model, Port, Url


class Check(Model):
    """A further TCP or HTTP check that belongs to a site or system."""

    probe: Literal["tcp", "http", "icmp"]
    site: Key
    address: Host
    port: Port | None = None
    url: Url | None = None

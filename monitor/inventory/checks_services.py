"""Checks of services that are asked in their own protocol: PostgreSQL's replication, NTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.checks_hosts import Limits
from monitor.inventory.values import Host, Key, Port, Reference, Seconds, Text, Whole

GIB = 1024**3

Count = Annotated[Whole, Field(ge=0, le=100)]
Bytes = Annotated[Whole, Field(gt=0, le=2**60)]


class PostgresqlCheck(Limits):
    """A PostgreSQL server must answer, be what it should be, and its standbys must keep up.

    The user needs ``pg_monitor``. Behind: how long, and how far, the standby (of a primary: the one furthest behind)
    lacks what was written.
    """

    probe: Literal["postgresql"]
    site: Key
    address: Host
    port: Port = 5432
    server_name: Host | None = Field(None, description="the name in its certificate, where that is not the address")
    user: Text
    credential: Reference = Field(description="the user's password")
    database: Text = "postgres"
    role: Literal["any", "primary", "standby"] = "any"
    warn_s: Seconds = 30
    alarm_s: Seconds = 300
    warn_behind_bytes: Bytes | None = None
    standbys: Count = Field(0, description="how many must stream from it while it is primary")
    sync_standbys: Count = Field(0, description="how many of them a commit must be able to wait for")
    warn_retained_bytes: Bytes = Field(8 * GIB, description="log that a replication slot may keep before it is a worry")


class NtpCheck(Limits):
    """An NTP server must be synchronized and agree with this machine's clock; half of the round trip stays open."""

    probe: Literal["ntp"]
    site: Key
    address: Host
    port: Port = 123
    warn_s: Seconds = 0.1
    alarm_s: Seconds = 1
    max_stratum: Annotated[Whole, Field(ge=1, le=15)] = Field(15, description="a higher one is degraded")


ServiceCheck = PostgresqlCheck | NtpCheck

"""Checks of services that are asked in their own protocol: PostgreSQL, NTP, LDAP, names, certificates."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from monitor import ldapfilter
from monitor.inventory.checks_hosts import Days, Limits
from monitor.inventory.values import Flag, Host, Key, Model, Port, Reference, Seconds, Text, Whole

GIB = 1024**3
NAME = r"^[A-Za-z0-9_.*-]{1,253}$"

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


class DnsCheck(Model):
    """A DNS server must give the answer that is expected of it."""

    probe: Literal["dns"]
    site: Key
    address: Host = Field(description="the server that is asked, not the name")
    port: Port = 53
    name: Annotated[str, Field(pattern=NAME)]
    record: Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"] = "A"
    expect: tuple[Text, ...] = Field(
        (), max_length=100, description="exactly these records, in any order; left out: any, but at least one"
    )
    rcode: Literal["NOERROR", "NXDOMAIN", "REFUSED"] = Field(
        "NOERROR", description="NXDOMAIN where the name must not be there, REFUSED where the server must not tell us"
    )
    recursive: Flag = Field(default=False, description="true for a resolver; else the server's own word is asked for")

    @model_validator(mode="after")
    def _expects_what_can_be(self) -> Self:
        if self.expect and self.rcode != "NOERROR":
            raise ValueError(f"nothing can be expected of an answer {self.rcode}; leave out expect or rcode")
        return self


class TlsCheck(Model):
    """A server's certificate must be trusted, be its own and not end soon."""

    probe: Literal["tls"]
    site: Key
    address: Host
    port: Port = 443
    name: Host | None = Field(None, description="the name that it must be for, where that is not the address")
    warn_days: Days = 30
    alarm_days: Days = 7

    @property
    def door(self) -> tuple[str, int]:
        """The address and port that it connects to."""
        return self.address, self.port

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.alarm_days >= self.warn_days:
            raise ValueError(f"alarm_days must be less than warn_days ({self.warn_days:g}), found {self.alarm_days:g}")
        return self


class LdapCheck(Model):
    """A directory must take the log-in, and a search must find its entries; over verified TLS only."""

    probe: Literal["ldap"]
    site: Key
    address: Host
    tls: Literal["ldaps", "starttls"] = "ldaps"
    port: Port | None = Field(None, description="636 for ldaps, 389 for starttls when left out")
    server_name: Host | None = Field(None, description="the name in its certificate, where that is not the address")
    bind_dn: Text | None = Field(None, description="who logs in; left out: nobody in particular")
    credential: Reference | None = Field(None, description="the password of bind_dn")
    base: Annotated[str, Field(max_length=500)] = Field(description="the entry to search at or below")
    scope: Literal["base", "one", "sub"] = "sub"
    filter: Annotated[str, AfterValidator(ldapfilter.check)] = Field("(objectClass=*)", description="RFC 4515")
    entries: Annotated[Whole, Field(ge=1, le=1000)] = Field(1, description="how many must be found")

    @model_validator(mode="after")
    def _log_in_whole(self) -> Self:
        if (self.bind_dn is None) is not (self.credential is None):
            missing, given = ("credential", "bind_dn") if self.credential is None else ("bind_dn", "credential")
            raise ValueError(f"'{missing}' is missing: {given} needs it")
        return self


ServiceCheck = PostgresqlCheck | NtpCheck | DnsCheck | TlsCheck | LdapCheck

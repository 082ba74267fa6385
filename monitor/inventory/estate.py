"""The administration as a whole, what proves identities, and how often things are asked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.inventory.values import Host, Model, Number, Reference, Seconds, Text, Timezone, Whole


class Estate(Model):
    """The administration as a whole."""

    name: Text
    timezone: Timezone = Field(description="IANA name; schedules and reports are in it", examples=["Europe/Skopje"])
    domain: Host


class Trust(Model):
    """What proves a server's identity; both are file names below the credentials directory."""

    tls_ca: Reference = Field(description="PEM bundle that signs the servers' certificates")
    known_hosts: Reference = Field(description="OpenSSH known_hosts file with every SSH host's key")


class Polling(Model):
    """How often things are asked, and when a changed answer is believed."""

    interval_s: Seconds = 10
    deadline_s: Seconds = 3
    fail_after: Annotated[Whole, Field(ge=1, le=20)] = Field(2, description="failures in a row before DOWN")
    recover_after: Annotated[Whole, Field(ge=1, le=20)] = Field(2, description="successes in a row before OK")
    stale_after_s: Seconds = Field(35, description="an answer older than this is UNKNOWN")


class Flapping(Model):
    """When something changes to and fro so often that it is told once, as flapping (RFC 2439, section 4.2).

    Each change adds 1 to a penalty that halves every ``half_life_s``; at ``high`` it flaps, at ``low`` it has settled,
    which takes two half-lives at most.
    """

    half_life_s: Seconds = 300
    high: Annotated[Number, Field(gt=1, le=100)] = 5
    low: Annotated[Number, Field(gt=0, le=100)] = 2

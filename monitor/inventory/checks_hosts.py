"""Checks of what a host says of itself by SSH: disks, units, certificates, clock, and a command that prints a lag.

All of one host are asked in one command over one connection. Each is a subject and an alarm of its own: a disk that has
been full for days must not hide a service that failed today.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from monitor.inventory.values import Flag, Key, Model, Number, Percent, Seconds, Text

PATH = r"^(/|(/[!-.0-~]+)+)$"
UNIT = r"^[A-Za-z0-9_][A-Za-z0-9:_.\\@-]{0,254}$"

FilePath = Annotated[str, Field(max_length=500, pattern=PATH)]
Days = Annotated[Number, Field(gt=0, le=3650)]


class DiskCheck(Model):
    """A file system must be mounted and have room, for bytes and for inodes.

    Percentages are of what an ordinary user may fill, as ``df`` counts.
    """

    probe: Literal["disk"]
    host: Key
    mount: FilePath = Field(description="where it is mounted")
    warn_free_percent: Percent = 15
    alarm_free_percent: Percent = 5

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.alarm_free_percent >= self.warn_free_percent:
            raise ValueError(
                f"alarm_free_percent must be less than warn_free_percent ({self.warn_free_percent:g}), "
                f"found {self.alarm_free_percent:g}"
            )
        return self


class UnitCheck(Model):
    """A systemd unit must be active."""

    probe: Literal["unit"]
    host: Key
    unit: Annotated[str, Field(pattern=UNIT)] = Field(description="as systemctl names it", examples=["nginx.service"])


class CertificateCheck(Model):
    """The first certificate in a PEM file on the host must not end soon."""

    probe: Literal["certificate"]
    host: Key
    path: FilePath
    warn_days: Days = 30
    alarm_days: Days = 7

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.alarm_days >= self.warn_days:
            raise ValueError(f"alarm_days must be less than warn_days ({self.warn_days:g}), found {self.alarm_days:g}")
        return self


class Limits(Model):
    """How far something may be off or behind, in seconds."""

    warn_s: Seconds
    alarm_s: Seconds

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.alarm_s <= self.warn_s:
            raise ValueError(f"alarm_s must be more than warn_s ({self.warn_s:g}), found {self.alarm_s:g}")
        return self


class ClockCheck(Limits):
    """The host's clock must agree with ours; what the round trip leaves open is counted for the host."""

    probe: Literal["clock"]
    host: Key
    warn_s: Seconds = 0.5
    alarm_s: Seconds = 5
    synchronized: Flag = Field(default=False, description="chronyd on the host must also say that it is synchronized")


class LagCheck(Limits):
    """A command on the host prints how many seconds a replica is behind."""

    probe: Literal["lag"]
    host: Key
    command: tuple[Text, ...] = Field(min_length=1, description="prints one number, seconds")
    warn_s: Seconds = 30
    alarm_s: Seconds = 300


HostCheck = DiskCheck | UnitCheck | CertificateCheck | ClockCheck | LagCheck

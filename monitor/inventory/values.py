"""The kinds of single values that the inventory is made of, and the base of its models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from monitor.inventory import rules

KEY = r"^[a-z][a-z0-9-]{0,62}$"
HOST = r"^[A-Za-z0-9.:_-]+$"
REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
OID = r"^1(\.[0-9]+){2,60}$"
IPV4 = r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$"
VRRP_INSTANCE = r"^[0-9]{1,10}\.[0-9]{1,3}$"
PAGE = r"^/[!-~]{0,500}$"
SUBJECT = r"^[a-z]+/[!-~]{1,200}$"

Key = Annotated[str, Field(pattern=KEY, description="lower case, digits and dashes")]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=HOST)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[Number, Field(gt=0, le=31 * 86400)]
Percent = Annotated[Number, Field(ge=0, le=100)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Reference = Annotated[
    str,
    Field(pattern=REFERENCE, description="file name below the credentials directory"),
]
Subject = Annotated[str, Field(pattern=SUBJECT, description="what is watched, as karaula status shows it")]
Severity = Literal["info", "warning", "critical"]
Url = Annotated[str, Field(max_length=2000), AfterValidator(rules.url)]
Cron = Annotated[str, Field(description="five fields, in the estate's time zone"), AfterValidator(rules.cron)]
Timezone = Annotated[str, Field(description="IANA name"), AfterValidator(rules.timezone)]
AlarmName = Literal[
    "system-down",
    "system-degraded",
    "split-brain",
    "site-down",
    "crossing-cut-off",
    "crossing-on-backup",
    "crossing-degraded",
    "redundancy-lost",
    "link-down",
    "link-degraded",
    "router-down",
    "path-down",
    "vcenter-down",
    "vcenter-degraded",
    "vm-down",
    "vm-degraded",
    "esx-down",
    "esx-degraded",
    "datastore-alarm",
    "datastore-warning",
    "host-down",
    "host-untrusted",
    "database-down",
    "front-down",
    "sensor-alarm",
    "sensor-warning",
    "sensor-fault",
    "ups-on-battery",
    "ups-low-battery",
    "danger-confirmed",
    "check-down",
    "check-degraded",
    "dns-down",
    "vip-down",
    "power-controller-down",
    "anchor-down",
    "vantage-down",
    "group-down",
    "flapping",
    "unknown",
]


class Model(BaseModel):
    """Base of all: unknown keys are mistakes, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(Model):
    """An address and port to connect to."""

    address: Host
    port: Port

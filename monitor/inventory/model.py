"""The typed shape of ``inventory.yaml``: what exists, what depends on what, who answers for it.

Shape and single values are checked here; what one entry says of another (an operator that exists, a VM that
belongs to the vCenter named) is checked by ``read.py``, which knows line and column. Numbers carry their unit in
the name: ``_s`` seconds, ``_ms`` milliseconds, ``_percent``.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, PrivateAttr, model_validator

from monitor.inventory.ansible import AnsibleProject
from monitor.inventory.behaviour import Alertmanager, Notify, Response, Schedule
from monitor.inventory.checks import Check
from monitor.inventory.crossings import Crossing, Links, Operator
from monitor.inventory.database import DatabaseKind
from monitor.inventory.equipment import DnsServer, PowerController, Site, SshHost
from monitor.inventory.estate import Estate, Flapping, Polling, Trust
from monitor.inventory.evidence import Evidence
from monitor.inventory.planning import Group, PlannedDowntime
from monitor.inventory.recovery import LeaseTimes, Proofs, ReadinessLimits, Right, SafetyRule, Window
from monitor.inventory.sensors import Sensor, SnmpUser, Vote
from monitor.inventory.systems import System
from monitor.inventory.values import Key, Model
from monitor.inventory.vantage import Vantage
from monitor.inventory.vcenters import Vcenter
from monitor.problem import Problem
from monitor.yamlfile import At, Document, Path, dotted


class Inventory(Model):
    """The whole file.

    ``problem()`` makes a Problem that points into it, for readers of other files that refer to it.
    """

    estate: Estate
    trust: Trust
    polling: Polling = Polling()
    flapping: Flapping = Flapping()
    vantage: Vantage = Vantage()
    sites: dict[Key, Site]
    vcenters: dict[Key, Vcenter]
    hosts: dict[Key, SshHost]
    power_controllers: dict[Key, PowerController]
    dns_servers: dict[Key, DnsServer]
    ansible: dict[Key, AnsibleProject] = Field(default_factory=dict)
    database_kinds: dict[Key, DatabaseKind]
    systems: dict[Key, System]
    operators: dict[Key, Operator]
    crossings: dict[Key, Crossing]
    links: dict[Key, Links]
    snmp_users: dict[Key, SnmpUser] = Field(default_factory=dict)
    sensors: dict[Key, Sensor]
    votes: dict[Key, Vote] = Field(default_factory=dict)
    checks: dict[Key, Check] = Field(default_factory=dict)
    schedules: dict[Key, Schedule] = Field(default_factory=dict)
    responses: dict[Key, Response] = Field(default_factory=dict)
    lease: LeaseTimes = LeaseTimes()
    proofs: Proofs = Proofs()
    readiness: ReadinessLimits = ReadinessLimits()
    safety: dict[Key, SafetyRule] = Field(default_factory=dict)
    windows: dict[Key, Window] = Field(default_factory=dict)
    rights: dict[Key, Right] = Field(default_factory=dict)
    groups: dict[Key, Group] = Field(default_factory=dict)
    downtimes: dict[Key, PlannedDowntime] = Field(default_factory=dict)
    alertmanager: Alertmanager | None = None
    notify: Notify = Notify()
    evidence: Evidence | None = None
    _document: Document | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _join_database_kinds(self) -> Self:
        for system in self.systems.values():
            system.database.join(self.database_kinds)
        return self

    def written_in(self, document: Document) -> None:
        """Remember where this inventory stands written. For ``read.py``."""
        self._document = document

    @property
    def sha256(self) -> str:
        """Return the fingerprint of the file that this was read from; empty when it was not read from a file."""
        return "" if self._document is None else self._document.sha256

    def problem(self, path: Path, message: str, hint: str = "", at: At = "value") -> Problem:
        """Return a mistake at ``path``, with line and column when the inventory was read from a file."""
        if self._document is None:
            return Problem("inventory", 1, 1, dotted(path), message, hint)
        return self._document.problem(path, message, hint, at)

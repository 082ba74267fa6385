"""What one observation says of its subject's health, by the kind of subject.

Service levels come from the inventory. What a sensor says is judged in ``sensor``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.inventory.checks_hosts import HostCheck
from monitor.probe import Answer
from monitor.status import checks, vsphere
from monitor.status.hysteresis import Judgement
from monitor.status.sensor import sensor
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.inventory.crossings import Sla
    from monitor.inventory.model import Inventory
    from monitor.probe import Observation

UNTRUSTED = "untrusted"


def judge(observation: Observation, inventory: Inventory) -> Judgement:
    """Return the health that ``observation`` alone speaks for."""
    kind, _, name = observation.subject.partition("/")
    special = _JUDGES.get(kind)
    return special(observation, name, inventory) if special else _plain(observation)


def sla_of(inventory: Inventory, crossing: str, which: str) -> Sla:
    """Return the service level of a link: its own or its operator's. Raises KeyError."""
    pair = inventory.links[crossing]
    link = pair.primary if which == "primary" else pair.backup
    return link.sla or inventory.operators[link.operator].sla


def _plain(observation: Observation) -> Judgement:
    if observation.answer is Answer.OK:
        return Judgement(Health.OK)
    if observation.answer is Answer.UNKNOWN:
        return Judgement(Health.UNKNOWN, observation.reason or "the answer is not known")
    detail = UNTRUSTED if observation.facts.get("error") == UNTRUSTED else ""
    return Judgement(Health.DOWN, observation.reason or "failed", detail)


def _link(observation: Observation, name: str, inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    crossing, _, which = name.partition("/")
    if plain.health is not Health.OK or crossing not in inventory.links:
        return plain
    sla = sla_of(inventory, crossing, which)
    found = []
    loss_percent = 100 * observation.values.get("loss_ratio", 0.0)
    if loss_percent > sla.loss_percent:
        found.append(f"loss {loss_percent:.3g} % is over the agreed {sla.loss_percent:g} %")
    rtt_ms = 1000 * observation.values.get("rtt_seconds", 0.0)
    if rtt_ms > sla.rtt_ms:
        found.append(f"round trip {rtt_ms:.3g} ms is over the agreed {sla.rtt_ms:g} ms")
    return Judgement(Health.DEGRADED, "; ".join(found)) if found else plain


def _check(observation: Observation, name: str, inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    check = inventory.checks.get(name)
    if plain.detail == UNTRUSTED and isinstance(check, HostCheck):  # as of a database: nothing is known of our host
        return Judgement(Health.UNKNOWN, plain.reason, UNTRUSTED)
    if plain.health is not Health.OK or check is None:
        return plain
    try:
        return checks.judge(check, observation)
    except KeyError as error:  # the answer lacks what it is to be judged by: nothing is known
        return Judgement(Health.UNKNOWN, f"the answer has no {error.args[0]}")


def _database(observation: Observation, _name: str, _inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    if plain.detail == UNTRUSTED:  # the machine that answers is not the one we know: nothing is known of ours
        return Judgement(Health.UNKNOWN, plain.reason, UNTRUSTED)
    role = observation.facts.get("role", "")
    if plain.health is not Health.OK:
        return plain
    if role == "stopped":
        return Judgement(Health.DOWN, "the database is stopped")
    if role not in ("primary", "standby"):
        return Judgement(Health.UNKNOWN, f"the database calls itself '{role}'" if role else "the database gave no role")
    return plain


def _vip(observation: Observation, _name: str, _inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    if plain.detail == UNTRUSTED:  # as of a database
        return Judgement(Health.UNKNOWN, plain.reason, UNTRUSTED)
    return plain


def _vcenter(observation: Observation, _name: str, _inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    return vsphere.vcenter(observation) if plain.health is Health.OK else plain


def _vm(observation: Observation, name: str, inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    return vsphere.vm(observation, name, inventory) if plain.health is Health.OK else plain


def _datastore(observation: Observation, name: str, inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    return vsphere.datastore(observation, name, inventory) if plain.health is Health.OK else plain


def _dns(observation: Observation, _name: str, _inventory: Inventory) -> Judgement:
    plain = _plain(observation)
    refused = observation.facts.get("key_refused", "")
    if plain.health is Health.OK and refused:
        return Judgement(Health.DEGRADED, f"it serves its zones, and an update would fail: {refused}")
    return plain


_JUDGES: dict[str, Callable[[Observation, str, Inventory], Judgement]] = {
    "link": _link,
    "database": _database,
    "vip": _vip,
    "sensor": sensor,
    "vcenter": _vcenter,
    "esx": _vcenter,
    "vm": _vm,
    "datastore": _datastore,
    "check": _check,
    "dns": _dns,
}

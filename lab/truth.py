"""The truth as JSON documents for the control port: what people look at and tests compare with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lab.faults import KINDS, NEEDED, ONCE
from lab.scenario import Estate


def truth(estate: Estate, system: str) -> dict[str, Any]:
    """Return what is true of one system.

    ``lost`` counts declarations that were acknowledged and are in no writable ledger; it is None while no site is
    writable. ``ever_double_writable`` and ``production_clone`` (a drill's clone ran while plugged in outside of the
    bubble network) never become false again. Raises KeyError for an unknown system.
    """
    plan = estate.plan.systems[system]
    databases = {site: estate.database(system, site) for site in plan.deployments}
    writable = estate.writable_sites(system)
    receipts = estate.acknowledged[system]
    lost = None
    if writable:
        lost = sum(not any(databases[site].has(one) for site in writable) for one in receipts.ids)
    memory = estate.writable[system]
    return {
        "system": system,
        "writable_sites": list(writable),
        "active": writable[0] if len(writable) == 1 else None,
        "ever_double_writable": bool(memory.doubles),
        "production_clone": bool(estate.exposed[system]),
        "double_writable": [{"at": at, "sites": list(sites)} for at, sites in memory.doubles],
        "acknowledged": len(receipts.ids),
        "not_acknowledged": receipts.refused,
        "newest_position": receipts.newest_position,
        "lost": lost,
        "positions": {site: database.position for site, database in databases.items()},
        "roles": {site: database.role for site, database in databases.items()},
        "epochs": {site: database.epoch for site, database in databases.items()},
        "fronts": {site: estate.alive_front(system, site) for site in plan.deployments},
        "bubbles": {site: estate.bubble(system, site) is not None for site in plan.deployments},
        "addresses": {key: _address(estate, key, plan.fqdn) for key in plan.dns},
        "effects": effects(estate, system),
    }


def effects(estate: Estate, system: str | None = None) -> list[dict[str, Any]]:
    """Return the ledger of effects, of all or of one system."""
    return [asdict(effect) for effect in estate.effects.all(system)]


def faults(estate: Estate) -> dict[str, Any]:
    """Return the faults in force and those that there are."""
    targets = estate.injuries.targets()
    return {
        "faults": [
            {"fault": one.name, "target": one.target, "parameters": dict(one.parameters), "at": one.at}
            for one in estate.faults.all()
        ],
        "kinds": {
            name: {"target": kind, "needs": NEEDED.get(name), "once": name in ONCE, "targets": list(targets[kind])}
            for name, kind in KINDS.items()
        },
    }


def state(estate: Estate) -> dict[str, Any]:
    """Return the whole estate at a glance."""
    plan = estate.plan
    estate.settle()
    return {
        "now": estate.now(),
        "sites": {key: {"power": power} for key, power in estate.power.items()},
        "systems": {key: _without_effects(truth(estate, key)) for key in plan.systems},
        "outlets": {"/".join(key): asdict(estate.outlet(*key)) for key in estate.outlets},
        "machines": {
            f"{key}/{machine.name}": {
                "powered": machine.powered,
                "up": estate.up(machine),
                "system": machine.system,
                "networks": [card.network for card in machine.cards],
            }
            for key, inventory in estate.inventories.items()
            for machine in inventory.machines.values()
        },
        "hosts": {key: estate.host_presence(key).value for key in plan.hosts},
        "vcenters": {key: estate.vcenter_presence(key).value for key in plan.vcenters},
        "dns": {
            key: {"presence": estate.dns_presence(key).value, "serial": zone.serial}
            for key, zone in estate.zones.items()
        },
        "links": {key: asdict(estate.link(key)) for key in plan.links},
        "sensors": {key: {**asdict(estate.sensor(key)), "unit": one.unit} for key, one in plan.sensors.items()},
        "backups": [asdict(manifest) for manifest in estate.vault.manifests.values()],
        "scratches": list(estate.vault.scratches),
        "mails": [asdict(mail) for mail in estate.mails[-50:]],
        "tickets": [asdict(ticket) for ticket in estate.tickets[-50:]],
        "anchors": estate.anchors,
        "faults": faults(estate)["faults"],
    }


def _address(estate: Estate, server: str, name: str) -> str | None:
    record = estate.zones[server].address(name)
    return None if record is None else record.address


def _without_effects(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "effects"}

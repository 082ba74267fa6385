"""Clients of the simulated estate, for the product's own actions: they answer at once, and what they do is the truth's.

See ``sim_truth_kit``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from sim_truth_kit import NAP_S, TIERS, State, Truth

from dr.backups.catalog import Backup
from dr.world import World
from monitor.clients import dns
from monitor.clients.http import HttpReply
from monitor.clients.redfish import OutletGroup
from monitor.clients.ssh import SshResult
from monitor.clients.vsphere import Nic, Vm, Wiring
from monitor.credential import Secret
from monitor.errors import NotFound, Unreachable
from monitor.inventory.equipment import DnsServer, PowerController, SshHost
from monitor.inventory.model import Inventory
from monitor.inventory.systems import Vip, VipPlace

__all__ = ["NAP_S", "Sim", "State", "with_vip"]
STALE = 76


class SimCredentials:
    def secret(self, reference: str) -> Secret:
        return Secret(f"of {reference}")

    def redact(self, text: str) -> str:
        return text


class Sim(Truth):
    """The estate with its clients."""

    # -- the world -----------------------------------------------------------------------------------------------------

    def world(self, newest: Callable[[str], Backup | None], backups: Callable[[str], Sequence[Backup]]) -> World:
        """Return the world that actions act in; the name servers answer for the whole process."""
        made: Any = self
        dns.query_a, dns.replace_a = self.query_a, self.replace_a  # type: ignore[assignment]  # a stand-in
        vcenters: Any = {key: SimVcenter(self, key) for key in self.inventory.vcenters}
        credentials: Any = SimCredentials()
        return World(
            self.inventory,
            credentials,
            self.clock,
            made,
            vcenters,
            made,
            made,
            newest,
            backups=backups,
            observed=self.observed,
            health=lambda _subject: "ok",
        )

    def _reach(self, site: str, what: str) -> None:
        if site in self.state["cut"]:
            raise Unreachable(f"{what} does not answer")

    async def query_a(self, address: str, _port: int, fqdn: str, _timeout_s: float) -> tuple[tuple[str, ...], int]:
        await asyncio.sleep(0)
        key, server = self._server(address)
        self._reach(server.site, key)
        found = self.state["names"][key].get(fqdn)
        return ((found,) if found else ()), 30

    async def replace_a(self, address: str, _port: int, _zone: str, fqdn: str, ip: str, *_rest: object) -> None:
        await asyncio.sleep(0)
        key, server = self._server(address)
        self._reach(server.site, key)

        def point(state: State) -> bool:
            before = state["names"][key].get(fqdn)
            state["names"][key][fqdn] = ip
            return bool(before != ip)

        self.order(f"name at {key}", f"{fqdn} {ip}", point)

    def _server(self, address: str) -> tuple[str, DnsServer]:
        return next((key, one) for key, one in self.inventory.dns_servers.items() if one.address == address)

    async def outlet_group(
        self, controller: PowerController, _password: Secret, group: str, _timeout_s: float
    ) -> OutletGroup:
        await asyncio.sleep(0)
        power = self.state["outlets"][f"{group}/{controller.site}"]
        return OutletGroup(power, 0.0 if power == "Off" else 400.0)

    async def set_power(
        self, controller: PowerController, _password: Secret, group: str, _timeout_s: float, *, on: bool
    ) -> None:
        await asyncio.sleep(0)
        key, power = f"{group}/{controller.site}", "On" if on else "Off"

        def switch(state: State) -> bool:
            before, state["outlets"][key] = state["outlets"][key], power
            if not on:
                deployment = self.inventory.systems[group].sites[controller.site]
                for tier in TIERS:
                    for name in getattr(deployment.vms, tier):
                        state["machines"][deployment.vcenter][name]["on"] = False
            return bool(before != power)

        self.order(f"outlets {power.lower()}", key, switch)

    async def request(self, _method: str, url: str, **more: Any) -> HttpReply:
        await asyncio.sleep(0)
        parts = urlsplit(url)
        connect_to = more.get("connect_to")
        address = connect_to[0] if connect_to else parts.hostname
        if "/receipts/" in parts.path:
            records = max(
                (
                    one["records"]
                    for key, one in self.state["databases"].items()
                    if parts.path.endswith(key.split("/")[0])
                ),
                key=len,
            )
            return _json({"acknowledged": len(records), "newest_position": len(records), "newest_at": time.time()})
        for system, entry in self.inventory.systems.items():
            for site, deployment in entry.sites.items():
                if deployment.front.address == address:
                    return _json(self._front(system, site, bubble=parts.port == deployment.front.bubble_port))
        raise Unreachable(f"{url} is nobody's")

    def _front(self, system: str, site: str, *, bubble: bool) -> State:
        self._reach(site, f"the front of {system} at {site}")
        database = self.state["databases"][f"{system}/{site}"]
        role = "active" if database["role"] == "primary" or bubble else "standby"
        if bubble:
            deployment = self.inventory.systems[system].sites[site]
            ours = {name for tier in TIERS for name in getattr(deployment.vms, tier)}
            machines = self.state["machines"][deployment.vcenter].items()
            clones = [one for name, one in machines if one["of"] != name and one["of"] in ours]
            up = len(clones) == len(ours) and all(one["on"] for one in clones)
        else:
            up = self.serves(system, site)
        if not up:
            raise Unreachable(f"the front of {system} at {site} does not answer")
        position = len(database["records"])
        return {"system": system, "site": site, "role": role, "position": position, "epoch": database["epoch"]}

    # -- hosts ---------------------------------------------------------------------------------------------------------

    async def run(self, host: SshHost, argv: Sequence[str], **_more: Any) -> SshResult:
        await asyncio.sleep(0)
        self._reach(host.site, host.address)
        status, printed = self._perform(host, list(argv))
        return SshResult(status, printed if status == 0 else "", "" if status == 0 else printed, 0.0)

    def _perform(self, host: SshHost, argv: list[str]) -> tuple[int, str]:
        if argv[0] == "ledgerctl":
            return self._ledgerctl(host, argv[1:])
        if argv[0] == "karaula-vip":
            return self._vip(next(key for key, one in self.inventory.hosts.items() if one == host), argv)
        if argv[0] in self.statuses:
            return self.statuses[argv[0]], "said so"
        if argv[0] == "test":
            return int(argv[2] not in self.state["files"]), ""
        if argv[0] == "date":
            return 0, str(int(self.clock.now()))

        def add(state: State) -> bool:
            state["files"].append(argv[1])  # not a set: done twice, it is there twice
            return True

        self.order("command", " ".join(argv), add)
        return 0, ""

    def _ledgerctl(self, host: SshHost, argv: list[str]) -> tuple[int, str]:
        for system, entry in self.inventory.systems.items():
            for site, deployment in entry.sites.items():
                if self.inventory.hosts[deployment.database_host] == host:
                    if not self.alive(system, site):
                        raise Unreachable(f"{host.address} does not answer")
                    return self._database(system, site, argv)
        return self._vault(argv[0], argv[1:])

    def _database(self, system: str, site: str, argv: list[str]) -> tuple[int, str]:
        key, peer = f"{system}/{site}", self.peer(system, site)
        one, other = self.state["databases"][key], self.state["databases"][f"{system}/{peer}"]
        if argv[0] == "status":
            self._settle()
            said = {"role": one["role"], "position": len(one["records"]), "received_at": time.time()}
            return 0, json.dumps({**said, "epoch": one["epoch"], "discarded": one["discarded"]})
        if argv[0] == "backup":
            return 0, json.dumps(self._backup(system, argv[1], one["records"]))
        token = int(argv[argv.index("--epoch") + 1]) if "--epoch" in argv else one["epoch"]
        if token < one["epoch"]:
            return STALE, f"stale fencing token {token}: {system} here has seen {one['epoch']}"

        def promote(state: State) -> bool:
            changed = (one["role"], one["epoch"]) != ("primary", token)
            one.update(role="primary", epoch=token, following=False)
            return changed

        def demote(state: State) -> bool:
            changed = one["role"] == "primary"
            one.update(role="standby", epoch=token, following=True)
            return changed

        def follow(state: State) -> bool:
            pairs = zip(one["records"], other["records"], strict=False)
            common = next(
                (at for at, pair in enumerate(pairs) if pair[0] != pair[1]),
                min(map(len, (one["records"], other["records"]))),
            )
            gone = len(one["records"]) - common
            changed = bool(gone) or one["role"] != "standby"
            if changed:
                one["discarded"] = gone
            one.update(role="standby", following=True, records=one["records"][:common])
            one["epoch"] = max(one["epoch"], other["epoch"])
            return changed

        if argv[0] == "follow" and (not self.alive(system, peer) or self.state["cut"]):
            return 1, f"{peer} does not answer"
        self.order(argv[0], key, {"promote": promote, "demote": demote, "follow": follow}[argv[0]])
        return 0, json.dumps({"discarded": one["discarded"]}) if argv[0] == "follow" else ""

    def _backup(self, system: str, name: str, records: list[str]) -> State:
        digest = hashlib.sha256(json.dumps(records).encode()).hexdigest()
        manifest = {"backup": name, "system": system, "records": len(records), "position": len(records)}
        manifest |= {"newest_id": records[-1], "sha256": digest, "bytes": 1000, "taken_at": self.clock.now()}

        def write(state: State) -> bool:
            found = state["backups"].setdefault(system, {})
            return found.setdefault(name, manifest) is manifest

        self.order("backup", system, write)
        kept: State = self.state["backups"][system][name]
        return kept

    def _vault(self, verb: str, words: list[str]) -> tuple[int, str]:
        kept = {name: one for found in self.state["backups"].values() for name, one in found.items()}
        scratch: State = self.state["scratch"]
        if verb == "check":
            return (0, json.dumps(kept[words[0]])) if words[0] in kept else (1, "there is no such backup")
        if verb == "restore":
            fresh = words[1] not in scratch
            self.order("restore", kept[words[0]]["system"], lambda _s: scratch.update({words[1]: words[0]}) or fresh)
            return 0, ""
        if verb == "query":
            return (0, json.dumps(kept[scratch[words[0]]])) if words[0] in scratch else (1, "there is none")
        there = words[0] in scratch
        self.order("discard", "scratch", lambda _s: scratch.pop(words[0], None) is not None)
        return 0, "" if there else "nothing there"

    def _vip(self, host: str, argv: list[str]) -> tuple[int, str]:
        holders: State = self.state["address"]

        def hold(value: bool) -> bool:
            before, holders[host] = holders.get(host, False), value
            return before is not value

        if argv[1] != "status":
            self.order(f"address {argv[1]}", host, lambda _s: hold(argv[1] == "add"))
        return 0, json.dumps({"holds": bool(holders.get(host, False))})


class SimVcenter:
    """One vCenter of the estate."""

    def __init__(self, sim: Sim, key: str) -> None:
        self.sim, self.key = sim, key
        self.site = sim.inventory.vcenters[key].site

    @property
    def machines(self) -> State:
        self.sim._reach(self.site, self.key)
        found: State = self.sim.state["machines"][self.key]
        return found

    def _order(self, what: str, name: str, apply: Callable[[State], bool]) -> None:
        if name not in self.machines:
            raise NotFound(f"{self.key} has no VM {name}")
        machine = self.machines[name]
        self.sim.order(what, f"{self.key} {'clone of ' if machine['of'] != name else ''}{machine['of']}", apply)

    async def vm(self, name: str) -> Vm | None:
        await asyncio.sleep(0)
        one = self.machines.get(name)
        power: Any = "on" if one and one["on"] else "off"
        return one and Vm(name, name, "", power, "connected", "running", "green", "", template=False, ip="")

    async def power(self, name: str, on: bool, timeout_s: float) -> None:
        await asyncio.sleep(0)

        def switch(_state: State) -> bool:
            before, self.machines[name]["on"] = self.machines[name]["on"], on
            return before is not on

        self._order(f"power {'on' if on else 'off'}", name, switch)

    async def clone(self, name: str, new_name: str, timeout_s: float) -> None:
        await asyncio.sleep(0)
        fresh = {"on": False, "network": "production", "of": name, "snapshots": []}
        self._order("clone", name, lambda _s: self.machines.setdefault(new_name, fresh) is fresh)

    async def plug(self, name: str, network: str, timeout_s: float) -> Wiring:
        await asyncio.sleep(0)

        def plug(_state: State) -> bool:
            before, self.machines[name]["network"] = self.machines[name]["network"], network
            return bool(before != network)

        self._order("plug", name, plug)
        return self._wiring(name)

    async def destroy(self, name: str, timeout_s: float) -> None:
        await asyncio.sleep(0)
        self._order("destroy", name, lambda _s: self.machines.pop(name, None) is not None)

    async def snapshots(self, names: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
        await asyncio.sleep(0)
        return {name: tuple(self.machines[name]["snapshots"]) if name in self.machines else None for name in names}

    async def snapshot(self, name: str, snapshot_name: str, timeout_s: float) -> None:
        await asyncio.sleep(0)  # as in a vCenter: a second one of the same name is one more
        self._order("snapshot", name, lambda _s: self.machines[name]["snapshots"].append(snapshot_name) is None)

    async def remove_snapshot(self, name: str, snapshot_name: str, timeout_s: float) -> None:
        await asyncio.sleep(0)

        def remove(_state: State) -> bool:
            kept: list[str] = self.machines[name]["snapshots"]
            there = snapshot_name in kept
            self.machines[name]["snapshots"] = [one for one in kept if one != snapshot_name]
            return there

        self._order("remove snapshot", name, remove)

    async def wirings(self, names: Sequence[str]) -> dict[str, Wiring | None]:
        await asyncio.sleep(0)
        return {name: self._wiring(name) if name in self.machines else None for name in names}

    async def on_network(self, network: str) -> tuple[str, ...]:
        await asyncio.sleep(0)
        return tuple(name for name, one in self.machines.items() if one["network"] == network)

    def _wiring(self, name: str) -> Wiring:
        one = self.machines[name]
        power: Any = "on" if one["on"] else "off"
        card = Nic("Network adapter 1", one["network"], connected=True, start_connected=True)
        return Wiring(power, (card,), (one["network"],))


def with_vip(inventory: Inventory, system: str) -> Inventory:
    """Return the inventory with an address of its own for ``system``, which stands at its database hosts."""
    entry = inventory.systems[system]
    places = {site: VipPlace(host=one.database_host, interface="eth0") for site, one in entry.sites.items()}
    changed = entry.model_copy(update={"vip": Vip(address="192.0.2.9", prefix=32, sites=places)})
    return inventory.model_copy(update={"systems": {**inventory.systems, system: changed}})


def _json(body: State) -> HttpReply:
    return HttpReply(200, {}, json.dumps(body).encode(), 0.0, None)

"""What is true of a simulated estate, in a file: what was done to it stays done when whoever did it is killed.

Every order is a point at which a test may interfere (``hook``): just before it takes effect, and when it has, before
its answer. The truth counts what changed something, and whether two sites of a system could ever write at one moment.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monitor.errors import SessionLost
from monitor.inventory.model import Inventory

TIERS = ("database", "application", "web")
NAP_S = 0.02  # the longest that anybody sleeps: what is waited for here is there at once
State = dict[str, Any]
Hook = Callable[[str, str], None]  # ("before" or "after", what is done)


class SimClock:
    """The machine's clock, whose wall time may jump; sleepers wake early and look again."""

    def __init__(self) -> None:
        self.jumped_s = 0.0

    def now(self) -> float:
        return time.time() + self.jumped_s

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, NAP_S))


class Truth:
    """What is true of the estate of ``inventory``, kept at ``path``; begins, unless it is there, with main active."""

    def __init__(self, path: Path, inventory: Inventory) -> None:
        self.path = path
        self.inventory = inventory
        self.clock = SimClock()
        self.hook: Hook = lambda _when, _what: None
        self.lost: set[str] = set()  # whose next answer is lost
        self.statuses: dict[str, int] = {}  # what a program ends with
        if not path.exists():
            self.state = self._first()
            self._write()
        else:
            self.state = json.loads(path.read_text(encoding="utf-8"))

    def _first(self) -> State:
        state: State = {
            key: {} for key in ("databases", "outlets", "machines", "names", "backups", "scratch", "address")
        }
        state |= {key: [] for key in ("files", "cut", "orders", "double_active", "astray")}
        state["machines"] = {key: {} for key in self.inventory.vcenters}
        state["names"] = {key: {} for key in self.inventory.dns_servers}
        for system, entry in self.inventory.systems.items():
            for site, deployment in entry.sites.items():
                role = "primary" if site == entry.protected_site else "standby"
                records = [f"{system}-{number}" for number in range(1, 10)]
                database = {"role": role, "epoch": 1, "records": records, "discarded": 0}
                state["databases"][f"{system}/{site}"] = {**database, "following": role == "standby"}
                state["outlets"][f"{system}/{site}"] = "On"
                for tier in TIERS:
                    for name in getattr(deployment.vms, tier):
                        machine = {"on": True, "network": "production", "of": name, "snapshots": []}
                        state["machines"][deployment.vcenter][name] = machine
            front = entry.sites[entry.protected_site].front.address
            for server in entry.service.dns:
                state["names"][server][entry.service.fqdn] = front
        return state

    def _write(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.state), encoding="utf-8")
        fresh.replace(self.path)  # whole, or not at all

    # -- what tests do and see -----------------------------------------------------------------------------------------

    def arrange(self, change: Callable[[State], object]) -> None:
        """Change the truth by hand."""
        change(self.state)
        self._write()

    def changes(self) -> list[str]:
        """Every order so far that changed something: ``what subject``."""
        return [f"{what} {subject}" for what, subject, changed in self.state["orders"] if changed]

    def orders(self) -> list[str]:
        """Every order so far, also those that found their work done."""
        return [f"{what} {subject}" for what, subject, _ in self.state["orders"]]

    def picture(self) -> State:
        """The truth without its history and without the names that a run gives."""
        kept = {key: value for key, value in self.state.items() if key not in {"orders", "backups"}}
        return {**kept, "backups": {system: len(found) for system, found in self.state["backups"].items()}}

    def writable(self, system: str) -> list[str]:
        """Return the sites that would take a declaration: a primary whose front runs, whoever can reach it."""
        return [
            site
            for site in self.inventory.systems[system].sites
            if self.state["databases"][f"{system}/{site}"]["role"] == "primary" and self.serves(system, site)
        ]

    def serves(self, system: str, site: str) -> bool:
        """Tell whether all its machines run."""
        return self.alive(system, site) and all(self.tier_on(system, site, tier) for tier in TIERS)

    def peer(self, system: str, site: str) -> str:
        entry = self.inventory.systems[system]
        return entry.recovery_site if site == entry.protected_site else entry.protected_site

    def alive(self, system: str, site: str) -> bool:
        """Tell whether the database's machine runs."""
        return self.state["outlets"][f"{system}/{site}"] == "On" and self.tier_on(system, site, "database")

    def tier_on(self, system: str, site: str, tier: str) -> bool:
        deployment = self.inventory.systems[system].sites[site]
        machines = self.state["machines"][deployment.vcenter]
        return all(machines[name]["on"] for name in getattr(deployment.vms, tier))

    def observed(self, subject: str) -> Mapping[str, str]:
        """What the monitor would say of a front or a name server."""
        kind, _, rest = subject.partition("/")
        if kind == "dns":
            return {"status": "down" if self.inventory.dns_servers[rest].site in self.state["cut"] else "ok"}
        system, _, site = rest.partition("/")
        if site in self.state["cut"] or not self.alive(system, site):
            return {"status": "down"}
        primary = self.state["databases"][rest]["role"] == "primary"
        return {"status": "ok", "role": "active" if primary else "standby"}

    # -- orders --------------------------------------------------------------------------------------------------------

    def order(self, what: str, subject: str, apply: Callable[[State], bool]) -> bool:
        """Carry out one order; return whether it changed anything. Raises SessionLost where the answer gets lost."""
        self.hook("before", what)
        changed = apply(self.state)
        self.state["orders"].append([what, subject, changed])
        self._settle()
        self._write()
        self.hook("after", what)
        if what in self.lost:
            self.lost.discard(what)
            raise SessionLost(f"the answer to '{what}' got lost")
        return changed

    def _settle(self) -> None:
        """Let standbys receive, and write down what must never be."""
        for system, entry in self.inventory.systems.items():
            for site in entry.sites:
                self._receive(system, site, self.peer(system, site))
            if len(self.writable(system)) > 1:
                self.state["double_active"].append(system)
        for machines in self.state["machines"].values():
            for name, machine in machines.items():
                if machine["of"] != name and machine["on"] and machine["network"] == "production":
                    self.state["astray"].append(name)

    def _receive(self, system: str, site: str, peer: str) -> None:
        here, there = (self.state["databases"][f"{system}/{each}"] for each in (site, peer))
        both = self.alive(system, site) and self.alive(system, peer) and not self.state["cut"]
        if both and here["following"] and there["records"][: len(here["records"])] == here["records"]:
            here["records"] = list(there["records"])

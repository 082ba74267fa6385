"""For tests of the lab's servers: an estate of the shipped inventory on its own addresses, and its servers running."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.identity import Identity
from lab.plan import read_plan
from lab.scenario import Estate, Server

INVENTORY = Path(__file__).parent.parent / "inventory.yaml"
NETWORK = f"127.{100 + os.getpid() % 150}"  # one a test process
Factory = Callable[[Estate, Identity], list[Server]]


@dataclass(frozen=True, slots=True)
class Running:
    estate: Estate
    identity: Identity

    def fault(self, name: str, target: str, **parameters: object) -> None:
        self.estate.injuries.inject(name, target, parameters)

    def heal(self, name: str, target: str) -> None:
        assert self.estate.injuries.clear(name, target)


@asynccontextmanager
async def running(folder: Path, *factories: Factory, only: str = "") -> AsyncIterator[Running]:
    """Start the servers of ``factories`` that belong to the keys in ``only`` (empty: all of them)."""
    text = INVENTORY.read_text(encoding="utf-8").replace("127.80.", f"{NETWORK}.")
    if only:
        text = _reduced(text, only)
    path = folder / "inventory.yaml"
    path.write_text(text, encoding="utf-8")
    plan = read_plan(path)
    estate = Estate(plan, boot_s=0.0)
    identity = Identity(plan, folder)
    servers = [server for factory in factories for server in factory(estate, identity)]
    started = []
    estate.subscribe(lambda: [server.refresh() for server in started])
    try:
        for server in servers:
            await server.start()
            started.append(server)
        yield Running(estate, identity)
    finally:
        for server in started:
            await server.stop()


def _reduced(text: str, system: str) -> str:
    """Keep one system with its hosts and the vault: fewer keys to make, fewer ports to open."""
    data = yaml.load(text, yaml.CSafeLoader)  # ten times as fast as safe_load
    data["systems"] = {system: data["systems"][system]}
    hosts = {data["systems"][system]["backup"]["vault"], f"{system}-db-main", f"{system}-db-dr"}
    data["hosts"] = {key: host for key, host in data["hosts"].items() if key in hosts}
    return yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True)

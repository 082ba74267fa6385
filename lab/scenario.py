"""The truth: one estate in memory, which every server shows a part of and every fault changes.

**Contract for servers** (``lab/servers/<name>.py``; each file has ``def servers(estate, identity) -> list[Server]`` and
is named in the literal list ``lab/start.py: SERVERS``):

- A server keeps no state of the estate; it asks here, at each request: ``estate.host_presence(key)`` and its sisters
  (``front_``, ``bubble_``, ``vcenter_``, ``dns_``, ``power_``, ``sensor_presence``) give a ``Presence``
  (``lab/presence.py``): ALIVE, HANGING (accepted, no answer) or DEAD (listener closed and connections aborted; UDP:
  silence). ``lab/servers/listener.py`` does that for TCP and UDP.
- It learns of a change by its ``refresh()``, which ``lab/start.py`` calls, synchronously and in the event loop, after
  every change of the truth (``estate.subscribe``); a dead place's connections are gone before the order that killed it
  is answered. ``refresh`` must be quick, must not raise and must not change the truth.
- It gives orders by ``estate.orders`` (``lab/orders.py``: ``declare``, ``promote``, ``demote``, ``follow``, ``backup``,
  ``restore``, ``discard``, ``switch_outlets``, ``put_record``, ``remove_record``); they record the effect
  (``estate.effects``) and tell the subscribers. Do not change the parts by hand. Reading the vault
  (``estate.vault.check``, ``.query``) changes nothing. The sinks append to ``estate.mails`` and ``estate.tickets``.
- Time is ``estate.now()`` (Unix seconds). ``estate.settle()`` runs before each read or change: replication is exact.
- Keys are those of the inventory; a link is ``<crossing>/<primary|backup>``, a front or database (system, site).
- ``estate.plan`` says who listens where; ``identity`` (``lab/identity.py``) has certificates, host keys and secrets.
- Faults that a server obeys itself, by ``estate.faults.get(name, target)``: ``slow-front`` (target ``ncts/main``),
  ``slow-host`` (both ``.number("seconds")``), ``change-host-key`` (use ``identity.other_host_key``), ``lie``
  (``.text("command")``: the first words of the command that exits 0 with plausible output and does nothing),
  ``garble-snmp`` and ``fault-sensor`` (``estate.sensor(key)`` has them as ``garbled`` and ``faulty``).

**Power.** A site's power and an outlet group's switch are apart. A VM runs when it is powered on in vCenter, its outlet
group is on and its site has power; it is up ``boot_s`` after its start. When electricity returns, powered-on VMs start
by themselves, and an old primary is primary again under its old epoch. vCenter shows a VM without electricity as
``poweredOn`` and ``disconnected`` (it cannot know); PowerOff on it is accepted and then it stays off when the outlets
return, so a failback can bring up the database machine alone and make it follow before anything is reachable.
The power controllers have a battery and a network of their own and never die with their site.

**Writable** is a site whose database is primary and whose front is alive. Two at once are remembered for ever.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from lab import uplink
from lab.effects import Effects
from lab.faults import Faults
from lab.injuries import Injuries
from lab.ledger import Database
from lab.machine_orders import MachineOrders
from lab.machines import Inventory, Machine
from lab.orders import Orders
from lab.plan import DeploymentPlan, Plan, SensorPlan
from lab.presence import Presence
from lab.states import Acknowledged, LinkState, Mail, Outlet, OutletState, SensorState, Ticket, Writable
from lab.vault import Vault
from lab.zone import Zone

__all__ = ["Acknowledged", "Estate", "LinkState", "Mail", "OutletState", "SensorState", "Server", "Ticket"]

WATTS_PER_MACHINE = 180
WATTS_OF_ROOM = 2400
LINK_SHARE_OF_SLA = 0.3


class Server(Protocol):
    """A protocol server of the lab."""

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        ...

    async def stop(self) -> None:
        """Stop listening, drop every connection, end every task."""
        ...

    def refresh(self) -> None:
        """Look at the truth again, because it changed."""
        ...


class Estate:
    """The estate. All methods are for the event loop's thread; none blocks."""

    def __init__(
        self,
        plan: Plan,
        *,
        seed: int = 1,
        rate_per_s: float = 4.0,
        replication_delay_s: float = 1.5,
        boot_s: float = 0.3,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Build the estate of ``plan``: everything on, every system active at its protected site."""
        self.plan = plan
        self.now = now
        self.seed = seed
        self.rate_per_s = rate_per_s
        self.born = int(now())  # so that a restarted lab never gives a declaration an old name
        self.random = random.Random(seed)
        self.replication_delay_s = replication_delay_s
        self.boot_s = boot_s
        self.effects = Effects(now)
        self.faults = Faults()
        self.power: dict[str, bool] = dict.fromkeys(plan.sites, True)
        self.outlets = {(one.controller, one.outlet_group): Outlet() for one in plan.deployments}
        self.inventories = {key: Inventory(key, one.site, one.bubble_network) for key, one in plan.vcenters.items()}
        self.vault = Vault(now)
        self.mails: list[Mail] = []
        self.tickets: list[Ticket] = []
        self.anchors: list[str] = []
        self.acknowledged = {key: Acknowledged() for key in plan.systems}
        self.writable = {key: Writable() for key in plan.systems}
        self.orders = Orders(self)
        self.machine_orders = MachineOrders(self)
        self.injuries = Injuries(self)
        self.held: dict[str, float] = {}  # sensors' values that are held by a fault
        self.exposed: dict[str, set[str]] = {key: set() for key in plan.systems}  # clones that ran outside of a bubble
        self.bubbles: dict[tuple[str, str], Database] = {}  # (vcenter, moid of the database's clone)
        self._databases: dict[tuple[str, str], Database] = {}
        self._subscribers: list[Callable[[], None]] = []
        self._depth = 0
        self._seen: object = None
        for one in plan.deployments:
            self._deploy(one)
        self.zones = {key: self._zone() for key in plan.dns_servers}
        self._connect()
        self._watch()

    # -- how servers learn of changes ---------------------------------------------------------------------------------

    def subscribe(self, subscriber: Callable[[], None]) -> None:
        """Call ``subscriber`` after every change of the truth."""
        self._subscribers.append(subscriber)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around every change: replication up to now under the old truth first, then the change, then tell everyone."""
        self.settle()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._electricity()
                self._connect()
                self._watch()
                self._seen = self._fingerprint()
                for subscriber in self._subscribers:
                    subscriber()

    def settle(self) -> None:
        """Move replication up to now."""
        now = self.now()
        for database in self._databases.values():
            database.receive(now, self.replication_delay_s)

    def tick(self) -> None:
        """Let time act (machines finish booting, records arrive). Called every 50 ms by ``lab/start.py``."""
        self.settle()
        if self._fingerprint() != self._seen:
            with self.changing():
                pass

    # -- presence -----------------------------------------------------------------------------------------------------

    def vcenter_presence(self, key: str) -> Presence:
        """How the vCenter ``key`` appears."""
        return self._presence(self.power[self.plan.vcenters[key].site], "hang-vcenter", key)

    def host_presence(self, key: str) -> Presence:
        """How the SSH host ``key`` appears: it runs on a VM, or needs just its site's power."""
        return self._presence(self.alive_host(key), "hang-host", key)

    def front_presence(self, system: str, site: str) -> Presence:
        """How the front of ``system`` at ``site`` appears."""
        return self._presence(self.alive_front(system, site), "hang-front", f"{system}/{site}", to_clients=True)

    def bubble_presence(self, system: str, site: str) -> Presence:
        """How the isolated front of a drill appears."""
        return self._presence(self.bubble(system, site) is not None, "hang-front", f"{system}/{site}")

    def dns_presence(self, key: str) -> Presence:
        """How the DNS server ``key`` appears."""
        return self._presence(self.power[self.plan.dns_servers[key].site], "hang-dns", key, to_clients=True)

    def power_presence(self, key: str) -> Presence:
        """How the power controller ``key`` appears; it outlives its site."""
        return self._presence(True, "hang-power", key)  # noqa: FBT003 - always alive

    def sensor_presence(self, key: str) -> Presence:
        """How the device of the sensor ``key`` appears."""
        return self._presence(self.power[self.plan.sensors[key].site], "", key)

    def time_presence(self, site: str) -> Presence:
        """How the time server of ``site`` appears."""
        return Presence.ALIVE if self.power[site] else Presence.DEAD

    def observer_presence(self, key: str) -> Presence:
        """How the observer ``key`` appears; it stands outside both sites."""
        return self._presence(True, "hang-observer", key)  # noqa: FBT003 - always alive

    def alive_host(self, key: str) -> bool:
        """Tell whether the SSH host ``key`` is up."""
        host = self.plan.hosts[key]
        deployment = self.deployment_of_host(key)
        if deployment is None or host.vm is None:
            return self.power[host.site]
        return self.up(self.deployed_machine(deployment, host.vm))

    def alive_front(self, system: str, site: str) -> bool:
        """Tell whether the front of ``system`` at ``site`` is up: a machine of each tier is."""
        deployment = self.plan.systems[system].deployments[site]
        up = {tier for name, tier in deployment.vms.items() if self.up(self.deployed_machine(deployment, name))}
        return len(up) == len(set(deployment.vms.values()))

    # -- parts --------------------------------------------------------------------------------------------------------

    def deployment_of_host(self, key: str) -> DeploymentPlan | None:
        """Return the system at a site whose database host is ``key``; None for other hosts."""
        return next((one for one in self.plan.deployments if one.database_host == key), None)

    def database(self, system: str, site: str) -> Database:
        """Return the database of ``system`` at ``site``, up to date. To change it use ``orders``."""
        self.settle()
        return self._databases[system, site]

    def link(self, key: str) -> LinkState:
        """Return how the link ``key`` treats packets."""
        delay, loss = self.faults.get("delay-link", key), self.faults.get("lose-link", key)
        base = self.plan.links[key].rtt_ms * LINK_SHARE_OF_SLA
        return LinkState(
            cut=self.faults.active("cut-link", key),
            rtt_ms=base + (delay.number("ms") if delay else 0.0),
            jitter_ms=base * 0.1,
            loss_percent=loss.number("percent") if loss else 0.0,
        )

    def sensor(self, key: str) -> SensorState:
        """Return what the sensor ``key`` says."""
        held = self.held.get(key)
        return SensorState(
            value=self._measured(self.plan.sensors[key]) if held is None else held,
            faulty=self.faults.active("fault-sensor", key),
            garbled=self.faults.active("garble-snmp", key),
        )

    def sensor_value(self, key: str) -> float:
        """Return the sensor's value, in its unit."""
        return self.sensor(key).value

    def outlet(self, controller: str, group: str) -> OutletState:
        """Return the state of an outlet group. Raises KeyError."""
        outlet = self.outlets[controller, group]
        stuck = self.faults.active("stuck-fence", f"{controller}/{group}")
        power = self.power[self.plan.power_controllers[controller].site]
        feeds = power and (outlet.on or stuck)
        return OutletState(outlet.on, self._load(controller, group) if feeds else 0, feeds)

    def zone(self, key: str) -> Zone:
        """Return the zone as the DNS server ``key`` has it (read only; change it by ``orders``)."""
        return self.zones[key]

    def bubble(self, system: str, site: str) -> Database | None:
        """Return the isolated ledger of a drill whose clones of every tier are up in the bubble, or None."""
        deployment = self.plan.systems[system].deployments[site]
        tiers = set(deployment.vms.values())
        runs: dict[str, set[str]] = {}
        ledger: dict[str, Database] = {}
        inventory = self.inventories[deployment.vcenter]
        for machine in inventory.machines.values():
            if machine.source and machine.system == system and self.up(machine) and inventory.isolated(machine):
                runs.setdefault(machine.run, set()).add(machine.tier)
                copy = self.bubbles.get((machine.vcenter, machine.moid))
                if copy is not None:
                    ledger[machine.run] = copy
        return next((ledger[run] for run, have in runs.items() if have == tiers and run in ledger), None)

    def up(self, machine: Machine | None) -> bool:
        """Tell whether a machine runs and has booted."""
        return machine is not None and machine.started_at is not None and self.now() >= machine.started_at + self.boot_s

    def fed(self, machine: Machine) -> bool:
        """Tell whether the machine's ESXi host has electricity."""
        site = self.plan.vcenters[machine.vcenter].site
        deployment = self.plan.systems[machine.system].deployments[site]
        return self.outlet(deployment.controller, deployment.outlet_group).feeds

    def writable_sites(self, system: str) -> tuple[str, ...]:
        """Return the sites where clients can write now."""
        return tuple(
            site
            for site in self.plan.systems[system].deployments
            if self._databases[system, site].role == "primary" and self.alive_front(system, site)
        )

    # -- how things follow from each other ----------------------------------------------------------------------------

    def deployed_machine(self, deployment: DeploymentPlan, name: str) -> Machine | None:
        """Return the production machine ``name`` of a deployment; None when it has vanished."""
        return self.inventories[deployment.vcenter].by_name(name)

    def peers_connected(self, system: str) -> bool:
        """Tell whether the two databases of ``system`` can talk: both machines up, the line between the sites whole."""
        return not self.faults.active("cut-replication", system) and all(
            self.alive_host(one.database_host) for one in self.plan.systems[system].deployments.values()
        )

    def _presence(self, alive: bool, fault: str, target: str, *, to_clients: bool = False) -> Presence:
        if not alive or (self.faults.active(*uplink.CUT) and not to_clients):
            return Presence.DEAD
        return Presence.HANGING if self.faults.active(fault, target) else Presence.ALIVE

    def _deploy(self, one: DeploymentPlan) -> None:
        protected = self.plan.systems[one.system].protected_site == one.site
        self._databases[one.system, one.site] = Database(
            one.system, one.site, "primary" if protected else "standby", self.now
        )
        inventory = self.inventories[one.vcenter]
        for name, tier in {**one.vms, **one.unnamed}.items():
            machine = inventory.add(name, one.system, tier, powered=True, now=self.now())
            machine.started_at = self.now() - self.boot_s  # they have been running for long
            machine.tags = (one.tags[tier],) if tier in one.tags else ()
        other = self.plan.systems[one.system].deployments[self.plan.systems[one.system].protected_site]
        for name, tier in () if protected else other.unnamed.items():
            inventory.add(name, one.system, tier, powered=False).placeholder = True

    def _zone(self) -> Zone:
        systems = tuple(self.plan.systems.values())
        zone = Zone(systems[0].zone)
        for system in systems:
            zone.put(system.fqdn, system.deployments[system.protected_site].front_address, system.ttl_s)
        return zone

    def _electricity(self) -> None:
        """Stop machines that have lost electricity; start those that have it and are to run."""
        for inventory in self.inventories.values():
            for machine in inventory.machines.values():
                running = machine.powered and self.fed(machine)
                if running and machine.started_at is None:
                    machine.started_at = self.now()
                    self.effects.record(
                        "power", "machine starts", f"{machine.vcenter}/{machine.name}", system=machine.system
                    )
                elif not running and machine.started_at is not None:
                    machine.started_at = None
                    self.effects.record(
                        "power", "machine stops", f"{machine.vcenter}/{machine.name}", system=machine.system
                    )

    def _connect(self) -> None:
        """Join the databases whose machines can talk."""
        for key, system in self.plan.systems.items():
            connected = self.peers_connected(key)
            pair = [self._databases[key, site] for site in system.deployments]
            for database, peer in zip(pair, reversed(pair), strict=True):
                database.peer = peer
                if not connected:
                    database.connected_since = None
                elif database.connected_since is None:
                    database.connected_since = self.now()

    def _watch(self) -> None:
        """Remember what must never be: two writable sites of a system, a drill's clone on production's network."""
        for inventory in self.inventories.values():
            for machine in inventory.machines.values():
                stray = machine.source and machine.started_at is not None and not inventory.isolated(machine)
                if stray and machine.name not in self.exposed[machine.system]:
                    self.exposed[machine.system].add(machine.name)
                    key = f"{machine.vcenter}/{machine.name}"
                    self.effects.record("truth", "clone on production network", key, system=machine.system)
        for key, memory in self.writable.items():
            sites = self.writable_sites(key)
            if len(sites) > 1 and sites != memory.now:
                memory.doubles.append((self.now(), sites))
                self.effects.record("truth", "two writable sites", key, system=key, sites=",".join(sites))
            memory.now = sites

    def _fingerprint(self) -> object:
        return tuple(
            (machine.moid, self.up(machine))
            for inventory in self.inventories.values()
            for machine in inventory.machines.values()
        )

    def _load(self, controller: str, group: str) -> int:
        """Return the watts of a group that is fed: its machines and the empty chassis."""
        deployment = next(
            one for one in self.plan.deployments if (one.controller, one.outlet_group) == (controller, group)
        )
        machines = self.inventories[deployment.vcenter].machines.values()
        running = sum(machine.system == deployment.system and machine.powered for machine in machines)
        return WATTS_PER_MACHINE * (1 + running)

    def _measured(self, sensor: SensorPlan) -> float:
        if sensor.quantity != "power":
            return sensor.calm
        groups = (self.outlet(*key) for key in self.outlets if self.plan.power_controllers[key[0]].site == sensor.site)
        return float(WATTS_OF_ROOM + sum(group.watts for group in groups))

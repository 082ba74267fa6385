"""Orders to databases, outlets and DNS: each is an effect that is recorded, changed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.ledger import DatabaseStatus, Record
from lab.vault import DamagedError, Manifest, Restored

if TYPE_CHECKING:
    from lab.scenario import Estate


class Orders:
    """What clients of the estate's servers may order. ``by`` says over which protocol."""

    def __init__(self, estate: Estate) -> None:
        """Give orders to ``estate``."""
        self._estate = estate

    # -- databases ----------------------------------------------------------------------------------------------------

    def declare(self, system: str, site: str, declaration: str) -> Record:
        """Accept a declaration at a front. Raises NotPrimaryError."""
        return self._estate.database(system, site).append(declaration)

    def promote(self, system: str, site: str, epoch: int, *, by: str = "ssh") -> DatabaseStatus:
        """Make the database primary under ``epoch``. Raises StaleEpochError."""
        with self._estate.changing():
            database = self._estate.database(system, site)
            changed = database.promote(epoch)
            self._record(by, "promote", system, site, changed=changed, epoch=epoch, position=database.position)
        return database.status()

    def demote(self, system: str, site: str, epoch: int, *, by: str = "ssh") -> DatabaseStatus:
        """Make the database a standby of the other site. Raises StaleEpochError."""
        with self._estate.changing():
            database = self._estate.database(system, site)
            changed = database.demote(epoch)
            self._record(by, "demote", system, site, changed=changed, epoch=epoch, position=database.position)
        return database.status()

    def follow(self, system: str, site: str, *, by: str = "ssh") -> DatabaseStatus:
        """Throw away what the peer lacks and follow it; the count is in ``discarded``. Raises PeerUnreachableError."""
        with self._estate.changing():
            database = self._estate.database(system, site)
            before = (database.role, database.following, database.position)
            gone = database.follow(peer_alive=self._estate.peers_connected(system))
            changed = before != (database.role, database.following, database.position)
            self._record(by, "follow", system, site, changed=changed, discarded=gone)
        return database.status()

    # -- backups ------------------------------------------------------------------------------------------------------

    def backup(self, system: str, site: str, backup: str, *, by: str = "ssh") -> Manifest:
        """Write ``backup`` of the database to the vault. Raises DamagedError when the vault does not answer."""
        if not self._estate.alive_host(self._estate.plan.systems[system].vault):
            raise DamagedError("the vault does not answer")
        with self._estate.changing():
            manifest, changed = self._estate.vault.write(backup, self._estate.database(system, site))
            self._record(by, "backup", system, site, changed=changed, backup=backup, position=manifest.position)
        return manifest

    def restore(self, backup: str, scratch: str, *, by: str = "ssh") -> Restored:
        """Restore ``backup`` into the vault's scratch place. Raises DamagedError."""
        with self._estate.changing():
            restored, changed = self._estate.vault.restore(backup, scratch)
            system = self._estate.vault.manifests[backup].system
            self._estate.effects.record(by, "restore", scratch, system=system, changed=changed, backup=backup)
        return restored

    def discard(self, scratch: str, *, by: str = "ssh") -> bool:
        """Remove a scratch place; False when there was none."""
        with self._estate.changing():
            held = self._estate.vault.scratches.get(scratch)
            system = self._estate.vault.manifests[held[0]].system if held else ""
            changed = self._estate.vault.discard(scratch)
            self._estate.effects.record(by, "discard", scratch, system=system, changed=changed)
        return changed

    # -- power and names ----------------------------------------------------------------------------------------------

    def switch_outlets(self, controller: str, group: str, *, on: bool, by: str = "redfish") -> bool:
        """Switch an outlet group; return whether the switch moved. Raises KeyError."""
        with self._estate.changing():
            outlet = self._estate.outlets[controller, group]
            changed, outlet.on = outlet.on != on, on
            system = next(
                one.system
                for one in self._estate.plan.deployments
                if (one.controller, one.outlet_group) == (controller, group)
            )
            what = "outlets on" if on else "outlets off"
            self._estate.effects.record(by, what, f"{controller}/{group}", system=system, changed=changed)
        return changed

    def put_record(self, server: str, name: str, address: str, ttl_s: int, *, by: str = "dns") -> bool:
        """Replace the A record of ``name`` at one DNS server; return whether that changed it."""
        with self._estate.changing():
            changed = self._estate.zones[server].put(name, address, ttl_s)
            self._estate.effects.record(
                by,
                "address",
                f"{server}/{name.rstrip('.')}",
                system=self._named(name),
                changed=changed,
                address=address,
            )
        return changed

    def remove_record(self, server: str, name: str, *, by: str = "dns") -> bool:
        """Delete the A record of ``name`` at one DNS server; return whether there was one."""
        with self._estate.changing():
            changed = self._estate.zones[server].remove(name)
            self._estate.effects.record(
                by, "address removed", f"{server}/{name.rstrip('.')}", system=self._named(name), changed=changed
            )
        return changed

    def _named(self, name: str) -> str:
        plain = name.rstrip(".").lower()
        return next((key for key, system in self._estate.plan.systems.items() if system.fqdn == plain), "")

    def _record(self, by: str, what: str, system: str, site: str, *, changed: bool, **detail: str | float) -> None:
        self._estate.effects.record(by, what, f"{system}/{site}", system=system, changed=changed, **detail)

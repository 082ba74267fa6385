"""Two sites in network namespaces, of servers that this project did not write, and clients that write all along.

    core   witness (the daemon), border (clients, receipts), pdus (both power controllers, on a network of their own)
    main   db-main (sshd, PostgreSQL, front), vc-main (vcsim), dns-main (named), ldap-main (slapd)    behind an uplink
    dr     the same, its directory a replica of main's, and the vault of backups          behind one of its own
    far    a host in core: the second place of backups
    wan    db-main, db-dr and the vault: what PostgreSQL replicates over; its wires are r-main, r-dr and r-vault

Its hosts are prepared as docs/targets.md says.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from bind9_kit import NAMED, Bind
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import RunningLab
from https_kit import Request, reply, serving
from netns_kit import Host, NetnsEstate, netns_estate
from pg_pair_kit import PairTls, PgSite
from real_kit import need, need_folder
from sshd_kit import Sshd
from tls_kit import ThrowawayCa
from two_site_clients import Clients
from two_site_directory import PEOPLE, READER, TLS_PORT, directory, log_in_by, wait_replicated
from two_site_documented import documented, forced, kind_of_gate, playbooks
from two_site_power import Outlets, power_controller
from two_site_vault import PASSWORD, Vault
from vcsim.build import CACHE, GOVMOMI, PACKAGE, Simulator, build, running

SITES = ("main", "dr")
SYSTEM = "ncts"
VIP = "10.77.250.9"
FQDN = "ncts.customs.example"
PDU_PORT, FRONT_PORT, SSH_PORT, VCENTER_PORT, PG_PORT, DNS_PORT = 8444, 8443, 2222, 443, 5432, 53
FRONT = Path(__file__).with_name("two_site_front.py")
ZONE = """$TTL 1
@ IN SOA ns.customs.example. hostmaster.customs.example. 100 3600 600 86400 1
@ IN NS ns
ns IN A 127.0.0.53
ncts 1 IN A {address}
"""
KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


class SiteServers:
    """All that runs at one site, and what becomes of it when its power goes and comes."""

    def __init__(self, estate: TwoSites, site: str) -> None:
        self.estate, self.site = estate, site
        net, folder = estate.net, estate.folder / site
        folder.mkdir()
        self.folder = folder
        self.host = net.host(f"db-{site}", site)
        self.wan = net.wire(self.host, f"r-{site}", "wan")
        self.vcenter_host = net.host(f"vc-{site}", site)
        self.dns_host = net.host(f"dns-{site}", site)
        self.directory_host = net.host(f"ldap-{site}", site)
        self.vcenter: Simulator | None = None
        self._vcenter_stack = ExitStack()
        self.front: subprocess.Popen[bytes] | None = None
        self.refused = ""

    def prepare(self, wans: dict[str, str]) -> None:
        peer = "dr" if self.site == "main" else "main"
        tls = PairTls(*self.estate.ca.server(wans[self.site]), self.estate.ca.bundle)
        self.pg = PgSite(self.site, peer, wans, PG_PORT, tls=tls)
        self.estate.net.leaves(self.pg.folder)
        self.estate.vault.let_in(self.pg)
        with self.estate.net.inside(self.host):
            self.sshd = Sshd(self.folder, address=self.host.address, port=SSH_PORT)
        (self.pg.folder / "gate.conf").write_text(kind_of_gate(self.pg))
        (self.pg.folder / "gate-state").mkdir()
        (self.folder / "authorized").write_text("")  # who may log in the directory says
        options = forced(self.pg)
        known = {site: self.estate.sites[site].directory_url for site in (self.site, peer)}
        self.log_in = log_in_by(self.folder, known, options, self.estate.ca.bundle)
        key = (self.estate.credentials / "ssh-karaula.pub").read_text()
        provider = "" if self.site == "main" else self.estate.main.directory_host.address
        self.directory = directory(self.estate.ca, self.directory_host.address, key=key, replica_of=provider)
        self.estate.net.leaves(self.directory.folder)
        self.certificate = self.estate.ca.server(self.host.address, FQDN)
        named = self.folder / "named"
        named.mkdir()
        text = NAMED.format(folder=named, port=DNS_PORT, host=self.dns_host.address, key=KEY)
        (named / "named.conf").write_text(text)
        self.dns = Bind(need("named", "bind9"), named, DNS_PORT)

    # -- the machines of the system -----------------------------------------------------------------------------------

    @property
    def directory_url(self) -> str:
        return f"ldaps://{self.directory_host.address}:{TLS_PORT}"

    @property
    def logins(self) -> list[str]:
        """Return at which site the directory was that let each log-in of this host in."""
        return (self.folder / "logins").read_text().split()

    def start_sshd(self) -> None:
        with self.estate.net.inside(self.host):
            self.sshd.start(*self.log_in)

    def boot(self) -> None:
        """Start as a host does whose power comes: PostgreSQL only if it may."""
        self.start_sshd()
        with self.estate.net.inside(self.host):
            may = self.pg.run(*self.pg.tool, "may-start", check=False)
            self.refused = may.stderr
            if may.returncode == 0:
                self.pg.boot()
            self.start_front()

    def start_front(self) -> None:
        self.front = self._front(FRONT_PORT, PG_PORT)

    def _front(self, port: int, database: int) -> subprocess.Popen[bytes]:
        place = (self.host.address, str(port), *self.certificate, self.pg.folder, str(database))
        words = (FRONT, SYSTEM, self.site, *place)
        return self.estate.net.spawn(self.host, sys.executable, *words, log=self.folder / "front.log")

    @contextmanager
    def bubble(self) -> Iterator[None]:
        """Stand in for what the clones of a drill run, which the simulator only names: a copy of database and front."""
        with ExitStack() as stack, self.estate.net.inside(self.host):
            stack.enter_context(self.pg.copy(PG_PORT + 1))
            front = self._front(FRONT_PORT + 1, PG_PORT + 1)
            stack.callback(front.wait)
            stack.callback(front.kill)
            yield

    def cut_power(self) -> None:
        """Kill every process of the system here, as its outlets do: server, front, log-ins and what they run."""
        self.sshd.stop()
        self.pg.kill()
        if self.front is not None:
            self.front.kill()
            self.front.wait()
            self.front = None
        for pid in inside(self.host) - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.pg.kill()  # what it left locked, if a command of ours has started it meanwhile
        self.estate.net.run(self.host, "ip", "address", "flush", "to", f"{VIP}/32", "dev", "eth0")  # not configured

    # -- what stands beside it ----------------------------------------------------------------------------------------

    def start_vcenter(self) -> None:
        with self.estate.net.inside(self.vcenter_host):
            listen = ("-listen", f"{self.vcenter_host.address}:{VCENTER_PORT}", "-machines", "3")
            certificate = self.estate.ca.server(self.vcenter_host.address)
            self.vcenter = self._vcenter_stack.enter_context(running(self.estate.vcsim, *certificate, *listen))

    def start_directory(self) -> None:
        with self.estate.net.inside(self.directory_host):
            self.directory.start()

    def start_dns(self, points_to: str) -> None:
        (self.folder / "named" / "zone").write_text(ZONE.format(address=points_to))
        self.resume_dns()

    def resume_dns(self) -> None:
        with self.estate.net.inside(self.dns_host):
            self.dns.start()

    def start_beside(self) -> None:
        self.stop_beside()
        self.start_vcenter()
        self.start_directory()
        self.resume_dns()

    def stop_beside(self) -> None:
        self._vcenter_stack.close()
        self.dns.stop()
        self.directory.stop()

    def lose_site(self) -> None:
        """A disaster: uplink, power, vCenter, name server and directory, all at once."""
        self.estate.net.cut(self.site)
        self.estate.outlets[self.site].site_power = False
        self.cut_power()
        self.stop_beside()

    def repair_site(self) -> None:
        """The site's own power, uplink and what stands beside it are back; the system's outlets stay as they are."""
        self.start_beside()
        self.estate.net.mend(self.site)
        self.estate.outlets[self.site].restore()

    def close(self) -> None:
        self.cut_power()
        self._vcenter_stack.close()
        self.directory.remove()
        if self.dns.process is not None and self.dns.process.poll() is None:
            self.dns.stop()
        self.pg.remove()


def inside(host: Host) -> set[int]:
    """Return every process in the host's namespace."""
    said = subprocess.run(["ip", "netns", "pids", host.namespace], capture_output=True, text=True, check=True)
    return {int(word) for word in said.stdout.split()}


class TwoSites:
    """The whole estate; made by ``two_sites``."""

    def __init__(self, net: NetnsEstate, folder: Path) -> None:
        self.net, self.folder = net, folder
        self.credentials = folder / "state" / "credentials"
        self.credentials.mkdir(parents=True)
        self.ca = ThrowawayCa(folder / "ca")
        self.vcsim = build(need("go", PACKAGE), CACHE)
        need_folder(GOVMOMI, PACKAGE)
        self.daemon: RunningDaemon
        for bridge in ("main", "dr"):
            net.bridge(bridge)
            net.uplink(bridge)
        net.bridge("wan")
        self.witness, self.border = net.host("witness"), net.host("border")
        self.pdus = {site: net.host(f"pdu-{site}") for site in SITES}
        keygen = need("ssh-keygen", "openssh-client")
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", self.credentials / "ssh-karaula"], check=True)
        self.sites = {site: SiteServers(self, site) for site in SITES}
        self.wans = {site: servers.wan for site, servers in self.sites.items()}
        self.vault = Vault(net, "dr", SSH_PORT, self.ca.bundle)
        net.leaves(self.vault.folder)
        for servers in self.sites.values():
            servers.prepare(self.wans)
        self.outlets = {site: Outlets(one.cut_power, one.boot) for site, one in self.sites.items()}
        servers = [self.sites[site].dns_host.address for site in ("dr", "main")]
        self.clients = Clients(FQDN, FRONT_PORT, servers, self.ca.bundle)

    @property
    def main(self) -> SiteServers:
        return self.sites["main"]

    @property
    def dr(self) -> SiteServers:
        return self.sites["dr"]

    def start(self, stack: ExitStack) -> None:
        """Start everything: main active, dr its standby."""
        (self.credentials / "lab-ca.pem").write_bytes(self.ca.bundle.read_bytes())
        for name, text in (("vcenter", "secret"), ("pdu", "secret"), ("directory", "person")):
            (self.credentials / name).write_text(text)
        (self.credentials / "tsig").write_text(KEY)
        self.vault.start(self.credentials)
        known = "".join(one.sshd.known_hosts.read_text() for one in (*self.sites.values(), self.vault))
        (self.credentials / "known_hosts").write_text(known)
        for one in self.sites.values():
            one.start_vcenter()
            one.start_dns(self.main.host.address)
            one.start_directory()
        for site, host in self.pdus.items():
            certificate = self.ca.server(host.address)
            with self.net.inside(host):
                stack.enter_context(power_controller(self.outlets[site], certificate, host.address, PDU_PORT, "secret"))
        with self.net.inside(self.main.host):
            self.main.pg.create()
            password = f"ALTER ROLE karaula_backup PASSWORD '{PASSWORD['vault-database']}'"
            self.main.pg.sql(documented("backup-role") + password)
        with self.net.inside(self.dr.host):
            self.dr.pg.pg("follow", "--peer", "main", "--epoch", "1")
        for one in self.sites.values():
            one.start_sshd()
            with self.net.inside(one.host):
                wait_replicated(one.directory_url, self.ca.bundle)
                one.start_front()
        self.receipts_certificate = self.ca.server(self.border.address)
        with self.net.inside(self.border):
            stack.enter_context(serving(self.receipts_certificate, self._receipts, self.border.address, FRONT_PORT))
        self.clients.start(lambda: self.net.inside(self.border))
        stack.callback(self.clients.close)
        lab = RunningLab(0, 0, self.write_inventory(), self.folder / "state")
        self.clients.wait(3)
        with self.net.inside(self.witness):
            made = running_daemon(lab, self.folder / "daemon", playbooks=playbooks(self.folder / "playbooks"))
            self.daemon = stack.enter_context(made)
        self.began = time.time()

    def _receipts(self, request: Request, connection: socket.socket) -> bytes:
        del request, connection
        return reply(200, json.dumps(self.clients.receipts()).encode())

    def write_inventory(self) -> Path:
        path = self.folder / "inventory.yaml"
        path.write_text(json.dumps(self.inventory(), indent=1))  # which is YAML too
        return path

    def inventory(self) -> dict[str, object]:
        """Return the estate as ``inventory.yaml`` says it."""
        ssh = {"port": SSH_PORT, "user": "root", "credential": "ssh-karaula"}
        kinds = yaml.safe_load(documented("kind"))["database_kinds"]
        return {
            "estate": {"name": "Two sites", "timezone": "Europe/Skopje", "domain": "customs.example"},
            "trust": {"tls_ca": "lab-ca.pem", "known_hosts": "known_hosts"},
            "polling": {"interval_s": 8, "deadline_s": 5, "fail_after": 2, "recover_after": 1, "stale_after_s": 60},
            "vantage": {"anchors": {"border": {"probe": "tcp", "address": self.border.address, "port": FRONT_PORT}}},
            "sites": {site: {"name": site, "role": site} for site in SITES},
            "vcenters": {f"vc-{site}": self._vcenter(site) for site in SITES},
            "hosts": {f"db-{site}": {"site": site, "address": self.sites[site].host.address, **ssh} for site in SITES}
            | {"vault-dr": self.vault.inventory_host()},
            "power_controllers": {f"pdu-{site}": self._pdu(site) for site in SITES},
            "dns_servers": {f"dns-{site}": self._dns(site) for site in SITES},
            "database_kinds": kinds,
            "checks": {f"directory-{site}": self._directory(site) for site in SITES},
            "systems": {SYSTEM: self._system()},
            "schedules": self.vault.schedules(SYSTEM),
            **{name: {} for name in ("operators", "crossings", "links", "sensors")},
        }

    def _vcenter(self, site: str) -> dict[str, object]:
        place = {"site": site, "address": self.sites[site].vcenter_host.address, "port": VCENTER_PORT}
        return {**place, "user": "karaula", "credential": "vcenter", "bubble_network": "VM Network"}

    def _pdu(self, site: str) -> dict[str, object]:
        place = {"site": site, "address": self.pdus[site].address, "port": PDU_PORT}
        return {**place, "pdu": f"pdu-{site}", "user": "karaula", "credential": "pdu"}

    def _dns(self, site: str) -> dict[str, object]:
        place = {"site": site, "address": self.sites[site].dns_host.address, "port": DNS_PORT}
        return {**place, "tsig_name": "karaula", "tsig_credential": "tsig"}

    def _directory(self, site: str) -> dict[str, object]:
        place = {"site": site, "address": self.sites[site].directory_host.address, "port": TLS_PORT}
        search = {"base": PEOPLE, "filter": "(uid=root)"}
        return {"probe": "ldap", **place, "bind_dn": READER, "credential": "directory", **search}

    def _system(self) -> dict[str, object]:
        vms = {tier: [f"DC0_H0_VM{number}"] for number, tier in enumerate(("database", "application", "web"))}
        deployments = {
            site: {
                "vcenter": f"vc-{site}",
                "vms": vms,
                "database_host": f"db-{site}",
                "front": {"address": self.sites[site].host.address, "port": FRONT_PORT, "bubble_port": FRONT_PORT + 1},
                "fence": {"controller": f"pdu-{site}", "outlet_group": SYSTEM},
            }
            for site in SITES
        }
        return {
            "name": "NCTS",
            "owner": "transit@customs.example",
            "protected_site": "main",
            "recovery_site": "dr",
            "rto_s": 900,
            "rpo_s": 60,
            "service": {"fqdn": FQDN, "zone": "customs.example", "dns": ["dns-dr", "dns-main"], "ttl_s": 1},
            "vip": {
                "address": VIP,
                "prefix": 16,
                "sites": {site: {"host": f"db-{site}", "interface": "eth0"} for site in SITES},
            },
            "sites": deployments,
            "database": {"kind": "postgresql"},
            "receipts": {"url": f"https://{self.border.address}:{FRONT_PORT}/receipts"},
            "backup": self.vault.entry(self.wans, PG_PORT),
        }

    def make_synchronous(self) -> None:
        """Have commits wait for the other site, as a person does: both configurations, then the primary is told."""
        for one in self.sites.values():
            one.pg.set_synchronous()
        status = {site: one.pg.pg("status") for site, one in self.sites.items()}
        (primary,) = (site for site in SITES if status[site]["role"] == "primary")
        peer = "dr" if primary == "main" else "main"
        self.sites[primary].pg.pg("attach", "--peer", peer, "--epoch", str(status[primary]["epoch"]))

    # -- what is done to it -------------------------------------------------------------------------------------------

    def play(self, playbook: str) -> dict[str, Any]:
        """Have one person ask and another approve, by the command line; return the run when it is over."""
        run_id = self.ask(playbook)
        final = ("SUCCEEDED", "SUCCEEDED_WITH_WARNINGS", "FAILED", "CANCELED", "PAUSED")
        run = self.daemon.wait_run(run_id, *final, within_s=240)
        assert run["state"].startswith("SUCCEEDED"), self.daemon.karaula("run", "show", run_id, code=None)
        return run

    def ask(self, playbook: str) -> str:
        """Have one person ask and another approve; return the run's id."""
        asked = self.daemon.api(
            "/api/runs", {"playbook": playbook, "system": SYSTEM, "reason": "rehearsal"}, user="ana"
        )
        assert "id" in asked, asked
        run_id = str(asked["id"])
        if asked["state"] == "WAITING":
            self.daemon.karaula("run", "approve", run_id, "--yes", "--no-wait", user="bojan")
        return run_id


@contextmanager
def two_sites(folder: Path) -> Iterator[TwoSites]:
    """Make the estate, run the daemon in it, and leave nothing behind."""
    with netns_estate() as net, two_sites_on(net, folder) as estate:
        yield estate


@contextmanager
def two_sites_on(net: NetnsEstate, folder: Path) -> Iterator[TwoSites]:
    """Likewise, in namespaces that there are."""
    with ExitStack() as stack:
        estate = TwoSites(net, folder)
        for one in (*estate.sites.values(), estate.vault):
            stack.callback(one.close)
        estate.start(stack)
        yield estate

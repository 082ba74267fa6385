"""Which link carries the traffic, asked of a router that this project did not write: net-snmp's agent, and FRR's BGP.

The agent tells of its own interfaces, of BGP what FRR tells it, and of VRRP what keepalived tells it. It stands in
network namespaces with two neighbours. (keepalived 2.2.7 shows VRRP-MIB to who walks it and denies it to who asks for
one object; of several instances it shows the first.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns_kit import Host, NetnsEstate, netns_estate
from real_kit import missing, need

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.crossings import VRRP_STATE, Router, states_of
from monitor.inventory.estate import Trust
from monitor.inventory.sensors import SnmpUser
from monitor.probe import Answer, Target
from monitor.probes.router import RouterParams, RouterProbe
from monitor.status.traffic import Evidence, by_router

pytestmark = pytest.mark.real
LONG_S = 60.0
AGENT = "rocommunity k-read\nmaster agentx\nagentXSocket tcp:127.0.0.1:705\nagentAddress udp:161\n"
BGPD = """
hostname router
bgp no-rib
{agentx}
router bgp {number}
 bgp router-id {own}
 no bgp ebgp-requires-policy
 timers bgp 1 3
{neighbours}
"""


@pytest.fixture
def net() -> Iterator[NetnsEstate]:
    with netns_estate() as estate:
        yield estate


def snmpd(net: NetnsEstate, host: Host, folder: Path, more: str = "") -> None:
    (folder / "snmpd.conf").write_text(AGENT + more)
    log = folder / "snmpd.log"
    environment = {"SNMP_PERSISTENT_DIR": str(folder / "persistent"), "MIBS": "", "SNMPCONFPATH": str(folder)}
    words = [f"{name}={value}" for name, value in environment.items()]
    command = [need("snmpd", "snmpd"), "-f", "-C", "-c", folder / "snmpd.conf", "-Lo", "-p", folder / "snmpd.pid"]
    net.spawn(host, "env", *words, *command, log=log)
    while f"{host.address}" not in log.read_text():  # it listens: what speaks to it as a sub-agent finds it
        with contextlib.suppress(subprocess.CalledProcessError):
            net.run(host, need("snmpget", "snmp"), "-v2c", "-ck-read", "-t1", "-r0", host.address, "1.3.6.1.2.1.1.5.0")


def bgpd(net: NetnsEstate, host: Host, folder: Path, number: int, peers: dict[str, int], *, agentx: bool) -> None:
    home = folder / host.name
    home.mkdir()
    lines = []
    for address, theirs in peers.items():
        lines += [f" neighbor {address} remote-as {theirs}", f" neighbor {address} timers connect 1"]
    text = BGPD.format(agentx="agentx" if agentx else "", number=number, own=host.address, neighbours="\n".join(lines))
    (home / "bgpd.conf").write_text(text)
    (home / "frr.conf").write_text("agentXSocket tcp:127.0.0.1:705\n")
    for path in (folder.parent, folder, home):
        path.chmod(0o777)
    binary = need("/usr/lib/frr/bgpd", "frr")
    if agentx and not list(Path("/usr/lib").glob("*/frr/modules/bgpd_snmp.so")):
        missing("FRR's module for SNMP", "frr-snmp")
    command = [binary, "-Z", "-S", "-f", home / "bgpd.conf", "-i", home / "pid", "--vty_socket", home, "-P", "0"]
    more = ["-M", "snmp"] if agentx else []
    log = home / "log"
    net.spawn(host, "env", f"SNMPCONFPATH={home}", "MIBS=", *command, *more, "--log", "stdout", log=log)


async def evidence(router: Router, folder: Path, user: SnmpUser | None = None) -> tuple[Answer, Evidence]:
    (folder / "snmp").write_text("k-read\n")
    probe = RouterProbe(Credentials(folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())
    params = RouterParams(router.address, router.port, user or "snmp", tuple(states_of(router).items()))
    (seen,) = [one async for one in probe.observe([Target("router/blace", "router", params, 10, 1.0)])]
    return seen.answer, by_router(router, seen.values)


def until(router: Router, folder: Path, link: str, user: SnmpUser | None = None) -> Evidence:
    """Ask until the router says that ``link`` carries the traffic."""
    give_up = time.monotonic() + LONG_S
    while True:
        found = asyncio.run(evidence(router, folder, user))
        if found[0] is Answer.OK and found[1].link == link:
            return found[1]
        assert time.monotonic() < give_up, found
        time.sleep(0.2)


def test_bgp_sessions_of_frr_tell_the_link_that_is_used(net: NetnsEstate, tmp_path: Path) -> None:
    watcher, router, first, second = (net.host(name) for name in ("watcher", "router", "op-a", "op-b"))
    snmpd(net, router, tmp_path)
    bgpd(net, router, tmp_path, 65000, {first.address: 65001, second.address: 65002}, agentx=True)
    bgpd(net, first, tmp_path, 65001, {router.address: 65000}, agentx=False)
    bgpd(net, second, tmp_path, 65002, {router.address: 65000}, agentx=False)
    entry = Router.model_validate(
        {
            "address": router.address,
            "community": "snmp",
            "primary": {"bgp_peer": first.address},
            "backup": {"bgp_peer": second.address},
        }
    )
    with net.inside(watcher):
        found = until(entry, tmp_path, "primary")
        assert found.words.endswith(f"the BGP session with {first.address} of the primary is established")
        net.cut("op-a")
        found = until(entry, tmp_path, "backup")
        assert found.words.startswith(f"the BGP session with {first.address} of the primary is ")
        net.cut("op-b")
        until(entry, tmp_path, "neither")
        net.mend("op-b")
        net.mend("op-a")
        until(entry, tmp_path, "primary")


def test_the_states_of_its_interfaces_tell_the_link_that_is_used(net: NetnsEstate, tmp_path: Path) -> None:
    watcher, router, first, second = (net.host(name) for name in ("watcher", "router", "op-a", "op-b"))
    for name, operator in (("primary", first), ("backup", second)):
        end = ("peer", "name", "customer", "netns", operator.namespace)
        net.run(router, "ip", "link", "add", name, "type", "veth", *end)
        net.run(router, "ip", "link", "set", name, "up")
        net.run(operator, "ip", "link", "set", "customer", "up")
    shown = json.loads(net.run(router, "ip", "-json", "link", "show"))
    index = {one["ifname"]: one["ifindex"] for one in shown}
    snmpd(net, router, tmp_path, "rwcommunity k-write\n")
    # The agent looks at its interfaces every 15 s; here every second (NET-SNMP-AGENT-MIB::nsCacheTimeout of ifTable).
    sooner = ("1.3.6.1.4.1.8072.1.5.3.1.2.1.3.6.1.2.1.2.2", "i", "1")
    net.run(router, need("snmpset", "snmp"), "-v2c", "-ck-write", router.address, *sooner)
    entry = Router.model_validate(
        {
            "address": router.address,
            "community": "snmp",
            "primary": {"interface": index["primary"]},
            "backup": {"interface": index["backup"]},
        }
    )
    with net.inside(watcher):
        assert until(entry, tmp_path, "primary").words.endswith(f"interface {index['primary']} of the primary is up")
        net.run(first, "ip", "link", "set", "customer", "down")  # the operator's end: the router loses the carrier
        found = until(entry, tmp_path, "backup")
        assert re.fullmatch(f"interface {index['primary']} of the primary is (lower layer )?down", found.words)
        net.run(router, "ip", "link", "set", "backup", "down")  # its own end, by hand
        found = until(entry, tmp_path, "neither")
        assert found.words.endswith(f"interface {index['backup']} of the backup is down")
        net.run(first, "ip", "link", "set", "customer", "up")
        until(entry, tmp_path, "primary")


KEEPALIVED = """
global_defs {{
  enable_snmp_vrrp
  enable_snmp_rfcv2
  snmp_socket tcp:127.0.0.1:705
}}
vrrp_instance borders {{
  state BACKUP
  interface {interface}
  virtual_router_id 10
  priority {priority}
  advert_int 1
  virtual_ipaddress {{ 10.99.0.1 }}
}}
"""


def keepalived(net: NetnsEstate, host: Host, folder: Path, priority: int) -> str:
    """Run it, and return its interface's index and VRID as the inventory has them."""
    home = folder / f"{host.name}-keepalived"
    home.mkdir()
    (link,) = [one for one in json.loads(net.run(host, "ip", "-json", "link", "show")) if one["ifname"] != "lo"]
    (home / "conf").write_text(KEEPALIVED.format(interface=link["ifname"], priority=priority))
    pids = ("-p", home / "pid", "-r", home / "vrrp.pid")
    command = [need("keepalived", "keepalived"), "-n", "-l", "-P", "-f", home / "conf", *pids]
    net.spawn(host, *command, log=home / "log")
    return f"{link['ifindex']}.10"


def test_vrrp_of_keepalived_tells_the_link_that_is_used(net: NetnsEstate, tmp_path: Path) -> None:
    watcher, router, other = (net.host(name) for name in ("watcher", "router", "other"))
    snmpd(net, router, tmp_path)
    entry = Router.model_validate(
        {"address": router.address, "community": "snmp", "vrrp": keepalived(net, router, tmp_path, 100)}
    )
    with net.inside(watcher):
        assert until(entry, tmp_path, "primary").source == "router"
        keepalived(net, other, tmp_path, 200)  # the reserve's router takes over
        until(entry, tmp_path, "backup")


def test_a_router_is_asked_as_a_user_of_snmp_v3(net: NetnsEstate, tmp_path: Path) -> None:
    watcher, router = net.host("watcher"), net.host("router")
    (tmp_path / "sign").write_text("k-authenticates\n")
    (tmp_path / "seal").write_text("k-keeps-private\n")
    user = 'createUser reader SHA-256 "k-authenticates" AES "k-keeps-private"\nrouser reader priv\n'
    snmpd(net, router, tmp_path, f"{user}override {VRRP_STATE}.2.10 integer 3\n")
    entry = Router.model_validate({"address": router.address, "user": "reader", "vrrp": "2.10"})
    reader = SnmpUser(name="reader", authentication_credential="sign", privacy_credential="seal")
    with net.inside(watcher):
        assert until(entry, tmp_path, "primary", reader).source == "router"
        (tmp_path / "sign").write_text("k-not-that-one\n")
        assert asyncio.run(evidence(entry, tmp_path, reader))[0] is Answer.FAILED


@pytest.mark.parametrize(("state", "link"), [(3, "primary"), (2, "backup")])
def test_the_vrrp_mib_tells_whether_the_primary_is_master(
    net: NetnsEstate, tmp_path: Path, state: int, link: str
) -> None:
    watcher, router = net.host("watcher"), net.host("router")
    snmpd(net, router, tmp_path, f"override {VRRP_STATE}.2.10 integer {state}\n")
    entry = Router.model_validate({"address": router.address, "community": "snmp", "vrrp": "2.10"})
    with net.inside(watcher):
        assert until(entry, tmp_path, link).source == "router"

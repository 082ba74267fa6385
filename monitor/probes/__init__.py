"""Every kind of question that can be asked, by the name that targets and the inventory use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from monitor.probes.dns import DnsProbe
from monitor.probes.http import HttpProbe
from monitor.probes.icmp import IcmpProbe
from monitor.probes.ldap import LdapProbe
from monitor.probes.modbus import ModbusProbe
from monitor.probes.ntp import NtpProbe
from monitor.probes.nut import NutProbe
from monitor.probes.observer import ObserverProbe
from monitor.probes.outlets import OutletsProbe
from monitor.probes.postgresql import PostgresqlProbe
from monitor.probes.redfish import RedfishProbe
from monitor.probes.router import RouterProbe
from monitor.probes.snmp import SnmpProbe
from monitor.probes.ssh import SshProbe
from monitor.probes.stamp import StampProbe
from monitor.probes.tcp import TcpProbe
from monitor.probes.tls import TlsProbe
from monitor.probes.vsphere import VsphereProbe

if TYPE_CHECKING:
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Probe

PROBES: Mapping[str, Callable[[Credentials, Trust, Clock], Probe]] = {
    "dns": DnsProbe,
    "http": HttpProbe,
    "icmp": IcmpProbe,
    "ldap": LdapProbe,
    "modbus": ModbusProbe,
    "ntp": NtpProbe,
    "nut": NutProbe,
    "observer": ObserverProbe,
    "outlets": OutletsProbe,
    "postgresql": PostgresqlProbe,
    "redfish": RedfishProbe,
    "router": RouterProbe,
    "snmp": SnmpProbe,
    "ssh": SshProbe,
    "stamp": StampProbe,
    "tcp": TcpProbe,
    "tls": TlsProbe,
    "vsphere": VsphereProbe,
}

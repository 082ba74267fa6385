"""Sites and their equipment: SSH hosts, power controllers and DNS servers; vCenters have a file of their own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.inventory.values import Endpoint, Host, Key, Model, Reference, Text


class Site(Model):
    """A data centre."""

    name: Text
    role: Literal["main", "dr"]
    contact: str = ""


class SshHost(Endpoint):
    """A machine that is reached by SSH; its host key stands in ``trust.known_hosts`` as ``[address]:port``."""

    site: Key
    user: Text
    credential: Reference = Field(description="private key")
    vcenter: Key | None = Field(None, description="the vCenter its VM lives in")
    vm: Text | None = None


class PowerController(Endpoint):
    """A switched PDU with a Redfish service (DMTF DSP0266), on its own network and battery: a fence."""

    site: Key = Field(description="the site whose power it switches")
    pdu: Text = Field(description="Redfish id below /redfish/v1/PowerEquipment/RackPDUs/")
    user: Text = Field(description="may read and switch its outlet groups")
    credential: Reference


class DnsServer(Endpoint):
    """An authoritative DNS server that takes updates (RFC 2136) signed with TSIG (RFC 8945)."""

    site: Key
    tsig_name: Host
    tsig_credential: Reference = Field(description="base64 of the key, hmac-sha256")

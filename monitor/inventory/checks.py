"""Further checks that belong to a site: one class a kind, told apart by ``probe``.

A kind has exactly the keys it needs, so that a key of another kind is a mistake and not passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from monitor.inventory.checks_hosts import HostCheck
from monitor.inventory.checks_http import HttpCheck
from monitor.inventory.checks_services import ServiceCheck
from monitor.inventory.values import Host, Key, Model, Port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.equipment import SshHost


class TcpCheck(Model):
    """A port must accept a connection."""

    probe: Literal["tcp"]
    site: Key
    address: Host
    port: Port

    @property
    def door(self) -> tuple[str, int]:
        """The address and port that it connects to."""
        return self.address, self.port


class IcmpCheck(Model):
    """An address must answer echo requests."""

    probe: Literal["icmp"]
    site: Key
    address: Host


Check = Annotated[
    TcpCheck | HttpCheck | IcmpCheck | HostCheck | ServiceCheck,
    Field(discriminator="probe"),
]


def site_of(check: Check, hosts: Mapping[str, SshHost]) -> str:
    """Return the site that a check belongs to: its own, or its host's. Raises KeyError when there is no such host."""
    return hosts[check.host].site if isinstance(check, HostCheck) else check.site

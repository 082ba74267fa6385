"""Every source before every fault: the table of ``matrix_kit``, each row against a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from matrix_kit import Stand, row
from stands.links import Dns, Https, Stamp, Tls
from stands.modbus import ModbusServer
from stands.nut import NutUps
from stands.observer import Witness
from stands.redfish import PduOutlets, RedfishService
from stands.services import HttpLogin, Ldap, Ntp, Postgresql, Ssh
from stands.snmp import Router, SnmpV2c, SnmpV3
from stands.vsphere import VcenterSimulator
from stands.wire import Icmp, Tcp

from monitor.probes import PROBES

pytestmark = [pytest.mark.real, pytest.mark.anyio]

STANDS: tuple[type[Stand], ...] = (
    SnmpV2c,
    SnmpV3,
    Router,
    ModbusServer,
    NutUps,
    Witness,
    RedfishService,
    PduOutlets,
    VcenterSimulator,
    HttpLogin,
    Ldap,
    Ntp,
    Postgresql,
    Ssh,
    Icmp,
    Stamp,
    Tcp,
    Dns,
    Tls,
    Https,
)


@pytest.mark.parametrize("stand", STANDS, ids=lambda stand: stand.source)
async def test_every_fault_is_told_and_nobody_else_suffers(
    stand: type[Stand], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    mistakes = []
    async for cell in row(stand(tmp_path / "victim"), stand(tmp_path / "neighbour")):
        record_property("cell", (cell.source, cell.fault, cell.shown + (" !" if cell.mistakes else "")))
        mistakes += [f"{cell.source}, {cell.fault}: {mistake}" for mistake in cell.mistakes]
    assert not mistakes, "\n".join(mistakes)


def test_every_probe_has_a_row() -> None:
    assert {stand.probe_name for stand in STANDS} == set(PROBES)

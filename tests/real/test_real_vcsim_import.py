"""`karaula inventory import vcenter` against a vCenter that this project did not write: govmomi's simulator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyVmomi import vim
from vcsim.beside import PASSWORD, VM, behind_its_back

from console.main import karaula
from monitor.yamlfile import parse

pytestmark = [pytest.mark.anyio, pytest.mark.real]
ROOT = Path(__file__).resolve().parents[2]
FIXED = ("--set", "user=karaula", "--set", "port=22", "--set", "credential=ssh-karaula")


def at(port: int, ca: Any, folder: Path) -> None:
    """Write an inventory whose vc-main is the simulator, and its credentials."""
    text = (ROOT / "inventory.yaml").read_text()
    shipped = "address: 127.80.1.5, port: 8989, user: karaula@vsphere.local"
    assert shipped in text
    text = text.replace(shipped, f"address: 127.0.0.1, port: {port}, user: karaula")
    (folder / "inventory.yaml").write_text(text)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "vcenter-main").write_text(PASSWORD)
    (folder / "secrets" / "lab-ca.pem").write_bytes(Path(ca.bundle).read_bytes())


def bring(folder: Path, *words: str) -> Result:
    options = ("--inventory", str(folder / "inventory.yaml"), "--credentials", str(folder / "secrets"))
    return CliRunner().invoke(karaula, ["inventory", "import", "vcenter", *words, *options], catch_exceptions=False)


async def give_addresses(session: Any, *names: str) -> None:
    with behind_its_back(session) as line:
        view = line.content.viewManager.CreateContainerView(line.content.rootFolder, [vim.VirtualMachine], True)
        for number, machine in enumerate(sorted(view.view, key=lambda each: each.name)):
            if machine.name in names:
                option = vim.option.OptionValue(key="SET.guest.ipAddress", value=f"10.0.0.{number + 1}")
                machine.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option]))


async def test_a_folder_of_vms_becomes_hosts(start: Any, enter: Any, ca: Any, tmp_path: Path) -> None:
    with start() as simulator:
        await give_addresses(enter(simulator.port), VM, "DC0_C0_RP0_VM0")
        at(simulator.port, ca, tmp_path)
        printed = await asyncio.to_thread(bring, tmp_path, "vc-main", "--folder", "DC0/vm", *FIXED)
        assert printed.exit_code == 0, printed.output
        made = parse(printed.stdout.encode(), "o").data["hosts"]
        assert [*made] == ["dc0-c0-rp0-vm0", "dc0-h0-vm0"]
        assert {"site": "main", "vcenter": "vc-main", "vm": VM, "port": 22}.items() <= made["dc0-h0-vm0"].items()
        assert made["dc0-h0-vm0"]["address"].startswith("10.0.0.")
        assert printed.stderr.count("reports no address (powered on") == 6

        merged = await asyncio.to_thread(bring, tmp_path, "vc-main", *FIXED, "--into", str(tmp_path / "inventory.yaml"))
        assert merged.exit_code == 0, merged.output
        assert merged.stderr.splitlines()[-1].startswith("2 added, 0 there already")
        assert parse((tmp_path / "inventory.yaml").read_bytes(), "i").data["hosts"]["dc0-h0-vm0"]["vm"] == VM

        nowhere = await asyncio.to_thread(bring, tmp_path, "vc-main", "--folder", "DC0/vm/nowhere")
        assert nowhere.exit_code == 1
        assert "has no datacenter 'DC0/vm/nowhere'" in nowhere.stderr
        (tmp_path / "secrets" / "vcenter-main").write_text("wrong")
        refused = await asyncio.to_thread(bring, tmp_path, "vc-main")
        assert refused.exit_code == 1
        assert "does not accept user 'karaula' with this password" in refused.stderr
        assert "wrong" not in refused.output


async def test_a_vcenter_that_is_not_there_is_said(ca: Any, tmp_path: Path) -> None:
    at(1, ca, tmp_path)
    result = await asyncio.to_thread(bring, tmp_path, "vc-main")
    assert result.exit_code == 1
    assert "127.0.0.1" in result.stderr

"""The recovery half's clients over a reload: kept while what they are made of stays; none holds up another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from cli_kit import ROOT
from tls_kit import ThrowawayCa

import console.clients as under_test
from console.clients import Clients
from console.files import Changes, Files, differences, read_files
from console.options import Options
from console.reload import stale_probes
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.read import read, references_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """A configuration whose credentials are all there."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    inventory = tmp_path / "inventory.yaml"
    inventory.write_bytes((ROOT / "inventory.yaml").read_bytes())
    for _, reference in references_of(read(inventory)):
        (secrets / reference).write_text("secret\n")
    ca = ThrowawayCa(tmp_path)
    (secrets / "lab-ca.pem").write_bytes(Path(ca.bundle).read_bytes())
    return Options(inventory, ROOT / "playbooks", tmp_path / "state", secrets)


class Set:
    """Clients and the files they were made of last."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.credentials = Credentials(options.credentials)
        self.clients = Clients(self.credentials, RealClock(), backups=lambda _system: [], isolated=lambda: "")
        self.files = self.read()
        self.made = self.clients.make(self.files)
        self.clients.take(self.made)

    def read(self) -> Files:
        return read_files(self.options, self.credentials)

    def again(self) -> set[str]:
        """Reload; return the names of the clients that are new."""
        before, self.files = self.made, self.read()
        self.made = self.clients.make(self.files)
        self.clients.take(self.made)
        old = {name: id(client) for name, (_, client) in before.parts.items()}
        return {name for name, (_, client) in self.made.parts.items() if old.get(name) != id(client)}


async def test_a_client_is_made_anew_only_when_what_it_is_made_of_changed(options: Options) -> None:
    held = Set(options)
    assert options.credentials is not None
    first = held.files
    assert held.again() == set()
    assert not differences(first, held.files)
    assert stale_probes(first, held.files) == frozenset()

    (options.credentials / "vcenter-dr").write_text("another\n")
    assert held.again() == {"vcenter vc-dr"}
    assert differences(first, held.files).others == ("credentials.vcenter-dr",)
    assert str(differences(first, held.files)) == "changed credentials.vcenter-dr"
    many = Changes(added=tuple(f"link/{number}" for number in range(12)), removed=("host/a",))
    assert str(many).endswith("link/9 and 2 more; removed host/a")
    assert str(Changes()) == "nothing has changed"
    assert "vsphere" in stale_probes(first, held.files)

    text = options.inventory.read_text()
    options.inventory.write_text(text.replace("127.80.1.5, port: 8989", "127.80.1.5, port: 8990"))
    second = held.files
    assert held.again() == {"vcenter vc-main"}
    assert differences(second, held.files).changed == ("vcenter/vc-main",)
    assert stale_probes(second, held.files) == frozenset({"vsphere"})

    bundle = options.credentials / "lab-ca.pem"
    bundle.write_bytes(bundle.read_bytes() + b"\n")
    assert held.again() == {"http", "notices", "vcenter vc-main", "vcenter vc-dr"}
    await held.clients.close()


async def test_one_that_hangs_holds_up_nobody(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "LONGEST_CLOSE_S", 0.05)
    held = Set(options)
    closed: list[str] = []

    class Hangs:
        async def close(self) -> None:
            await asyncio.get_running_loop().create_future()

    class Breaks:
        async def close(self) -> None:
            raise RuntimeError("defect")

    class Closes:
        async def close(self) -> None:
            closed.append("well")

    one_more = replace(
        held.made, parts={**held.made.parts, "a": ("", Hangs()), "b": ("", Breaks()), "c": ("", Closes())}
    )
    held.clients.take(one_more)
    held.clients.take(held.made)
    await asyncio.wait_for(held.clients.close_retired(), 10)
    assert closed == ["well"]
    await held.clients.close()

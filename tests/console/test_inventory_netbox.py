"""`karaula inventory import netbox`: what NetBox's API answers, and what it never would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console.main import karaula
from monitor.yamlfile import parse

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "inventory.yaml").read_bytes()
HOSTS = "key,site,address,port,user,credential\n"
HOST = "web-9,main,10.0.0.9,22,karaula,ssh-karaula\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory.yaml").write_bytes(SHIPPED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return tmp_path


def bring(*words: str) -> Result:
    return CliRunner().invoke(karaula, ["inventory", "import", *words], catch_exceptions=False)


def table(text: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


# -- NetBox ----------------------------------------------------------------------------------------------------------


def device(**changes: Any) -> dict[str, Any]:
    """As NetBox 4 answers, less what is not read."""
    return {
        "id": 1,
        "name": "SW-Core 1",
        "status": {"value": "active", "label": "Active"},
        "site": {"id": 7, "name": "Skopje", "slug": "sk1"},
        "role": {"slug": "switch"},
        "primary_ip": {"address": "10.0.0.2/24"},
        "primary_ip4": {"id": 4, "family": {"value": 4}, "address": "10.0.0.2/24"},
        "primary_ip6": None,
        "custom_fields": {},
        **changes,
    }


def circuit(which: str, operator: str, far_end: str, crossing: str = "volkovo") -> dict[str, Any]:
    return {
        "cid": f"C-{which}",
        "status": {"value": "active"},
        "provider": {"slug": operator},
        "custom_fields": {"karaula_crossing": crossing, "karaula_link": which, "karaula_far_end": far_end},
    }


def export(*items: Any, **more: Any) -> str:
    whole = {"count": len(items), "next": None, "previous": None, "results": list(items), **more}
    Path("n.json").write_text(json.dumps(whole, indent=1))
    return "n.json"


def test_devices_and_machines_become_checks_or_hosts(folder: Path) -> None:
    name = export(
        device(),
        device(name="db-1", primary_ip4=None, primary_ip6={"address": "2001:db8::5/64"}, cluster={"name": "c"}),
        device(name="spare", status={"value": "offline"}),
        device(name="dark", primary_ip4=None),
    )
    result = bring("netbox", name, "--site", "sk1=main")
    assert result.stdout == (
        "checks:\n  sw-core-1: { probe: icmp, site: main, address: 10.0.0.2 }\n"
        '  db-1: { probe: icmp, site: main, address: "2001:db8::5" }\n'
    )
    assert "spare is offline, not active" in result.stderr
    assert "dark has no primary IP address" in result.stderr
    fixed = ("--set", "user=karaula", "--set", "port=22", "--set", "credential=ssh-karaula")
    result = bring("netbox", name, "--to", "hosts", "--site", "sk1=main", *fixed, "--into", "inventory.yaml")
    assert result.exit_code == 0
    assert parse((folder / "inventory.yaml").read_bytes(), "i").data["hosts"]["sw-core-1"]["port"] == 22


def test_circuits_that_say_whom_they_serve_become_links(folder: Path) -> None:
    silent = {"cid": "C-3", "status": {"value": "active"}, "provider": {"slug": "x"}, "custom_fields": {}}
    name = export(circuit("primary", "operator-a", "10.0.0.1"), silent, circuit("backup", "operator-b", "10.0.0.2"))
    result = bring("netbox", name)
    assert result.stdout == (
        "links:\n  volkovo: { primary: { operator: operator-a, far_end: 10.0.0.1 }, "
        "backup: { operator: operator-b, far_end: 10.0.0.2 } }\n"
    )
    assert "circuit C-3 does not say which crossing it serves (custom field karaula_crossing)" in result.stderr
    result = bring("netbox", name, "--into", "inventory.yaml")
    assert result.exit_code == 1
    assert "links.volkovo: links of a crossing that is not in crossings" in result.stderr


@pytest.mark.parametrize(
    ("items", "more", "said"),
    [
        ([device(), {"id": 2}], {}, "this object has no name, and no cid"),
        ([device(primary_ip4={"address": "10.0.0.300"})], {}, "'10.0.0.300' of 'SW-Core 1' is no address"),
        ([device(site=None)], {}, "'SW-Core 1' is at no site"),
        ([device(name="???")], {}, "no key can be made of the name"),
        ([device(), device()], {}, "the key 'sw-core-1' is that of line"),
        ([device()], {"next": "https://netbox/api/?offset=50", "count": 51},
         "this is one page: 1 of 51 objects; ask NetBox again"),
        ([circuit("primary", "a", "10.0.0.1")], {}, "crossing 'volkovo' has no backup circuit"),
        ([circuit("third", "a", "10.0.0.1")], {}, "circuit C-third: 'third' is neither primary nor backup"),
        ([circuit("backup", "a", "")], {}, "circuit C-backup has no custom field 'karaula_far_end'"),
        (["x"], {}, "expected an object"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_an_export_is_said_at_its_object(folder: Path, items: list[Any], more: Any, said: str) -> None:
    result = bring("netbox", export(*items, **more))
    assert result.exit_code == 1
    assert said in result.stderr
    line = int(result.stderr.split(":")[1])
    assert line == 1 or Path("n.json").read_text().splitlines()[line - 1].strip()[:1] in '{"x'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "n.json:1:2: not JSON: Expecting property name"),
        ("3", "n.json:1:1: holds no list of NetBox's objects"),
        ('{"results": [NaN]}', "n.json:1:1: not JSON that NetBox would write"),
        ("[" * 100_000, "n.json:1:1: not JSON that NetBox would write"),
        ("[]", "nothing to import"),
    ],
)
def test_what_is_no_export_is_said(folder: Path, text: str, said: str) -> None:
    Path("n.json").write_text(text)
    assert bring("netbox", "n.json").stderr.startswith(said)

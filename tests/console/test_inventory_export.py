"""`karaula inventory export`: every item once, relations both ways, nothing secret, nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from console.items import FORMULA, Item, items, to_csv, to_json
from console.main import karaula
from monitor.inventory.dependencies import depends_on
from monitor.inventory.read import read
from monitor.yamlfile import parse

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "inventory.yaml"
ESTATE = read(SHIPPED)
SECRETIVE = {"credential", "tsig_credential", "community", "user", "tsig_name", "tls_ca", "known_hosts"} | {
    "authentication_credential",
    "privacy_credential",
}


def said(*words: str) -> str:
    result = CliRunner().invoke(karaula, ["inventory", "export", "--inventory", str(SHIPPED), *words])
    assert result.exit_code == 0, result.output
    return result.stdout_bytes.decode()


def test_every_subject_and_operator_is_an_item_and_relations_go_both_ways() -> None:
    found = {item.id: item for item in items(ESTATE)}
    assert {*depends_on(ESTATE), *(f"operator/{key}" for key in ESTATE.operators)} <= {*found}
    there = {(item.id, other) for item in found.values() for other in item.depends_on}
    back = {(other, item.id) for item in found.values() for other in item.required_by}
    assert there == back
    assert {other for _, other in there} <= {*found}
    cdeps = found["system/cdeps"]
    assert {"system/ite", "front/cdeps/main", "database/cdeps/dr", "dns/dns-dr", "host/vault-dr"} <= {*cdeps.depends_on}
    assert "system/cdeps" in found["system/ite"].required_by
    assert found["link/blace/primary"] == Item(
        "link/blace/primary",
        "network circuit",
        "blace/primary",
        "",
        "noc@operator-a.example",
        "127.80.104.1",
        ("operator/operator-a",),
        ("crossing/blace",),
    )
    assert found["crossing/jazince"].name == "Jažince"
    vm = found["vm/vc-dr/ncts-db-1"]
    assert (vm.kind, vm.site, vm.owner) == ("virtual machine", "dr", "duty-dr@customs.example")
    assert found["site/main"].depends_on == ()


def test_both_forms_say_the_same() -> None:
    document = json.loads(said())
    assert document["schema_version"] == 1
    rows = list(csv.DictReader(io.StringIO(said("--format", "csv"), newline="")))
    assert [row["id"] for row in rows] == [item["id"] for item in document["items"]]
    assert [row["class"] for row in rows] == [item["class"] for item in document["items"]]
    for row, item in zip(rows, document["items"], strict=True):
        assert [part for part in row["depends_on"].split(" | ") if part] == item["depends_on"]


def secrets(data: Any) -> Iterator[str]:
    """Yield every value of a key that names a secret or an account, and every word of a command."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in SECRETIVE:
                yield str(value)
            elif key == "commands":
                yield from (word for words in value.values() for word in words)
            else:
                yield from secrets(value)
    elif isinstance(data, list):
        for value in data:
            yield from secrets(value)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_no_secret_account_or_command_is_among_them(tmp_path: Path, form: str) -> None:
    text = SHIPPED.read_text()
    for key in sorted(SECRETIVE):
        text = text.replace(f"{key}: ", f"{key}: CANARY-")
    text = text.replace("[ledgerctl", "[CANARY-ledgerctl")
    path = tmp_path / "inventory.yaml"
    path.write_text(text)
    hidden = set(secrets(parse(text.encode(), "i").data))
    assert sum("CANARY" in each for each in hidden) >= 8
    made = items(read(path))
    shown = to_csv(made) if form == "csv" else to_json(made, "e")
    assert "CANARY" not in shown
    assert "ledgerctl" not in shown


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=20), st.sampled_from(["", *FORMULA, "\n=", "\x00"]))
def test_no_cell_is_a_formula_or_breaks_its_row(text: str, begin: str) -> None:
    hostile = begin + text
    item = Item(hostile, hostile, hostile, hostile, hostile, hostile, (hostile, "vm/a/b"), ())
    rows = list(csv.reader(io.StringIO(to_csv([item]), newline="")))
    assert [len(row) for row in rows] == [8, 8]
    assert not any(cell.startswith(FORMULA) for row in rows for cell in row)
    assert len(to_csv([item]).splitlines()) == 2
    assert json.loads(to_json([item], "e"))["items"][0]["name"] == hostile

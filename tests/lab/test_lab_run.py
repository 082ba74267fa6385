"""``python -m lab`` as a person meets it: start, traffic, faults by the control port, a failover by hand, stop."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.update
import pytest
from estate_kit import REPOSITORY, ControlError, RunningLab, free_octet, own_inventory, start_lab

from monitor.inventory.read import read, references_of

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("run"), rate=40, replication_delay_s=0.5) as running:
        yield running


@pytest.fixture(autouse=True)
def healed(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").clear()


def receipts(lab: RunningLab, system: str) -> dict[str, Any]:
    trust = ssl.create_default_context(cafile=lab.credentials / "lab-ca.pem")
    url = f"https://{lab.address('3.10')}:8443/receipts/{system}"
    with urllib.request.urlopen(url, context=trust, timeout=60) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def fence(lab: RunningLab, pdu: str, group: str, state: str) -> None:
    trust = ssl.create_default_context(cafile=lab.credentials / "lab-ca.pem")
    secret = base64.b64encode(b"karaula:" + (lab.credentials / pdu).read_bytes()).decode()
    site = {"pdu-main": 1, "pdu-dr": 2}[pdu]
    request = urllib.request.Request(
        f"https://{lab.address(f'{site}.6')}:8444/redfish/v1/PowerEquipment/RackPDUs/{pdu}/OutletGroups/{group}"
        "/Actions/OutletGroup.PowerControl",
        json.dumps({"PowerState": state}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {secret}"},
    )
    with urllib.request.urlopen(request, context=trust, timeout=60):  # noqa: S310 - likewise
        pass


async def run_on(lab: RunningLab, address: str, command: str) -> dict[str, Any]:
    async with asyncssh.connect(
        lab.address(address),
        2222,
        username="karaula",
        client_keys=[str(lab.credentials / "ssh-karaula")],
        known_hosts=str(lab.credentials / "known_hosts"),
        config=None,
    ) as connection:
        done = await connection.run(command, check=True)
    document: dict[str, Any] = json.loads(str(done.stdout))
    return document


def point(lab: RunningLab, server: str, name: str, address: str) -> None:
    secret = (lab.credentials / "tsig-karaula").read_text()
    keys = dns.tsigkeyring.from_text({"karaula": ("hmac-sha256", secret)})
    update = dns.update.UpdateMessage("customs.example", keyring=keys)
    update.replace(name, 30, "A", lab.address(address))
    answer = dns.query.udp(update, lab.address(server), port=5353, timeout=60)
    assert answer.rcode() == dns.rcode.NOERROR


@pytest.mark.anyio
async def test_a_failover_by_hand_over_the_real_protocols(lab: RunningLab) -> None:
    lab.wait_for("ncts", lambda one: one["acknowledged"] > 20 and one["positions"]["dr"] > 5)
    told = receipts(lab, "ncts")
    assert told["newest_position"] >= told["acknowledged"] > 20
    lab.fault("cut-site", "main")
    dead = lab.truth("ncts")
    assert (dead["writable_sites"], dead["lost"]) == ([], None)
    assert not lab.lab_state()["sites"]["main"]["power"]
    fence(lab, "pdu-main", "ncts", "Off")
    status = await run_on(lab, "2.22", "ledgerctl promote --epoch 2")
    assert (status["role"], status["epoch"]) == ("primary", 2)
    assert (await run_on(lab, "2.22", "ledgerctl promote --epoch 2"))["role"] == "primary"
    point(lab, "2.53", "ncts", "2.12")
    acknowledged = dead["acknowledged"]
    alive = lab.wait_for("ncts", lambda one: one["acknowledged"] > acknowledged + 5)
    assert alive["writable_sites"] == ["dr"]
    assert alive["lost"] == acknowledged - dead["positions"]["dr"] > 0
    promotions = [one for one in lab.truth("ncts")["effects"] if one["what"] == "promote"]
    assert [one["changed"] for one in promotions] == [True, False]
    lab.clear("cut-site", "main")
    after = lab.wait_for("cdeps", lambda one: one["active"] == "main")
    assert not after["ever_double_writable"]
    ncts = lab.truth("ncts")
    assert (ncts["writable_sites"], ncts["ever_double_writable"]) == (["dr"], False)
    assert ncts["addresses"]["dns-main"] == lab.address("2.12"), "dns-main has copied the zone at its return"
    fence(lab, "pdu-main", "ncts", "On")  # the mistake that the fence guards against
    broken = lab.wait_for("ncts", lambda one: bool(one["ever_double_writable"]))
    assert broken["writable_sites"] == ["main", "dr"]
    assert (await run_on(lab, "1.22", "ledgerctl follow --peer dr"))["discarded"] > 0
    healed = lab.wait_for("ncts", lambda one: one["writable_sites"] == ["dr"])
    assert healed["ever_double_writable"], "never forgotten"


def test_traffic_can_be_stopped_and_goes_on(lab: RunningLab) -> None:
    lab.fault("stop-traffic", "ite")
    lab.wait_for("ite", lambda one: one["positions"]["main"] == one["positions"]["dr"])
    quiet = lab.truth("ite")["acknowledged"]
    lab.clear("stop-traffic", "ite")
    lab.wait_for("ite", lambda one: one["acknowledged"] > quiet)


def test_control_says_what_is_wrong(lab: RunningLab) -> None:
    with pytest.raises(ControlError, match="unknown fault 'cut-moon'"):
        lab.fault("cut-moon", "main")
    with pytest.raises(ControlError, match="'fault' and 'target' must be given"):
        lab.control("/faults", {"fault": "cut-site"})
    with pytest.raises(ControlError, match="there is no GET /truth/moon"):
        lab.truth("moon")
    with pytest.raises(ControlError, match="send a JSON object"):
        lab.control("/clear", [])  # type: ignore[arg-type] # on purpose
    lab.fault("cut-link", "blace/primary")
    assert [one["target"] for one in lab.control("/faults")["faults"]] == ["blace/primary"]
    assert lab.control("/faults/cut-link/blace/primary", method="DELETE") == {"cleared": 1}
    assert lab.clear("cut-link", "blace/primary") == 0


def test_a_page_of_another_origin_cannot_give_orders(lab: RunningLab) -> None:
    request = urllib.request.Request(f"{lab.url}/clear", b'{"all": true}', {"Origin": "https://elsewhere.example"})  # noqa: S310 - our own URL
    with pytest.raises(urllib.error.HTTPError, match="403"), urllib.request.urlopen(request, timeout=60):  # noqa: S310 - likewise
        pass


def test_the_page_has_buttons(lab: RunningLab) -> None:
    with urllib.request.urlopen(lab.url, timeout=60) as answer:  # noqa: S310 - our own URL
        page = answer.read().decode()
    assert "Cut the power" in page
    assert "http" not in page.replace("http-equiv", ""), "no outside assets"


def test_credentials_are_for_their_owner_alone(lab: RunningLab) -> None:
    assert lab.credentials.stat().st_mode & 0o777 == 0o700
    files = sorted(lab.credentials.iterdir())
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    named = {reference for _, reference in references_of(read(lab.inventory))}
    assert {path.name for path in files} == named


def test_identities_outlive_a_restart(tmp_path: Path) -> None:
    def secrets(lab: RunningLab) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in lab.credentials.iterdir()}

    with start_lab(tmp_path) as first:
        before = secrets(first)
    with start_lab(tmp_path, first.octet) as second:
        assert secrets(second) == before
        second.wait_for("cdeps", lambda one: one["acknowledged"] > 0)


def test_a_taken_address_is_one_clear_message(tmp_path: Path) -> None:
    with start_lab(tmp_path, rate=0) as lab:
        done = subprocess.run(
            [sys.executable, "-m", "lab", "--inventory", lab.inventory, "--state", tmp_path / "other"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("the lab cannot start: ")
    assert "Address already in use" in done.stderr or "address already in use" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--state", "x"], "required: --inventory"),
        (["--inventory", "i", "--state", "x", "--control", "0.0.0.0:80"], "is not an address:port on loopback"),
        (["--inventory", "i", "--state", "x", "--rate", "-1"], "-1 is negative"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr


def test_an_inventory_that_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "--inventory", tmp_path / "no.yaml", "--state", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "no.yaml" in done.stderr


def test_the_kit_gives_each_its_own_octet(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(free_octet()) for _ in range(3)]
        assert len(set(taken)) == 3
        assert f"127.{taken[0]}.1.5" in own_inventory(tmp_path, taken[0]).read_text()
        assert "127.80." not in own_inventory(tmp_path, taken[0]).read_text()

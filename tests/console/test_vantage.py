"""`karaula vantage`: what it refuses, and what it answers to whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient
from tls_kit import ThrowawayCa

from console.api.bearer import fits
from console.main import karaula
from console.vantage import make_app, point_of
from monitor.clock import ManualClock
from monitor.credential import Credentials, Secret
from monitor.inventory.read import read
from monitor.observer import Observer
from monitor.probe import Answer, Observation
from monitor.probes.observer import ObserverParams
from monitor.probes.observer import read as understood

ROOT = Path(__file__).parents[2]
TOKEN = "correct horse battery staple"
INVENTORY = read(ROOT / "inventory.yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["witnes"], "did you mean 'witness'?"),
        (["tabanovce"], "the inventory has no observer 'tabanovce'"),
        (["witness", "--listen", "0.0.0.0:0"], "is not loopback, so its answers need a certificate"),
        (["witness", "--listen", "127.0.0.1:0"], "is shorter than 16 characters"),
        (["witness", "--listen", "127.0.0.1"], "is not ADDRESS:PORT"),
    ],
)
def test_an_observer_that_cannot_be_is_refused_in_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "vantage-witness").write_text("short")
    places = ["--inventory", str(ROOT / "inventory.yaml"), "--credentials", str(tmp_path)]
    done = CliRunner().invoke(karaula, ["vantage", *words, *places])
    assert done.exit_code != 0
    assert said in done.output


@pytest.mark.parametrize(
    ("header", "token", "known"),
    [
        (f"Bearer {TOKEN}", TOKEN, True),
        (f"bearer  {TOKEN}", TOKEN, True),
        (TOKEN, TOKEN, False),
        (f"Basic {TOKEN}", TOKEN, False),
        (f"Bearer {TOKEN}x", TOKEN, False),
        ("Bearer ", "", False),
        ("Bearer short", "short", False),
        ("Bearer \ud800", TOKEN, False),
        ("", TOKEN, False),
    ],
)
def test_a_token_is_known_whole_or_not_at_all(header: str, token: str, *, known: bool) -> None:
    assert fits(header, Secret(token)) is known


def test_it_says_what_it_sees_as_the_daemon_reads_it(tmp_path: Path) -> None:
    (tmp_path / "vantage-witness").write_text(TOKEN)
    (tmp_path / "lab-ca.pem").write_bytes(ThrowawayCa(tmp_path / "ca").bundle.read_bytes())
    clock, credentials = ManualClock(1_790_000_000.0), Credentials(tmp_path)
    observer = Observer("witness", INVENTORY, credentials, clock)
    client = TestClient(make_app(observer, credentials, point_of(INVENTORY, "witness").credential))
    params = ObserverParams(
        "https://witness", "", frozenset((key, site) for key in INVENTORY.systems for site in ("main", "dr"))
    )
    me = {"Authorization": f"Bearer {TOKEN}"}

    def words() -> dict[str, str]:
        _, facts = understood(client.get("/api/opinion", headers=me).content, params)
        return {side: word for side, word in facts.items() if not side.endswith("reason")}

    def see(answer: Answer, subject: str) -> None:
        observer._observed(Observation(subject, "http", clock.now(), answer, "refused", {}, {"role": "active"}))

    assert client.get("/api/opinion").status_code == 401
    assert client.get("/api/opinion", headers={"Authorization": "Bearer no"}).status_code == 401
    assert client.get("/api/runs", headers=me).status_code == 404
    assert client.post("/api/opinion", headers=me).status_code == 405
    assert set(words().values()) == {"unknown"}
    see(Answer.OK, "anchor/message-gateway")
    for side in words():
        see(Answer.OK, f"front/{side}")
    assert set(words().values()) == {"up"}
    for _ in range(2):
        clock.advance(2)
        see(Answer.FAILED, "front/ncts/main")
        see(Answer.OK, "anchor/message-gateway")
    assert words()["ncts/main"] == "down"
    assert words()["ncts/dr"] == "up"
    clock.advance(60)
    assert set(words().values()) == {"unknown"}
    see(Answer.FAILED, "anchor/message-gateway")
    for side in words():
        see(Answer.FAILED, f"front/{side}")
    reply = json.loads(client.get("/api/opinion", headers=me).content)
    assert "the anchor message-gateway does not answer" in reply["isolated"]
    assert {site["word"] for system in reply["systems"].values() for site in system.values()} == {"unknown"}
    (tmp_path / "vantage-witness").unlink()
    assert client.get("/api/opinion", headers=me).status_code == 503

"""Alertmanager's door: the token, what comes in, and what stands; over the daemon's own socket and gate."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest
from cli_kit import DeskDaemon, desk_daemon

from monitor.inventory.behaviour import Response

TOKEN = "correct horse battery staple"
LABELS = {"alertname": "NctsDown", "site": "main"}
RESPONSE = Response(alert=LABELS, system="ncts", playbook="failover")
ALERT = {
    "status": "firing",
    "labels": LABELS,
    "annotations": {"summary": "no route"},
    "startsAt": "2026-11-26T10:00:00Z",
    "fingerprint": "f00dfeed",
}


def posted(daemon: DeskDaemon, body: object, token: str = TOKEN) -> httpx2.Response:
    plain = httpx2.HTTPTransport(uds=str(daemon.socket), verify=False)
    with httpx2.Client(transport=plain, base_url="http://karaula") as client:
        return client.post("/api/alerts", json=body, headers={"Authorization": f"Bearer {token}"})


def got(daemon: DeskDaemon) -> list[dict[str, object]]:
    plain = httpx2.HTTPTransport(uds=str(daemon.socket), verify=False)
    with httpx2.Client(transport=plain, base_url="http://karaula") as client:
        found: list[dict[str, object]] = client.get("/api/alerts").json()
    return found


def test_alerts_come_in_with_the_token_alone_and_stand_until_resolved() -> None:
    with desk_daemon() as daemon:
        (daemon.folder / "alertmanager-token").write_text(TOKEN)
        desk = daemon.front.app.state.desk
        desk.responding.reload(desk.inventory, {"ncts-alert": RESPONSE})
        webhook = {"version": "4", "alerts": [ALERT, {**ALERT, "labels": {"alertname": "Other"}}]}
        assert posted(daemon, webhook, "no").status_code == 401
        assert got(daemon) == []
        assert posted(daemon, webhook).json() == {"used": 1, "ignored": 1}
        (standing,) = got(daemon)
        assert (standing["labels"], standing["reason"]) == (LABELS, "Alertmanager says NctsDown: no route")
        for wrong in ({"version": "3", "alerts": []}, [], {"version": "4", "alerts": [{**ALERT, "status": 1}]}):
            reply = posted(daemon, wrong)
            assert reply.status_code == 422
            assert TOKEN not in reply.text
        resolved = {"version": "4", "alerts": [{**ALERT, "status": "resolved"}]}
        assert posted(daemon, resolved).json() == {"used": 1, "ignored": 0}
        assert got(daemon) == []
        (daemon.folder / "alertmanager-token").unlink()
        assert posted(daemon, webhook).status_code == 503
        closed = desk.inventory.model_copy(update={"alertmanager": None})
        daemon.front.change(replace(desk, inventory=closed))
        assert posted(daemon, webhook).status_code == 404


@pytest.mark.parametrize("size", [70_000])
def test_a_body_beyond_the_gate_is_not_read(size: int) -> None:
    with desk_daemon() as daemon:
        (daemon.folder / "alertmanager-token").write_text(TOKEN)
        assert posted(daemon, {"version": "4", "alerts": [], "more": "x" * size}).status_code == 413

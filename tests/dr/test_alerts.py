"""Alerts of others: dedup, resolution, forgetting, hostile webhooks, and what a response makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import house
from pydantic import ValidationError

from console.api.alertmanager import Webhook
from dr.alerts import MOST, Alert, Alerts, asks_for
from dr.journal.run import RunState
from dr.loss import Loss
from dr.trigger import AlarmNote, Trigger
from monitor.inventory.behaviour import Response
from monitor.status.votes import Poll, Vote, Word

LABELS = {"alertname": "NctsDown", "site": "main", "severity": "critical"}
RESPONSE = Response(
    alert={"alertname": "NctsDown", "site": "main"}, system="ncts", playbook="failover", mode="prepare", grace_s=30
)
RESPONSES = [RESPONSE, Response(alarm="system-down", system="ncts", playbook="failover")]
EARLY, LATE = "2026-11-26T10:00:00Z", "2026-11-26T11:00:00Z"


def alert(starts_at: str = EARLY, *, firing: bool = True, fingerprint: str = "a1", **labels: str) -> Alert:
    return Alert(fingerprint, starts_at, firing, LABELS | labels, "no route")


def refs(alerts: Alerts) -> list[str]:
    return [heard.alert.ref for heard in alerts.standing()]


def test_the_same_alert_told_again_is_one_and_stands_since_it_was_first_heard() -> None:
    alerts = Alerts()
    for at in (100.0, 110.0, 120.0):
        assert alerts.take([alert(), alert()], RESPONSES, at) == (2, 0)
    (heard,) = alerts.standing()
    assert (heard.since, heard.at, heard.reason) == (100.0, 120.0, "Alertmanager says NctsDown: no route")


@pytest.mark.parametrize("start", [EARLY, LATE, "2019-01-01T00:00:00Z"])
def test_what_is_resolved_is_over_whatever_start_its_end_names(start: str) -> None:
    """Alertmanager merges what it is told of one alert and takes the earliest start, also when it resolves."""
    alerts = Alerts()
    alerts.take([alert(EARLY), alert(LATE), alert(fingerprint="b2")], RESPONSES, 1.0)
    assert alerts.take([alert(start, firing=False)], RESPONSES, 2.0) == (1, 0)
    assert refs(alerts) == [f"alert:b2:{EARLY}"]
    assert alerts.take([alert(start, firing=False)], RESPONSES, 3.0) == (0, 1)


@pytest.mark.parametrize("now", [1.0 + 61, 1.0 - 61])
def test_what_nobody_repeats_is_forgotten_also_by_a_clock_set_back(now: float) -> None:
    alerts = Alerts()
    alerts.take([alert()], RESPONSES, 1.0)
    alerts.forget(60, 61.0)
    assert refs(alerts)
    alerts.forget(60, now)
    assert not refs(alerts)


def test_only_what_a_response_asks_for_is_kept_and_never_without_end() -> None:
    alerts = Alerts()
    assert alerts.take([alert(site="dr"), alert(alertname="Other")], RESPONSES, 1.0) == (0, 2)
    many = [alert(fingerprint=f"{number:x}") for number in range(MOST + 5)]
    assert alerts.take(many, RESPONSES, 1.0) == (MOST, 5)
    assert alerts.take(many[:3], RESPONSES, 2.0) == (3, 0)


@given(st.dictionaries(st.sampled_from(["alertname", "site", "x"]), st.sampled_from(["NctsDown", "main", ""])))
def test_a_response_wants_all_of_its_labels_word_for_word(labels: dict[str, str]) -> None:
    assert asks_for(RESPONSE, labels) is (labels.get("alertname") == "NctsDown" and labels.get("site") == "main")
    assert not asks_for(RESPONSES[1], labels)


def webhook(**more: Any) -> dict[str, Any]:
    one = {
        "status": "firing",
        "labels": LABELS,
        "annotations": {"summary": "no route"},
        "startsAt": "2026-11-26T10:00:00.123456789+01:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "f00dfeed00c0ffee",
        **more,
    }
    return {
        "version": "4",
        "groupKey": "{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "k",
        "alerts": [one],
    }


def test_a_webhook_of_alertmanager_is_read() -> None:
    (told,) = Webhook.model_validate_json(json.dumps(webhook())).alerts
    assert (told.status, told.fingerprint, told.labels) == ("firing", "f00dfeed00c0ffee", LABELS)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "[" * 50_000,
        json.dumps({**webhook(), "version": "3"}),
        json.dumps({**webhook(), "version": 4}),
        json.dumps({**webhook(), "alerts": webhook()["alerts"] * 501}),
        json.dumps(webhook(status="perhaps")),
        json.dumps(webhook(fingerprint="../../etc")),
        json.dumps(webhook(fingerprint="a" * 33)),
        json.dumps(webhook(startsAt="yesterday\n")),
        json.dumps(webhook(startsAt="2026" * 20)),
        json.dumps(webhook(labels={"alertname": 7})),
        json.dumps(webhook(labels={"alertname": "x" * 1001})),
        json.dumps(webhook(labels={str(number): "" for number in range(65)})),
        json.dumps(webhook(labels=["alertname"])),
    ],
)
def test_anything_else_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        Webhook.model_validate_json(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["status", "fingerprint", "startsAt", "labels", "annotations"]), JSON)
def test_whatever_is_posted_is_bounded_or_refused(name: str, value: Any) -> None:
    try:
        told = Webhook.model_validate_json(json.dumps(webhook(**{name: value}))).alerts
    except ValidationError:
        return
    for one in told:
        alerts = Alerts()
        alerts.take([Alert(one.fingerprint, one.startsAt, True, one.labels, "a\nb\u202e")], RESPONSES, 1.0)
        assert all("\n" not in heard.reason and len(heard.reason) <= 300 for heard in alerts.standing())


@pytest.mark.anyio
async def test_an_alert_prepares_is_withdrawn_when_resolved_and_is_trusted_no_more_than_our_own(tmp_path: Path) -> None:
    lost = Poll("main", 2, tuple(Vote(f"p{n}", Word.DOWN, "site/main", 1.0, "") for n in range(2)))
    for mode, poll, expected in (
        ("prepare", lost, RunState.WAITING),
        ("automatic", replace(lost, needed=3), RunState.WAITING),
        ("automatic", lost, RunState.SUCCEEDED),
    ):
        folder = tmp_path / f"{mode}-{poll.needed}"
        folder.mkdir()
        async with house(folder) as at:
            world = at.orchestrator.world
            at.orchestrator.world = replace(
                world,
                poll=lambda _system, _site, said=poll: said,
                unverified=lambda _plan: "",
                expected_loss=lambda *_: Loss(0.0, 0, "seen"),
            )
            response = RESPONSE.model_copy(update={"mode": mode})
            trigger = Trigger({"ncts-alert": response}, at.orchestrator, at.clock.now)
            note = AlarmNote(alert().ref, "NctsDown", "", at.clock.now(), "Alertmanager says so", 0.0, LABELS)
            trigger.raised(note)
            trigger.raised(replace(note, ref="2", labels={"alertname": "Other"}))
            await trigger.tick()
            assert not at.orchestrator.runs()
            at.clock.advance(30 + world.inventory.vantage.vote_max_age_s)
            await trigger.tick()
            (run,) = at.orchestrator.runs()
            assert run.origin_ref == f"ncts-alert:{note.ref}"
            run = await at.until(run, expected)
            trigger.cleared(note.ref)
            await trigger.tick()
            if expected is RunState.WAITING:
                assert (await at.until(run)).state is RunState.CANCELED


def test_what_waits_over_a_restart_is_believed_until_it_is_told_again_or_forgotten() -> None:
    alerts = Alerts()
    alerts.resume([alert().ref, "alert:nonsense", "17"], 5.0)
    assert refs(alerts) == [alert().ref]
    alerts.take([alert()], RESPONSES, 9.0)
    (heard,) = alerts.standing()
    assert (heard.since, heard.at, dict(heard.alert.labels)) == (5.0, 9.0, LABELS)

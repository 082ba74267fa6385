"""Sensors of a UPS: numbers, flags, and what is neither."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.errors import Unreachable
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes import nut
from monitor.probes.nut import NutParams, NutProbe, as_number

VARIABLES = {"battery.charge": "87", "ups.load": "n/a", "ups.status": "OL CHRG", "ups.mfr": "ACME"}


async def observed(monkeypatch, tmp_path: Path, *names: str, error: Exception | None = None) -> list[Observation]:
    asked: list[str] = []

    async def variables(_address: str, _port: int, ups: str, _timeout_s: float) -> Mapping[str, str]:
        asked.append(ups)
        if error is not None:
            raise error
        return VARIABLES

    monkeypatch.setattr(nut, "variables", variables)
    probe = NutProbe(Credentials(tmp_path), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), ManualClock())
    targets = [Target(f"sensor/{name}", "nut", NutParams("127.0.0.1", 3493, "ups-a", name), 10, 3) for name in names]
    seen = [one async for one in probe.observe(targets)]
    assert asked == ["ups-a"]
    return seen


@pytest.mark.anyio
async def test_one_question_a_ups(monkeypatch, tmp_path: Path) -> None:
    seen = await observed(monkeypatch, tmp_path, "battery.charge", "ups.status", "ups.load", "ups.temperature")
    assert [one.answer for one in seen] == [Answer.OK, Answer.OK, Answer.FAILED, Answer.FAILED]
    assert [one.values.get("value") for one in seen] == [87.0, None, None, None]
    assert seen[0].facts == seen[1].facts == {"ups_status": "OL CHRG"}
    assert "ups.load is not a number" in seen[2].reason
    assert "no variable ups.temperature" in seen[3].reason


@pytest.mark.anyio
async def test_a_lost_ups_fails_all_its_sensors(monkeypatch, tmp_path: Path) -> None:
    seen = await observed(monkeypatch, tmp_path, "battery.charge", "ups.load", error=Unreachable("DATA-STALE"))
    assert [(one.answer, one.reason) for one in seen] == [(Answer.FAILED, "DATA-STALE")] * 2


@given(st.text(max_size=60))
def test_a_reading_is_finite_or_none(text: str) -> None:
    number = as_number(text)
    assert number is None or math.isfinite(number)

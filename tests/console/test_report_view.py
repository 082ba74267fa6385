"""How a report's figures read on a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from console.terminal.report_view import measured, report_view
from console.terminal.screen import Screen


@pytest.mark.parametrize(("lost", "words"), [(0.0, "0 declarations"), (1.0, "1 declaration"), (2.0, "2 declarations")])
def test_a_count_agrees_with_its_noun(lost: float, words: str) -> None:
    figure = {
        "title": "Lost declarations (RPA)",
        "value": lost,
        "unit": "declarations",
        "bound": "",
        "objective": None,
        "met": None,
        "note": "",
    }
    console = Console(width=120)
    with console.capture() as caught:
        console.print(measured({"measures": [figure]}))
    assert caught.get().splitlines()[1].strip().endswith(words)


def test_who_put_a_rule_out_of_force_stands_in_the_report() -> None:
    one: dict[str, Any] = {"rule": "fencing", "by": "vera", "confirmed_by": "boris", "reason": "dark and cold"}
    one |= {"asked_at": 0.0, "expires_at": 3600.0, "ended_at": 1800.0}
    alone = {**one, "rule": "blackout", "confirmed_by": "", "ended_at": None}
    useless = {**one, "confirmed_by": ""}
    report = {"measures": [], "findings": [], "not_known": [], "drift": [], "people": [], "steps": [], "timeline": []}
    words = ("run_id", "state", "reason", "playbook", "system_name", "from_site", "to_site", "requester", "by_itself")
    named = dict.fromkeys((*words, "approved_by", "readiness", "end_reason"), "")
    console = Console(width=160)
    with console.capture() as caught:
        console.print(*report_view({**report, **named, "overrides": [one, alone, useless]}, Screen()))
    rows = [line.split() for line in caught.get().splitlines()]
    assert any(row[:3] == ["fencing", "vera", "boris"] and row[-3:] == ["dark", "and", "cold"] for row in rows)
    assert any(row[:4] == ["blackout", "vera", "not", "needed"] for row in rows)
    assert any(row[:4] == ["fencing", "vera", "nobody:", "it"] for row in rows)

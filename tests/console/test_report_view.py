"""How a report's figures read on a terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from console.terminal.report_view import measured


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

"""The report as PDF and its pictures: they say what the report says, whatever the run's texts hold."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_kit import need
from test_evidence_report import reported, whole

from dr.evidence.collect import Measure
from dr.evidence.pdf import OUTPUT_LINES, to_pdf
from dr.evidence.picture import parts, picture, ticks
from dr.evidence.render import to_html
from dr.evidence.report import Attempt, Report

EVIL = "a & b <img src=x onerror=1> </para> \x00\x07 漢 ${x} Ѓорѓи"


def words(pdf: bytes, folder: Path) -> str:
    """Return the text of a PDF as poppler reads it."""
    path = folder / "report.pdf"
    path.write_bytes(pdf)
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], check=True, capture_output=True, timeout=60)
    return done.stdout.decode()


@pytest.mark.real
def test_the_pdf_says_what_the_report_says(tmp_path: Path) -> None:
    need("pdftotext", "poppler-utils")
    made = reported(whole())
    text = " ".join(words(to_pdf(made), tmp_path).split())
    for said in (made.run_id, made.requester, made.plan_hash, "Recovery time (RTA)", "What is not known", "page 1 of"):
        assert said in text
    for finding in made.findings:
        assert finding.what in text
    for moment in made.timeline:
        assert moment.text in text


@pytest.mark.real
def test_hostile_text_is_text_and_a_long_output_is_cut_and_said_so(tmp_path: Path) -> None:
    need("pdftotext", "poppler-utils")
    output = "\n".join(f"line {n}" for n in range(OUTPUT_LINES + 7))
    made = replace(reported(whole(), {("fence", 1): output}), reason=EVIL, estate=EVIL, run_id="r" * 300)
    text = words(to_pdf(made), tmp_path)
    assert "a & b <img src=x onerror=1> </para>" in " ".join(text.split())
    assert "Ѓорѓи" in text
    assert "漢" not in text
    assert f"line {OUTPUT_LINES - 1}" in text
    assert f"line {OUTPUT_LINES}" not in text
    assert "7 more lines" in text


def test_the_same_report_makes_the_same_bytes() -> None:
    assert to_pdf(reported(whole())) == to_pdf(reported(whole()))


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=80), st.text(max_size=300))
def test_no_text_breaks_it(short: str, long: str) -> None:
    made = reported(whole(), {("fence", 1): long})
    step = replace(made.steps[0], id=short, description=long, evidence=short, outputs={short: long})
    mangled = replace(
        made, summary=long, end_reason=long, requester=short, system_name=short, steps=(step, *made.steps)
    )
    assert to_pdf(mangled).startswith(b"%PDF-")


@given(st.lists(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e5) | st.none()), max_size=4), max_size=6))
def test_the_picture_holds_every_attempt_in_its_place(made: list[list[tuple[float, float | None]]]) -> None:
    until = 2e9
    steps = [
        (f"s{n}", [attempt(m, begin, took) for m, (begin, took) in enumerate(attempts)])
        for n, attempts in enumerate(made)
    ]
    drawn = picture(steps, until)
    if drawn is None:
        assert not any(made)
        return
    assert [(lane.name, len(lane.bars)) for lane in drawn.lanes] == [(name, len(each)) for name, each in steps if each]
    for lane in drawn.lanes:
        for bar in lane.bars:
            assert 0 <= drawn.share(bar.begin) <= drawn.share(bar.end) <= 1
    assert drawn.ticks[0] == 0
    assert len(drawn.ticks) <= 7
    assert drawn.begin + drawn.ticks[-1] <= drawn.end + 1e-6 * (drawn.end - drawn.begin)


@given(st.floats(1e-3, 1e8))
def test_an_axis_has_few_round_marks(length_s: float) -> None:
    marks = ticks(length_s)
    assert 2 <= len(marks) <= 7


def test_the_parts_are_a_whole_and_one_alone_is_not_drawn() -> None:
    def measure(name: str, value: float | None) -> Measure:
        return Measure(name, name.title(), value, "s")

    made = parts([measure("machine", 10.0), measure("decision", 30.0), measure("rta", 40.0), measure("paused", None)])
    assert [(one.title, one.share) for one in made] == [("Decision", 0.75), ("Machine", 0.25)]
    assert parts([measure("machine", 10.0)]) == ()


def test_the_page_has_the_picture_and_says_it_in_words() -> None:
    page = to_html(reported(whole()))
    assert page.count("<rect ") == 3 + 5
    assert 'aria-label="Detection 5.0 s, Decision 1 min, Machine 10.0 s"' in page
    assert "<svg" not in to_html(nothing_begun())


def nothing_begun() -> Report:
    return reported(whole()[:2])


def attempt(number: int, begin: float, took: float | None) -> Attempt:
    ended = None if took is None else begin + took
    return Attempt(number, begin, ended, "succeeded", "", "", "", "", output_intact=True)

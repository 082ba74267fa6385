"""A run's report as PDF (reportlab): what the page says, for a file, a printer, an auditor.

The same report makes the same bytes (no date of printing, no random id), so that a copy can be compared by its hash.
Everything of the run is escaped; what the fonts do not have is shown as U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import getFont, registerFont, registerFontFamily, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from dr.evidence.picture import Part, Picture
from dr.evidence.render import Times, shown_value, span, tick_text, verdict
from dr.evidence.report import Report, StepReport

PLAIN, BOLD, MONO = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold", "DejaVuSansMono"
INK, SOFT, RULE = HexColor("#1b1f24"), HexColor("#57606a"), HexColor("#d0d7de")
TONES = {"good": HexColor("#116329"), "warn": HexColor("#b07800"), "bad": HexColor("#a40e26"), "soft": SOFT}
PART_COLORS = (HexColor("#8c6bb1"), HexColor("#e08214"), HexColor("#2f7fc1"), HexColor("#8b949e"))
SEVERITY = {"critical": "bad", "warning": "warn", "info": "soft"}
STATES = {"SUCCEEDED": "good", "SUCCEEDED_WITH_WARNINGS": "warn", "FAILED": "bad", "CANCELED": "warn"}
MET: Mapping[bool | None, str] = {True: "good", False: "bad", None: "warn"}
RULINGS = {"allow": "good", "refuse": "bad"}
MARGIN = 16 * mm
WIDTH = A4[0] - 2 * MARGIN - 12  # a frame keeps 6 points at either side
LANE, LABEL = 12.0, 95.0
OUTPUT_LINES = 40  # of one attempt; the rest is in the page and in JSON
LINE_CHARACTERS = 110


def to_pdf(report: Report) -> bytes:
    """Return the report as PDF, A4."""
    _fonts()
    times = Times(report)
    out = BytesIO()
    title = f"{report.kind} of {report.system_name}: {report.state} ({report.run_id})"
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN + 6 * mm,
        title=_known(title, PLAIN),
        author=_known(report.estate, PLAIN),
        subject=f"plan {report.plan_hash}",
        creator="Karaula",
        invariant=1,
    )
    foot = f"{report.estate} · {report.run_id} · made {times.when(report.made_at)}"
    document.build(list(_story(report, times)), canvasmaker=partial(_Pages, foot=_known(foot, PLAIN)))
    return out.getvalue()


# -- the parts in their order -----------------------------------------------------------------------------------------


def _story(report: Report, times: Times) -> Iterator[Flowable]:
    yield _text(f"{report.estate} · report of a recovery run", "soft")
    state = _colored(report.state.replace("_", " ").lower(), STATES.get(report.state, "soft"))
    yield Paragraph(f"{_safe(report.kind.capitalize())} of {_safe(report.system_name)}: {state}", _style("title"))
    yield _text(f"{report.summary}.")
    if report.end_reason:
        yield _text(report.end_reason)
    yield from _measured(report)
    yield from _listed(
        "Findings",
        [f"{_colored(each.severity, SEVERITY[each.severity])}: {_safe(each.what)}" for each in report.findings],
    )
    yield from _listed("What is not known", [_safe(each) for each in report.not_known])
    yield from _who(report, times)
    yield _head("Guards")
    rows = [
        (
            _safe(note.guard + (f" ({note.step})" if note.step else "")),
            _colored(note.ruling, RULINGS.get(note.ruling, "warn")),
            _safe(note.sentence),
        )
        for note in report.guards
    ]
    yield from _table(("Guard", "Verdict", "Why"), rows, (0.2, 0.12, 0.68))
    yield _head("Steps")
    for step in report.steps:
        yield from _step(step, times)
    yield _head("Timeline")
    moments = [(_safe(times.clock(each.at)), _safe(each.text)) for each in report.timeline]
    yield from _table(("At", "What happened"), moments, (0.2, 0.8))
    yield _text(f"Times are in {report.timezone}.", "soft")


def _measured(report: Report) -> Iterator[Flowable]:
    yield _head("Objectives and measurements")
    rows = [
        (
            _safe(each.title),
            f"<b>{_safe(shown_value(each))}</b>",
            "" if each.objective is None else _safe(span(each.objective)),
            _colored(verdict(each), MET[each.met]),
            _safe(each.note),
        )
        for each in report.measures
    ]
    yield from _table(("Measured", "", "Objective", "", "From when to when"), rows, (0.22, 0.16, 0.12, 0.12, 0.38))
    if report.parts:
        yield Spacer(1, 8)
        yield _divided(report.parts)
        key = "   ".join(
            f'<font color="{_hex(PART_COLORS[place])}">■</font> '
            f"{_safe(part.title)} {_safe(span(part.seconds))} ({part.share * 100:.0f} %)"
            for place, part in enumerate(report.parts)
        )
        yield Paragraph(key, _style("soft"))
    if report.picture is not None:
        yield Spacer(1, 8)
        yield from _drawn(report.picture)


def _who(report: Report, times: Times) -> Iterator[Flowable]:
    yield _head("Who and why")
    names = report.site_names
    origin = f"origin: {report.origin}" + (f", {report.origin_ref}" if report.origin_ref else "")
    rows = [
        ("Run", report.run_id),
        ("Direction", " → ".join(f"{names.get(key, key)} ({key})" for key in (report.from_site, report.to_site))),
        ("Asked by", f"{report.requester}, {times.when(report.accepted_at)} ({origin})"),
        ("Reason", report.reason or "none given"),
        ("Approved by", report.approved_by or report.by_itself or "nobody (not needed, or not given)"),
        ("Begun", times.when(report.started_at) or "never"),
        ("Ended", times.when(report.ended_at) or "not yet"),
        ("Owner", report.system_owner),
        ("Plan", f"playbook {report.playbook}, SHA-256 {report.plan_hash}"),
        ("Inventory", f"SHA-256 {report.inventory_hash}"),
        ("Fencing token", str(report.token)),
        ("Report made", times.when(report.made_at)),
    ]
    yield from _table((), [(_safe(name), _safe(value)) for name, value in rows], (0.18, 0.82))
    if report.people:
        acts = [tuple(map(_safe, (times.clock(act.at), act.by, act.what, act.comment))) for act in report.people]
        yield from _table(("When", "Who", "What", "Comment"), acts, (0.16, 0.16, 0.3, 0.38))


def _step(step: StepReport, times: Times) -> Iterator[Flowable]:
    tone = {"SUCCEEDED": "good", "FAILED_IGNORED": "warn"}.get(step.state, "bad" if step.attempts else "soft")
    state = _colored(step.state.replace("_", " ").lower(), tone)
    by = f", by {_safe(step.provider)}" if step.provider else ""
    head = f"<b>{_safe(step.id)}</b> {state}, {_safe(step.action)} at {_safe(step.site)}{by}"
    yield Paragraph(head, _style("step"))
    if step.description:
        yield _text(step.description)
    for subject, field, value in step.effects:
        yield _text(f"declared effect: {field} of {subject} becomes {value}", "soft")
    if step.evidence:
        yield _text(f"observed: {step.evidence}")
    if step.outputs:
        yield _text("; ".join(f"{name}: {value}" for name, value in step.outputs.items()), "soft")
    for attempt in step.attempts:
        took = "" if attempt.ended_at is None else f", {span(attempt.ended_at - attempt.started_at)}"
        more = "".join(f"; {each}" for each in (attempt.reason, attempt.probe) if each)
        said = f"attempt {attempt.number}: {times.clock(attempt.started_at)}{took}: {attempt.result}{more}"
        yield _text(said, "soft")
        yield from _output(attempt.output)
        if attempt.output_sha256:
            wrong = "" if attempt.output_intact else " " + _colored("does not match what was kept", "bad")
            yield Paragraph(f"output SHA-256 {_safe(attempt.output_sha256)}{wrong}", _style("soft"))


def _output(text: str) -> Iterator[Flowable]:
    lines = [
        line[at : at + LINE_CHARACTERS]
        for line in text.splitlines()
        for at in range(0, max(len(line), 1), LINE_CHARACTERS)
    ]
    for line in lines[:OUTPUT_LINES]:
        yield Paragraph(_safe(line, MONO).replace(" ", "\u00a0") or "\u00a0", _style("mono"))
    if len(lines) > OUTPUT_LINES:
        yield _text(f"… {len(lines) - OUTPUT_LINES} more lines, in the page and in the JSON", "soft")


# -- drawing ----------------------------------------------------------------------------------------------------------


def _divided(parts: Sequence[Part]) -> Drawing:
    drawing = Drawing(WIDTH, 12)
    left = 0.0
    for place, part in enumerate(parts):
        drawing.add(_filled(left, 0, part.share * WIDTH, 12, PART_COLORS[place]))
        left += part.share * WIDTH
    return drawing


def _drawn(picture: Picture) -> Iterator[Drawing]:
    """Yield the picture, so many lanes a drawing that each fits a page."""
    fits = 45
    room = WIDTH - LABEL - 14
    for first in range(0, len(picture.lanes), fits):
        lanes = picture.lanes[first : first + fits]
        high = len(lanes) * LANE + 14
        drawing = Drawing(WIDTH, high)
        for tick in picture.ticks:
            x = LABEL + room * tick / (picture.end - picture.begin)
            drawing.add(Line(x, 12, x, high, strokeColor=RULE, strokeWidth=0.5))
            label = String(x, 2, tick_text(tick), fontName=PLAIN, fontSize=7, fillColor=SOFT, textAnchor="middle")
            drawing.add(label)
        for place, lane in enumerate(lanes):
            y = high - (place + 1) * LANE
            name = _fitting(lane.name, LABEL - 6)
            drawing.add(String(LABEL - 5, y + 3, name, fontName=PLAIN, fontSize=7.5, fillColor=INK, textAnchor="end"))
            for bar in lane.bars:
                left, right = LABEL + room * picture.share(bar.begin), LABEL + room * picture.share(bar.end)
                drawing.add(_filled(left, y + 2, max(right - left, 1), LANE - 4, TONES[bar.tone]))
        yield drawing


def _filled(left: float, low: float, wide: float, high: float, color: Color) -> Rect:
    made = Rect(left, low, wide, high)
    made.fillColor, made.strokeColor = color, None
    return made


def _fitting(name: str, room: float) -> str:
    text = _known(name, PLAIN)
    while len(text) > 1 and stringWidth(text, PLAIN, 7.5) > room:
        text = text[:-2] + "…"
    return text


class _Pages(Canvas):
    """Writes the foot of each page once the number of pages is known."""

    def __init__(self, *arguments: object, foot: str, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]  # what the document hands over
        self._foot = foot
        self._kept: list[dict[str, object]] = []

    def showPage(self) -> None:  # noqa: N802 - reportlab's name
        """Keep the page for later."""
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]  # reportlab's own recipe for page x of y; its stubs lack it

    def save(self) -> None:
        """Write all pages with their feet."""
        for number, page in enumerate(self._kept, 1):
            self.__dict__.update(page)
            self.setFont(PLAIN, 6.5)
            self.setFillColor(SOFT)
            self.drawString(MARGIN, MARGIN - 4 * mm, self._foot)
            self.drawRightString(A4[0] - MARGIN, MARGIN - 4 * mm, f"page {number} of {len(self._kept)}")
            super().showPage()
        super().save()


# -- text -------------------------------------------------------------------------------------------------------------


@cache
def _fonts() -> None:
    for name in (PLAIN, BOLD, MONO):
        with (files("dr.evidence") / "fonts" / f"{name}.ttf").open("rb") as file:
            registerFont(TTFont(name, file))
    registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)


@cache
def _style(name: str) -> ParagraphStyle:
    def made(size: float, color: Color = INK, font: str = PLAIN, before: float = 0.0) -> ParagraphStyle:
        style = ParagraphStyle(name, fontName=font, fontSize=size, leading=size * 1.35, textColor=color)
        style.spaceBefore, style.spaceAfter, style.splitLongWords = before, 2, 1
        return style

    return {
        "text": made(9),
        "soft": made(8, SOFT),
        "title": made(16, font=BOLD, before=4),
        "head": made(11.5, font=BOLD, before=12),
        "step": made(9.5, before=7),
        "mono": made(7, font=MONO),
        "cell": made(8),
        "cell-head": made(8, SOFT),
    }[name]


def _head(text: str) -> Paragraph:
    style = _style("head")
    style.keepWithNext = 1
    return Paragraph(_safe(text), style)


def _text(text: str, style: str = "text") -> Paragraph:
    return Paragraph(_safe(text), _style(style))


def _listed(title: str, items: Sequence[str]) -> Iterator[Flowable]:
    yield _head(title)
    for item in items or ["None."]:
        yield Paragraph(f"- {item}" if items else item, _style("text"))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], shares: Sequence[float]) -> Iterator[Flowable]:
    """Yield a table over the page's width; its cells are markup. Nothing for no rows."""
    cells = [[Paragraph(cell, _style("cell")) for cell in row] for row in rows]
    if not cells:
        yield _text("None.")
        return
    top = [[Paragraph(_safe(head), _style("cell-head")) for head in heads]] if heads else []
    table = LongTable([*top, *cells], colWidths=[share * WIDTH for share in shares], repeatRows=len(top))
    rule: list[tuple[Any, ...]] = [("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    pads: list[tuple[Any, ...]] = [(f"{side}PADDING", (0, 0), (-1, -1), 2.5) for side in ("TOP", "BOTTOM", "RIGHT")]
    table.setStyle(TableStyle([*rule, *pads, ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
    yield table


def _colored(text: str, tone: str) -> str:
    return f'<font color="{_hex(TONES[tone])}"><b>{_safe(text)}</b></font>'


def _hex(color: Color) -> str:
    return f"#{color.hexval()[2:]}"


def _safe(text: object, font: str = PLAIN) -> str:
    return escape(_known(str(text), font))


def _known(text: str, font: str) -> str:
    """Return ``text`` with what cannot be printed replaced: characters that the font lacks, and control characters."""
    _fonts()
    has = getFont(font).face.charToGlyph  # type: ignore[attr-defined]  # a TTFont's
    return re.sub(r"[^\n]", lambda one: one[0] if ord(one[0]) in has else "\ufffd", text.expandtabs(4))

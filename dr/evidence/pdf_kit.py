"""What the PDFs of reports share (reportlab): page, fonts, styles, tables and the picture of what was at work when.

The same parts make the same bytes (no date of printing, no random id), so that a copy can be compared by its hash.
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
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, TableStyle

from dr.evidence.picture import Part, Picture
from dr.evidence.render import tick_text

PLAIN, BOLD, MONO = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold", "DejaVuSansMono"
INK, SOFT, RULE = HexColor("#1b1f24"), HexColor("#57606a"), HexColor("#d0d7de")
TONES = {"good": HexColor("#116329"), "warn": HexColor("#b07800"), "bad": HexColor("#a40e26"), "soft": SOFT}
PART_COLORS = (HexColor("#8c6bb1"), HexColor("#e08214"), HexColor("#2f7fc1"), HexColor("#8b949e"))
STATES = {"SUCCEEDED": "good", "SUCCEEDED_WITH_WARNINGS": "warn", "FAILED": "bad", "CANCELED": "warn"}
MET: Mapping[bool | None, str] = {True: "good", False: "bad", None: "warn"}
MARGIN = 16 * mm
WIDTH = A4[0] - 2 * MARGIN - 12  # a frame keeps 6 points at either side
LANE, LABEL = 12.0, 95.0


def built(story: Iterable[Flowable], *, title: str, author: str, subject: str, foot: str) -> bytes:
    """Return the document of ``story``, A4, with ``foot`` below each page."""
    fonts()
    out = BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN + 6 * mm,
        title=_known(title, PLAIN),
        author=_known(author, PLAIN),
        subject=subject,
        creator="Karaula",
        invariant=1,
    )
    document.build(list(story), canvasmaker=partial(_Pages, foot=_known(foot, PLAIN)))
    return out.getvalue()


# -- drawing ----------------------------------------------------------------------------------------------------------


def divided(parts: Sequence[Part]) -> Drawing:
    """Return the bar that shows how the recovery time divides."""
    drawing = Drawing(WIDTH, 12)
    left = 0.0
    for place, part in enumerate(parts):
        drawing.add(_filled(left, 0, part.share * WIDTH, 12, PART_COLORS[place]))
        left += part.share * WIDTH
    return drawing


def drawn(picture: Picture) -> Iterator[Drawing]:
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
def fonts() -> None:
    """Let reportlab know the fonts that come with Karaula."""
    for name in (PLAIN, BOLD, MONO):
        with (files("dr.evidence") / "fonts" / f"{name}.ttf").open("rb") as file:
            registerFont(TTFont(name, file))
    registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)


@cache
def styled(name: str) -> ParagraphStyle:
    """Return the named style of a paragraph."""

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


def heading(text: str) -> Paragraph:
    """Return a heading that stays with what it is over."""
    style = styled("head")
    style.keepWithNext = 1
    return Paragraph(safe(text), style)


def paragraph(text: str, style: str = "text") -> Paragraph:
    """Return a paragraph of plain text."""
    return Paragraph(safe(text), styled(style))


def listed(title: str, items: Sequence[str]) -> Iterator[Flowable]:
    """Yield a heading and a list; its items are markup."""
    yield heading(title)
    for item in items or ["None."]:
        yield Paragraph(f"- {item}" if items else item, styled("text"))


def tabled(heads: Sequence[str], rows: Iterable[Sequence[str]], shares: Sequence[float]) -> Iterator[Flowable]:
    """Yield a table over the page's width; its cells are markup. Nothing for no rows."""
    cells = [[Paragraph(cell, styled("cell")) for cell in row] for row in rows]
    if not cells:
        yield paragraph("None.")
        return
    top = [[Paragraph(safe(head), styled("cell-head")) for head in heads]] if heads else []
    table = LongTable([*top, *cells], colWidths=[share * WIDTH for share in shares], repeatRows=len(top))
    rule: list[tuple[Any, ...]] = [("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    pads: list[tuple[Any, ...]] = [(f"{side}PADDING", (0, 0), (-1, -1), 2.5) for side in ("TOP", "BOTTOM", "RIGHT")]
    table.setStyle(TableStyle([*rule, *pads, ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
    yield table


def colored(text: str, tone: str) -> str:
    """Return markup of the text in a tone."""
    return f'<font color="{hexed(TONES[tone])}"><b>{safe(text)}</b></font>'


def hexed(color: Color) -> str:
    """Return the colour as markup wants it."""
    return f"#{color.hexval()[2:]}"


def safe(text: object, font: str = PLAIN) -> str:
    """Return the text as markup that says nothing but it."""
    return escape(_known(str(text), font))


def _known(text: str, font: str) -> str:
    """Return ``text`` with what cannot be printed replaced: characters that the font lacks, and control characters."""
    fonts()
    has = getFont(font).face.charToGlyph  # type: ignore[attr-defined]  # a TTFont's
    return re.sub(r"[^\n]", lambda one: one[0] if ord(one[0]) in has else "\ufffd", text.expandtabs(4))

"""A run's report as PDF: what the page says, for a file, a printer, an auditor."""

from __future__ import annotations

from collections.abc import Iterator

from reportlab.platypus import Flowable, Paragraph, Spacer

from dr.engine.drift import Agreement
from dr.evidence.pdf_kit import (
    MET,
    MONO,
    PART_COLORS,
    STATES,
    built,
    colored,
    divided,
    drawn,
    heading,
    hexed,
    listed,
    paragraph,
    safe,
    styled,
    tabled,
)
from dr.evidence.render import Times, shown_value, span, verdict
from dr.evidence.report import Report, StepReport

SEVERITY = {"critical": "bad", "warning": "warn", "info": "soft"}
RULINGS = {"allow": "good", "refuse": "bad"}
AGREEMENTS = {Agreement.AGREES: "good", Agreement.DRIFT: "bad", Agreement.UNKNOWN: "soft"}
OUTPUT_LINES = 40  # of one attempt; the rest is in the page and in JSON
LINE_CHARACTERS = 110


def to_pdf(report: Report) -> bytes:
    """Return the report as PDF, A4."""
    times = Times(report)
    return built(
        _story(report, times),
        title=f"{report.kind} of {report.system_name}: {report.state} ({report.run_id})",
        author=report.estate,
        subject=f"plan {report.plan_hash}",
        foot=f"{report.estate} · {report.run_id} · made {times.when(report.made_at)}",
    )


# -- the parts in their order -----------------------------------------------------------------------------------------


def _story(report: Report, times: Times) -> Iterator[Flowable]:
    yield paragraph(f"{report.estate} · report of a recovery run", "soft")
    state = colored(report.state.replace("_", " ").lower(), STATES.get(report.state, "soft"))
    yield Paragraph(f"{safe(report.kind.capitalize())} of {safe(report.system_name)}: {state}", styled("title"))
    yield paragraph(f"{report.summary}.")
    if report.end_reason:
        yield paragraph(report.end_reason)
    yield from _measured(report)
    yield from listed(
        "Findings",
        [f"{colored(each.severity, SEVERITY[each.severity])}: {safe(each.what)}" for each in report.findings],
    )
    yield from listed("What is not known", [safe(each) for each in report.not_known])
    yield from _who(report, times)
    yield heading("Guards")
    rows = [
        (
            safe(note.guard + (f" ({note.step})" if note.step else "")),
            colored(note.ruling, RULINGS.get(note.ruling, "warn")),
            safe(note.sentence),
        )
        for note in report.guards
    ]
    yield from tabled(("Guard", "Verdict", "Why"), rows, (0.2, 0.12, 0.68))
    if report.drift:
        yield heading("Declared and observed")
        against = [
            (
                safe(one.what),
                safe(one.declared),
                colored(one.observed or "unknown", AGREEMENTS[one.agreement]),
                safe(one.step),
                safe(one.why),
            )
            for one in report.drift
        ]
        heads = ("What", "Declared", "Observed then", "By step", "Because")
        yield from tabled(heads, against, (0.14, 0.12, 0.14, 0.15, 0.45))
    if report.overrides:
        yield heading("Overrides")
        over = [
            (
                safe(one.rule),
                safe(one.by),
                safe(one.confirmed_by or ("nobody: it counted for nothing" if one.needs_second else "not needed")),
                safe(f"{times.clock(one.asked_at)} to {times.clock(one.over_at)}"),
                safe(one.reason),
            )
            for one in report.overrides
        ]
        yield from tabled(("Rule", "By", "Second person", "When", "Reason"), over, (0.24, 0.12, 0.15, 0.2, 0.29))
    yield heading("Steps")
    for step in report.steps:
        yield from _step(step, times)
    yield heading("Timeline")
    moments = [(safe(times.clock(each.at)), safe(each.text)) for each in report.timeline]
    yield from tabled(("At", "What happened"), moments, (0.2, 0.8))
    yield paragraph(f"Times are in {report.timezone}.", "soft")


def _measured(report: Report) -> Iterator[Flowable]:
    yield heading("Objectives and measurements")
    rows = [
        (
            safe(each.title),
            f"<b>{safe(shown_value(each))}</b>",
            "" if each.objective is None else safe(span(each.objective)),
            colored(verdict(each), MET[each.met]),
            safe(each.note),
        )
        for each in report.measures
    ]
    yield from tabled(("Measured", "", "Objective", "", "From when to when"), rows, (0.22, 0.16, 0.12, 0.12, 0.38))
    if report.parts:
        yield Spacer(1, 8)
        yield divided(report.parts)
        key = "   ".join(
            f'<font color="{hexed(PART_COLORS[place])}">■</font> '
            f"{safe(part.title)} {safe(span(part.seconds))} ({part.share * 100:.0f} %)"
            for place, part in enumerate(report.parts)
        )
        yield Paragraph(key, styled("soft"))
    if report.picture is not None:
        yield Spacer(1, 8)
        yield from drawn(report.picture)


def _who(report: Report, times: Times) -> Iterator[Flowable]:
    yield heading("Who and why")
    names = report.site_names
    origin = f"origin: {report.origin}" + (f", {report.origin_ref}" if report.origin_ref else "")
    rows = [
        ("Run", report.run_id),
        ("Direction", " → ".join(f"{names.get(key, key)} ({key})" for key in (report.from_site, report.to_site))),
        ("Asked by", f"{report.requester}, {times.when(report.accepted_at)} ({origin})"),
        ("Reason", report.reason or "none given"),
        ("Approved by", report.approved_by or report.by_itself or "nobody (not needed, or not given)"),
        *([("Readiness", report.readiness)] if report.readiness else []),
        ("Begun", times.when(report.started_at) or "never"),
        ("Ended", times.when(report.ended_at) or "not yet"),
        ("Owner", report.system_owner),
        ("Plan", f"playbook {report.playbook}, SHA-256 {report.plan_hash}"),
        ("Inventory", f"SHA-256 {report.inventory_hash}"),
        ("Fencing token", str(report.token)),
        ("Report made", times.when(report.made_at)),
    ]
    yield from tabled((), [(safe(name), safe(value)) for name, value in rows], (0.18, 0.82))
    if report.people:
        acts = [tuple(map(safe, (times.clock(act.at), act.by, act.what, act.comment))) for act in report.people]
        yield from tabled(("When", "Who", "What", "Comment"), acts, (0.16, 0.16, 0.3, 0.38))


def _step(step: StepReport, times: Times) -> Iterator[Flowable]:
    tone = {"SUCCEEDED": "good", "FAILED_IGNORED": "warn"}.get(step.state, "bad" if step.attempts else "soft")
    state = colored(step.state.replace("_", " ").lower(), tone)
    by = f", by {safe(step.provider)}" if step.provider else ""
    about = f"<b>{safe(step.id)}</b> {state}, {safe(step.action)} at {safe(step.site)}{by}"
    yield Paragraph(about, styled("step"))
    if step.description:
        yield paragraph(step.description)
    for subject, field, value in step.effects:
        yield paragraph(f"declared effect: {field} of {subject} becomes {value}", "soft")
    if step.evidence:
        yield paragraph(f"observed{' before it was undone' if step.state == 'UNDONE' else ''}: {step.evidence}")
    if step.outputs:
        yield paragraph("; ".join(f"{name}: {value}" for name, value in step.outputs.items()), "soft")
    for attempt in step.attempts:
        took = "" if attempt.ended_at is None else f", {span(attempt.ended_at - attempt.started_at)}"
        more = "".join(f"; {each}" for each in (attempt.reason, attempt.probe) if each)
        said = f"{attempt.name}: {times.clock(attempt.started_at)}{took}: {attempt.result}{more}"
        yield paragraph(said, "soft")
        yield from _output(attempt.output)
        if attempt.output_sha256:
            wrong = "" if attempt.output_intact else " " + colored("does not match what was kept", "bad")
            yield Paragraph(f"output SHA-256 {safe(attempt.output_sha256)}{wrong}", styled("soft"))


def _output(text: str) -> Iterator[Flowable]:
    lines = [
        line[at : at + LINE_CHARACTERS]
        for line in text.splitlines()
        for at in range(0, max(len(line), 1), LINE_CHARACTERS)
    ]
    for line in lines[:OUTPUT_LINES]:
        yield Paragraph(safe(line, MONO).replace(" ", "\u00a0") or "\u00a0", styled("mono"))
    if len(lines) > OUTPUT_LINES:
        yield paragraph(f"… {len(lines) - OUTPUT_LINES} more lines, in the page and in the JSON", "soft")

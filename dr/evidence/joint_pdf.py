"""A joint run's report as PDF: what the page says, for a file, a printer, an auditor."""

from __future__ import annotations

from collections.abc import Iterator

from reportlab.platypus import Flowable, Paragraph, Spacer

from dr.evidence.joint import JointReport, MemberReport
from dr.evidence.pdf_kit import MET, STATES, built, colored, drawn, heading, listed, paragraph, safe, styled, tabled
from dr.evidence.render import Times, shown_value, span

MEMBERS = ("Group", "System", "State", "Begun", "Ended", "RTA", "RTO", "Lost", "Run")


def joint_to_pdf(report: JointReport) -> bytes:
    """Return the report as PDF, A4."""
    times = Times(report)
    return built(
        _story(report, times),
        title=f"{report.kind} of {len(report.members)} systems: {report.state} ({report.id})",
        author=report.estate,
        subject=f"plan {report.plan_hash}",
        foot=f"{report.estate} · {report.id} · made {times.when(report.made_at)}",
    )


def _story(report: JointReport, times: Times) -> Iterator[Flowable]:
    yield paragraph(f"{report.estate} · report of a joint run", "soft")
    state = colored(report.state.replace("_", " ").lower(), STATES.get(report.state, "soft"))
    title = f"{safe(report.kind.capitalize())} of {len(report.members)} systems: {state}"
    yield Paragraph(title, styled("title"))
    if report.end_reason:
        yield paragraph(report.end_reason)
    yield heading("Recovery time of all of them")
    total = "not known" if report.rta_s is None else span(report.rta_s)
    yield Paragraph(f"<b>{safe(total)}</b> ({safe(report.rta_note)})", styled("text"))
    yield heading("In this order")
    shares = (0.06, 0.14, 0.11, 0.12, 0.12, 0.07, 0.09, 0.12, 0.17)
    yield from tabled(MEMBERS, [_member(one, times) for one in report.members], shares)
    if report.left_out:
        yield from listed("Left out", [f"{safe(system)}: {safe(why)}" for system, why in report.left_out.items()])
    if report.picture is not None:
        yield Spacer(1, 8)
        yield from drawn(report.picture)
    yield paragraph(
        "Each run has a report of its own, with its steps, guards and findings: karaula run report RUN.", "soft"
    )
    yield from _who(report, times)
    yield heading("Timeline")
    moments = [(safe(times.clock(each.at)), safe(each.text)) for each in report.timeline]
    yield from tabled(("At", "What happened"), moments, (0.2, 0.8))
    yield paragraph(f"Times are in {report.timezone}.", "soft")


def _member(one: MemberReport, times: Times) -> tuple[str, ...]:
    after = f", after {', '.join(one.needs)}" if one.needs else ""
    held = colored({True: "met", False: "missed"}.get(one.met, ""), MET[one.met]) if one.met is not None else ""
    why = "; ".join(each for each in (one.end_reason, one.waits) if each)
    if one.went_on:
        why += f"; {one.went_on} let begin what waited for it"
    return (
        f"{one.group}",
        safe(f"{one.name}, {one.from_site} → {one.to_site}{after}"),
        colored(one.state.replace("_", " ").lower(), STATES.get(one.state, "soft")),
        safe("not begun" if one.started_at is None else times.clock(one.started_at)),
        safe("" if one.ended_at is None else times.clock(one.ended_at)),
        safe("" if one.rta_s is None else span(one.rta_s)),
        f"{safe(span(one.rto_s))} {held}",
        safe("" if one.loss is None else shown_value(one.loss)),
        safe(f"{one.run_id} {why}"),
    )


def _who(report: JointReport, times: Times) -> Iterator[Flowable]:
    yield heading("Who and why")
    approved = f"{report.approved_by}, {times.when(report.approved_at)}" if report.approved_by else ""
    rows = [
        ("Joint run", report.id),
        ("Asked by", f"{report.requester}, {times.when(report.accepted_at)}"),
        ("Reason", report.reason or "none given"),
        ("Approved by", approved or "nobody (not needed, or not given)"),
        *([("In the place of", ", ".join(report.replaced))] if report.replaced else []),
        ("Ended", times.when(report.ended_at) or "not yet"),
        ("Plan", f"playbook {report.playbook}, SHA-256 of all plans {report.plan_hash}"),
        ("Report made", times.when(report.made_at)),
    ]
    yield from tabled((), [(safe(name), safe(value)) for name, value in rows], (0.18, 0.82))
    if report.people:
        acts = [tuple(map(safe, (times.clock(act.at), act.by, act.what, act.comment))) for act in report.people]
        yield from tabled(("When", "Who", "What", "Comment"), acts, (0.16, 0.16, 0.3, 0.38))

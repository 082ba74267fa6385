"""What was promised and what was kept: links by operator, crossings, systems, over 30 days."""

from __future__ import annotations

from deploy.boards.panels import GREEN, ORANGE, RED, YELLOW, Ask, Board, Choice, Row, bars, limits, lines, stat, table

LINK = 'operator=~"$operator"'
NAME = "{{crossing}} {{link}}"
KEPT = limits((0.995, ORANGE), (0.998, YELLOW), (0.999, GREEN), below=RED, unit="percentunit", decimals=3)
KEPT |= {"min": 0.99, "max": 1}
LEFT = limits((0, ORANGE), (0.25, YELLOW), (0.5, GREEN), below=RED, unit="percentunit") | {"min": 0, "max": 1}
BURN = "1 uses up exactly what 30 days allow"

BOARD = Board(
    uid="karaula-sla",
    title="Karaula: SLA",
    about=(
        "What was promised and what was kept in 30 days, of the time in which it was known. Planned downtime and whose "
        "fault it was are known to `karaula sla`, which is what an operator is held to."
    ),
    since="now-30d",
    refresh="5m",
    choices=(Choice("operator", "Operator", "karaula_link_sla_availability_ratio"),),
    parts=(
        Row("This calendar month so far, by the ledger (karaula sla)"),
        bars(
            "Month, links' availability",
            (8, 12),
            Ask(f"sort(karaula_link_sla_availability_measured_ratio{{{LINK}}})", NAME),
            KEPT,
            "Of the known time that counts: without agreed maintenance and what was excused",
        ),
        table(
            "Month, may still be lost",
            (9, 12),
            f"sort(karaula_link_sla_budget_seconds{{{LINK}}})",
            {"crossing": "Crossing", "link": "Link", "operator": "Operator", "Value": "Left"},
            "s",
            "Before the agreed availability of the calendar month is missed; less than nothing once it is",
        ),
        bars(
            "Month, crossings connected",
            (7, 12),
            Ask("sort(karaula_crossing_availability_ratio)", "{{crossing}}"),
            KEPT,
            "Part of the known time in which a link carried traffic",
        ),
        lines(
            "Month, not known",
            (10, 8),
            Ask(f"karaula_link_sla_unknown_ratio{{{LINK}}}", NAME),
            unit="percentunit",
            about="Part of the month so far in which nobody measured",
            min=0,
        ),
        lines(
            "Month, if all that is unknown was lost",
            (10, 8),
            Ask(f"karaula_link_sla_availability_worst_ratio{{{LINK}}}", NAME),
            unit="percentunit",
            max=1,
        ),
        stat(
            "Month, reckoned",
            (4, 8),
            Ask("time() - karaula_sla_reckoned_timestamp_seconds"),
            {"unit": "s"},
            "How old these figures are",
        ),
        Row("Operators"),
        bars(
            "Availability by operator",
            (8, 8),
            Ask(f"avg by (operator) (karaula:link_available:avg30d{{{LINK}}})", "{{operator}}"),
            KEPT,
        ),
        bars(
            "Agreed",
            (8, 8),
            Ask(f"min by (operator) (karaula_link_sla_availability_ratio{{{LINK}}})", "{{operator}}"),
            KEPT,
        ),
        bars(
            "Round trip, worst link beside what was agreed",
            (8, 8),
            Ask(
                f"max by (operator) (avg_over_time(karaula_link_rtt_seconds{{{LINK}}}[1h]) "
                "/ on (crossing, link, operator) karaula_link_sla_rtt_seconds)",
                "{{operator}}",
            ),
            limits((0.8, YELLOW), (1, RED), unit="percentunit") | {"min": 0},
            "On the average of an hour; 100 % is what was agreed",
        ),
        Row("Links"),
        bars("Links, availability", (12, 14), Ask(f"sort(karaula:link_available:avg30d{{{LINK}}})", NAME), KEPT),
        table(
            "Links, left of the month",
            (12, 14),
            f"sort(karaula:link_budget_left:ratio{{{LINK}}})",
            {"crossing": "Crossing", "link": "Link", "operator": "Operator", "Value": "Left"},
            "percentunit",
            "Less than nothing: below the agreement",
        ),
        lines(
            "Links, used up over six hours", (24, 8), Ask(f"karaula:link_burn:6h{{{LINK}}}", NAME), about=BURN, min=0
        ),
        Row("Crossings"),
        bars("Crossings, availability", (12, 10), Ask("sort(karaula:crossing_available:avg30d)", "{{crossing}}"), KEPT),
        bars(
            "Crossings, left of the month",
            (12, 10),
            Ask("sort(karaula:crossing_budget_left:ratio)", "{{crossing}}"),
            LEFT,
        ),
        lines(
            "Crossings, used up over six hours",
            (24, 8),
            Ask("karaula:crossing_burn:6h", "{{crossing}}"),
            about=BURN,
            min=0,
        ),
        Row("Key systems"),
        bars("Systems, availability", (12, 7), Ask("sort(karaula:system_available:avg30d)", "{{system}}"), KEPT),
        bars("Systems, left of the month", (12, 7), Ask("sort(karaula:system_budget_left:ratio)", "{{system}}"), LEFT),
        lines(
            "Systems, used up over six hours", (24, 8), Ask("karaula:system_burn:6h", "{{system}}"), about=BURN, min=0
        ),
    ),
)

"""A crossing: its state, both of its links, and what is left of the month."""

from __future__ import annotations

from deploy.boards.panels import (
    GREEN,
    ORANGE,
    RED,
    UP_DOWN,
    YELLOW,
    Ask,
    Board,
    Choice,
    Row,
    bars,
    limits,
    lines,
    stat,
    table,
    timeline,
)
from deploy.boards.words import CROSSING, crossing_state

HERE = 'crossing=~"$crossing"'
LINK = f'{HERE}, operator=~"$operator"'
NAME = "{{crossing}} {{link}}"
ROUND_TRIPS = f"sum by (crossing, link, le) (rate(karaula_link_round_trip_seconds_bucket{{{LINK}}}[5m]))"
LEFT = limits((0, ORANGE), (0.25, YELLOW), (0.5, GREEN), below=RED, unit="percentunit") | {"min": 0, "max": 1}

BOARD = Board(
    uid="karaula-crossing",
    title="Karaula: crossing",
    about="One crossing, or all: the state, both links, and how much of the month's allowance is left.",
    choices=(
        Choice("crossing", "Crossing", "karaula_crossing_state"),
        Choice("operator", "Operator", "karaula_link_sla_rtt_seconds"),
    ),
    parts=(
        Row("Now"),
        stat("State", (16, 7), Ask(crossing_state(HERE), "{{crossing}}"), CROSSING),
        bars("Left of the month", (8, 7), Ask(f"karaula:crossing_budget_left:ratio{{{HERE}}}", "{{crossing}}"), LEFT),
        table(
            "Links now",
            (12, 8),
            f"karaula_link_up{{{LINK}}}",
            {"crossing": "Crossing", "link": "Link", "operator": "Operator", "Value": "Up"},
            "bool_on_off",
        ),
        stat("Links that are up", (12, 8), Ask(f"karaula_link_up{{{LINK}}}", NAME), UP_DOWN),
        Row("The link in use"),
        lines(
            "Crossings, round trip",
            (12, 8),
            Ask(f"karaula_crossing_rtt_seconds{{{HERE}}}", "{{crossing}}"),
            unit="s",
            about="Of the link that carries the traffic: a step shows that it moved to the other one",
            min=0,
        ),
        lines(
            "Crossings, loss",
            (12, 8),
            Ask(f"karaula_crossing_loss_ratio{{{HERE}}}", "{{crossing}}"),
            unit="percentunit",
            about="Of the link that carries the traffic; 100 % while the crossing is cut off",
            min=0,
        ),
        Row("Links"),
        lines(
            "Round trip",
            (12, 8),
            Ask(f"karaula_link_rtt_seconds{{{LINK}}}", NAME),
            Ask(f"max by (operator) (karaula_link_sla_rtt_seconds{{{LINK}}})", "agreed with {{operator}}"),
            unit="s",
            min=0,
        ),
        lines(
            "Loss",
            (12, 8),
            Ask(f"karaula_link_loss_ratio{{{LINK}}}", NAME),
            Ask(f"max by (operator) (karaula_link_sla_loss_ratio{{{LINK}}})", "agreed with {{operator}}"),
            unit="percentunit",
            min=0,
        ),
        lines("Jitter", (12, 8), Ask(f"karaula_link_jitter_seconds{{{LINK}}}", NAME), unit="s", min=0),
        lines(
            "Allowance used up, over an hour",
            (12, 8),
            Ask(f"karaula:crossing_burn:1h{{{HERE}}}", "{{crossing}}"),
            unit="none",
            about="1 uses up exactly what 30 days allow; from 14.4 on people are called",
            min=0,
        ),
        Row("What the replies tell"),
        lines(
            "Round trips: half, and 99 of 100",
            (12, 8),
            Ask(f"histogram_quantile(0.5, {ROUND_TRIPS})", f"{NAME}, half"),
            Ask(f"histogram_quantile(0.99, {ROUND_TRIPS})", f"{NAME}, 99 of 100"),
            unit="s",
            min=0,
        ),
        lines(
            "Lost on the way there, and back",
            (12, 8),
            Ask(
                f"rate(karaula_link_lost_probes_total{{{LINK}}}[5m])"
                f" / ignoring(way) group_left rate(karaula_link_judged_probes_total{{{LINK}}}[5m])",
                f"{NAME} {{{{way}}}}",
            ),
            unit="percentunit",
            about="needs a far end that numbers its own replies; docs/links.md",
            min=0,
        ),
        lines(
            "Answered in time",
            (12, 8),
            Ask(
                f"rate(karaula_link_replies_total{{{LINK}}}[5m]) / rate(karaula_link_probes_total{{{LINK}}}[5m])", NAME
            ),
            unit="percentunit",
            max=1,
        ),
        lines(
            "Late, doubled and garbled replies in an hour",
            (12, 8),
            Ask(f"increase(karaula_link_late_replies_total{{{LINK}}}[1h])", f"{NAME} late"),
            Ask(f"increase(karaula_link_duplicates_total{{{LINK}}}[1h])", f"{NAME} doubled"),
            Ask(f"increase(karaula_link_garbled_total{{{LINK}}}[1h])", f"{NAME} garbled"),
            unit="none",
            min=0,
        ),
        lines(
            "The way: TTL of the replies, and how often it changed in a day",
            (12, 8),
            Ask(f"karaula_link_reply_ttl{{{LINK}}}", f"{NAME} TTL"),
            Ask(f"increase(karaula_link_path_changes_total{{{LINK}}}[1d])", f"{NAME} changes"),
            unit="none",
            min=0,
        ),
        lines(
            "One-way times",
            (12, 8),
            Ask(f"karaula_link_one_way_seconds{{{LINK}}}", f"{NAME} {{{{way}}}}"),
            unit="s",
            about="needs a far end with a synchronized clock",
            min=0,
        ),
        timeline(
            "Which link carries the traffic, and who says so",
            (12, 8),
            Ask(f"karaula_crossing_traffic{{{HERE}}}", f"{NAME} by the {{{{evidence}}}}"),
            UP_DOWN,
        ),
        stat("Routers that answer", (12, 8), Ask(f"karaula_router_up{{{HERE}}}", "{{crossing}}"), UP_DOWN),
        Row("History"),
        timeline("State, history", (24, 9), Ask(crossing_state(HERE), "{{crossing}}"), CROSSING),
        timeline("Links, history", (24, 9), Ask(f"karaula_link_up{{{LINK}}}", NAME), UP_DOWN),
    ),
)

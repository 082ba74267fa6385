"""A key system: where it is active, how its data follow, what a failover would lose, and whether one would work."""

from __future__ import annotations

from deploy.boards.panels import (
    GREEN,
    NO_YES,
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
    reading,
    stat,
    table,
    timeline,
)
from deploy.boards.words import LIGHT, SYSTEM, system_state

HERE = 'system=~"$system"'
BOTH = "{{system}} {{site}}"
LEFT = limits((0, ORANGE), (0.25, YELLOW), (0.5, GREEN), below=RED, unit="percentunit") | {"min": 0, "max": 1}
ROLE = reading(("standby", "blue"), ("primary", GREEN))

BOARD = Board(
    uid="karaula-system",
    title="Karaula: system",
    about="One key system, or all: state, sites, replication, what a failover would lose, and when one was last tried.",
    choices=(Choice("system", "System", "karaula_system_state"),),
    parts=(
        Row("Now"),
        stat("State", (8, 6), Ask(system_state(HERE), "{{system}}"), SYSTEM),
        stat("Fronts", (8, 6), Ask(f"karaula_system_up{{{HERE}}}", BOTH), UP_DOWN),
        stat("Databases", (8, 6), Ask(f"karaula_database_primary{{{HERE}}}", BOTH), ROLE, "Nothing: not running"),
        table(
            "Active at",
            (8, 7),
            f"karaula_system_active{{{HERE}}} == 1",
            {"system": "System", "site": "Site"},
        ),
        stat(
            "A failover would lose",
            (8, 7),
            Ask(f"karaula_database_replication_lag_seconds{{{HERE}}}", "{{system}}"),
            limits((30, YELLOW), (300, RED), unit="s"),
        ),
        bars("Left of the month", (8, 7), Ask(f"karaula:system_budget_left:ratio{{{HERE}}}", "{{system}}"), LEFT),
        Row("Data"),
        lines(
            "Replication lag",
            (12, 8),
            Ask(f"karaula_database_replication_lag_seconds{{{HERE}}}", "{{system}}"),
            Ask(f"karaula_system_rpo_objective_seconds{{{HERE}}}", "{{system}} objective"),
            unit="s",
            about="How much a failover would lose now, beside the recovery point objective",
            min=0,
        ),
        lines(
            "Records a second",
            (12, 8),
            Ask(f"sum by (system, site) (rate(karaula_database_position{{{HERE}}}[$__rate_interval]))", BOTH),
            unit="cps",
            about="The two sites of a system run together",
        ),
        stat("Databases that run", (8, 6), Ask(f"karaula_database_up{{{HERE}}}", BOTH), UP_DOWN),
        stat(
            "Newest record is",
            (8, 6),
            Ask(f"time() - karaula_database_newest_record_timestamp_seconds{{{HERE}}}", BOTH),
            limits((300, YELLOW), unit="s", decimals=0),
            "At night nothing may be declared for a while",
        ),
        stat(
            "Epoch",
            (8, 6),
            Ask(f"karaula_database_epoch{{{HERE}}}", BOTH),
            {},
            "The fencing token; the higher one is right",
        ),
        Row("Service"),
        lines(
            "Health page answers in", (12, 8), Ask(f"karaula_system_response_seconds{{{HERE}}}", BOTH), unit="s", min=0
        ),
        lines(
            "Allowance used up, over an hour",
            (12, 8),
            Ask(f"karaula:system_burn:1h{{{HERE}}}", "{{system}}"),
            unit="none",
            about="1 uses up exactly what 30 days allow; from 14.4 on people are called",
            min=0,
        ),
        timeline("State, history", (12, 8), Ask(system_state(HERE), "{{system}}"), SYSTEM),
        timeline("Fronts, history", (12, 8), Ask(f"karaula_system_up{{{HERE}}}", BOTH), UP_DOWN),
        Row("Would a failover work?"),
        stat(
            "Readiness",
            (8, 7),
            Ask(f"karaula_readiness_worst{{{HERE}}}", "{{system}}"),
            LIGHT,
            "The worst of its checks; unknown counts as worse than amber: karaula readiness",
        ),
        stat(
            "Each check that is not green",
            (16, 7),
            Ask(f"karaula_readiness_light{{{HERE}}} > 0", "{{system}} {{check}}"),
            LIGHT | {"noValue": "all are green"},
            "Red in replica, machines, access or capacity refuses drills, and never a person's failover",
        ),
        stat(
            "Newest proven backup is",
            (6, 6),
            Ask(f"time() - karaula_backup_proven_timestamp_seconds{{{HERE}}}", "{{system}}"),
            limits((93600, RED), unit="s"),
        ),
        stat(
            "Last drill that succeeded",
            (6, 6),
            Ask(f'time() - karaula_run_last_success_timestamp_seconds{{playbook="drill", {HERE}}}', "{{system}}"),
            limits((691200, RED), unit="s"),
        ),
        stat("Paused", (6, 6), Ask(f"karaula_pause_active{{{HERE}}}", "{{system}}"), NO_YES),
        stat(
            "Recovery time objective",
            (6, 6),
            Ask(f"karaula_system_rto_objective_seconds{{{HERE}}}", "{{system}}"),
            {"unit": "s"},
        ),
        table(
            "Certificates that end next, of all systems",
            (24, 7),
            "sort(karaula_tls_not_after_timestamp_seconds) * 1000",
            {"subject": "Subject", "Value": "Ends"},
            "dateTimeFromNow",
        ),
    ),
)

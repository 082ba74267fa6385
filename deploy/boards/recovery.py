"""Recovery: what runs, what waits, what was proven, what is due."""

from __future__ import annotations

from deploy.boards.panels import NO_YES, RED, YELLOW, Ask, Board, Choice, Row, bars, limits, lines, stat, table

HERE = 'system=~"$system"'
NAME = "{{system}}"
RUN = {"system": "System", "playbook": "Playbook"}

BOARD = Board(
    uid="karaula-recovery",
    title="Karaula: recovery",
    about="What runs and what waits for a person; objectives beside what was measured; what was proven; what is due.",
    choices=(Choice("system", "System", "karaula_system_rto_objective_seconds"),),
    parts=(
        Row("Now"),
        table("Runs under way", (8, 7), f"karaula_run_active{{{HERE}}}", RUN | {"state": "State", "Value": "Runs"}),
        table(
            "Where each system belongs",
            (4, 7),
            f"karaula_recovery_placement{{{HERE}}} == 1",
            {"system": "System", "site": "By the journal"},
        ),
        table(
            "Where each system is",
            (4, 7),
            f"karaula_system_active{{{HERE}}} == 1",
            {"system": "System", "site": "Observed"},
        ),
        stat(
            "Paused",
            (4, 7),
            Ask(f"karaula_pause_active{{{HERE}}}", NAME),
            NO_YES,
            "While paused nothing starts by itself; watching goes on",
        ),
        table(
            "Overridden",
            (4, 7),
            f"karaula_override_active{{{HERE}}} == 1",
            {"system": "System", "rule": "Rule"},
        ),
        stat(
            "Findings to see to",
            (6, 7),
            Ask(f"sum by (system) (karaula_findings_open{{{HERE}}})", NAME),
            limits((1, YELLOW)),
            "What runs and people found and nobody has closed: karaula findings",
        ),
        stat(
            "Findings overdue",
            (6, 7),
            Ask(f"karaula_findings_overdue{{{HERE}}}", NAME),
            limits((1, RED)),
            "Actions that were agreed and not done by their day",
        ),
        Row("Time and loss"),
        stat(
            "Last failover took",
            (6, 7),
            Ask(f"karaula_recovery_time_actual_seconds{{{HERE}}}", NAME),
            {"unit": "s"},
            "From the last time the service was seen working to the end of the failover",
        ),
        table(
            "The machine will need (from past runs)",
            (12, 7),
            f"karaula_run_expected_seconds{{{HERE}}}",
            {"system": "System", "playbook": "Playbook", "percentile": "Percentile", "Value": "Seconds"},
            "s",
            "Seconds along the critical path; a playbook with fewer than five past runs is not among them",
        ),
        stat(
            "Past runs behind it",
            (6, 7),
            Ask(f"min by (system) (karaula_run_expected_from_runs{{{HERE}}})", NAME),
            {},
            "The least of any playbook; below five nothing is predicted",
        ),
        stat("It may take", (6, 7), Ask(f"karaula_system_rto_objective_seconds{{{HERE}}}", NAME), {"unit": "s"}),
        lines(
            "A failover would lose",
            (6, 7),
            Ask(f"karaula_database_replication_lag_seconds{{{HERE}}}", NAME),
            Ask(f"karaula_system_rpo_objective_seconds{{{HERE}}}", "{{system}} objective"),
            unit="s",
            min=0,
        ),
        stat(
            "Epoch",
            (6, 7),
            Ask(f"max by (system) (karaula_database_epoch{{{HERE}}})", NAME),
            {},
            "Grows with each change of the active site; whoever comes with an older one is refused",
        ),
        Row("Proven"),
        stat(
            "Newest proven backup is",
            (8, 6),
            Ask(f"time() - karaula_backup_proven_timestamp_seconds{{{HERE}}}", NAME),
            limits((93600, RED), unit="s"),
            "Age of the newest backup that a restore has proven: the proven RPO",
        ),
        stat(
            "Level of the newest backup",
            (8, 6),
            Ask(f"karaula_backup_level{{{HERE}}}", NAME),
            {},
            "L0 exists, L1 checksums hold, L2 restores, L3 boots, L4 answers as it did; -1 not tried",
        ),
        stat(
            "Level that it must pass",
            (8, 6),
            Ask(f"karaula_backup_required_level{{{HERE}}}", NAME),
            {},
            "required_level in the inventory",
        ),
        stat(
            "Proven backup may be as old as",
            (8, 6),
            Ask(f"karaula_backup_objective_seconds{{{HERE}}}", NAME),
            limits(unit="s"),
            "max_age_s in the inventory",
        ),
        stat(
            "Findings on backups",
            (8, 6),
            Ask(f"karaula_backup_findings{{{HERE}}}", NAME),
            limits((1, YELLOW)),
            "karaula backups says them in words",
        ),
        stat(
            "Places that hold the newest backup",
            (8, 6),
            Ask(f"karaula_backup_places{{{HERE}}}", NAME),
            {},
            "Two, one of them append-only, is what 3-2-1 wants beside the original",
        ),
        stat(
            "Its verification took",
            (8, 6),
            Ask(f"karaula_backup_verify_duration_seconds{{{HERE}}}", NAME),
            limits(unit="s"),
            "From its first step to its end",
        ),
        stat(
            "Newest backup is",
            (8, 6),
            Ask(f"time() - karaula_backup_newest_timestamp_seconds{{{HERE}}}", NAME),
            limits((93600, YELLOW), unit="s"),
            "Proven or not",
        ),
        stat(
            "Last drill that succeeded",
            (8, 6),
            Ask(f'time() - karaula_run_last_success_timestamp_seconds{{playbook="drill", {HERE}}}', NAME),
            limits((691200, RED), unit="s"),
        ),
        table(
            "Newest run of each playbook",
            (8, 9),
            f"karaula_run_last_end_timestamp_seconds{{{HERE}}} * 1000",
            RUN | {"Value": "Ended"},
            "dateTimeFromNow",
        ),
        table("How long it took", (8, 9), f"karaula_run_last_duration_seconds{{{HERE}}}", RUN | {"Value": "Took"}, "s"),
        table(
            "Next on the calendar",
            (8, 9),
            "karaula_schedule_next_timestamp_seconds * 1000",
            {"schedule": "Schedule", "Value": "Due"},
            "dateTimeFromNow",
        ),
        Row("History"),
        lines(
            "Runs ended, 24 hours",
            (12, 8),
            Ask(
                f"sum by (playbook, state) (increase(karaula_runs_ended_total{{{HERE}}}[24h]))",
                "{{playbook}} {{state}}",
            ),
            about="A series that begins with its first run counts from its second",
            min=0,
        ),
        bars("Guards' answers", (12, 8), Ask("karaula_guard_verdicts_total", "{{guard}} {{ruling}}"), {}),
    ),
)

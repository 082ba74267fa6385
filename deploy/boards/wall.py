"""The wall: is everything well, seen from the other end of the room."""

from __future__ import annotations

from deploy.boards.panels import (
    GREEN,
    NO_YES,
    ORANGE,
    PURPLE,
    RED,
    UP_DOWN,
    YELLOW,
    Ask,
    Board,
    Row,
    bars,
    limits,
    stat,
    table,
    timeline,
)
from deploy.boards.words import CROSSING, SITE, SYSTEM, crossing_state, site_state, system_state

UNEXPLAINED = "unless on (alarm, subject) karaula_alarm_held_back == 1"


def count(expr: str) -> str:
    """Return how many series there are, 0 when none."""
    return f"count({expr}) or vector(0)"


BOARD = Board(
    uid="karaula-wall",
    title="Karaula: wall",
    about="Is everything well? Key systems, crossings, sites, standing alarms, and whether Karaula itself is well.",
    since="now-24h",
    parts=(
        stat(
            "Key systems",
            (9, 7),
            Ask(system_state(), "{{system}}"),
            SYSTEM,
            link="/d/karaula-system?var-system=${__field.labels.system}",
        ),
        stat(
            "Sites",
            (6, 7),
            Ask(site_state(), "{{site}}"),
            SITE,
            link="/d/karaula-data-centre?var-site=${__field.labels.site}",
        ),
        stat("Karaula", (3, 7), Ask('min(up{job="karaula"})'), UP_DOWN, "Answers", link="/d/karaula-daemon"),
        stat(
            "Cut off itself",
            (3, 7),
            Ask("max(karaula_isolated)"),
            NO_YES,
            "Karaula's own uplink is gone: what it cannot see is unknown, not down",
            link="/d/karaula-daemon",
        ),
        stat(
            "Its picture is old by",
            (3, 7),
            Ask("max(time() - karaula_evaluation_timestamp_seconds)"),
            limits((15, YELLOW), (60, RED), unit="s", decimals=0),
            "Since states were last worked out. More than a minute: nothing on this wall can be trusted",
            link="/d/karaula-daemon",
        ),
        stat(
            "Crossings",
            (24, 8),
            Ask(crossing_state(), "{{crossing}}"),
            CROSSING,
            link="/d/karaula-crossing?var-crossing=${__field.labels.crossing}",
        ),
        stat(
            "Critical alarms",
            (3, 5),
            Ask(count(f'karaula_alarm_active{{severity="critical"}} == 1 {UNEXPLAINED}')),
            limits((1, RED)),
            "Without those that another alarm explains",
        ),
        stat(
            "Other alarms",
            (3, 5),
            Ask(count(f'karaula_alarm_active{{severity!="critical"}} == 1 {UNEXPLAINED}')),
            limits((1, YELLOW)),
            "Without those that another alarm explains",
        ),
        stat(
            "Wait for a person",
            (3, 5),
            Ask(count('karaula_run_active{state=~"WAITING|PAUSED"} >= 1 or karaula_joint_run_active{state="WAITING"}')),
            limits((1, RED)),
            "Runs that need an approval, an answer or a decision",
            link="/d/karaula-recovery",
        ),
        stat(
            "Crossings on one link",
            (3, 5),
            Ask('sum(karaula_crossing_state{state=~"on-backup|redundancy-lost"})'),
            limits((1, YELLOW)),
        ),
        stat("Sensors in alarm", (3, 5), Ask('sum(karaula_sensor_state{state="alarm"})'), limits((1, RED))),
        stat(
            "Not known",
            (3, 5),
            Ask('sum(karaula_subject_status{state="unknown"})'),
            limits((1, PURPLE)),
            "Subjects of whatever kind whose state is not known: neither good nor bad",
        ),
        stat(
            "Change to and fro",
            (3, 5),
            Ask(count("karaula_subject_flapping == 1")),
            limits((1, ORANGE)),
            "Subjects that flap: their single changes are told to nobody until they settle",
            link="/d/karaula-daemon",
        ),
        stat(
            "In planned works",
            (3, 5),
            Ask(count("karaula_subject_downtime == 1")),
            {"color": {"mode": "fixed", "fixedColor": "blue"}},
            "Subjects that a downtime covers: what is wrong with them is told to nobody until its end",
            link="/d/karaula-daemon",
        ),
        table(
            "Standing alarms",
            (12, 9),
            f"karaula_alarm_raised_timestamp_seconds * 1000 {UNEXPLAINED}",
            {"alarm": "Alarm", "subject": "Subject", "severity": "Severity", "Value": "Since"},
            "dateTimeFromNow",
            "Without those that another alarm explains",
        ),
        table(
            "Where each system is active",
            (6, 9),
            "karaula_system_active == 1",
            {"system": "System", "site": "Active at"},
        ),
        bars(
            "Left of the month, systems",
            (6, 9),
            Ask("karaula:system_budget_left:ratio", "{{system}}"),
            limits((0, ORANGE), (0.25, YELLOW), (0.5, GREEN), below=RED, unit="percentunit") | {"min": 0, "max": 1},
            "What may still be missing within 30 days, of what the objective allows",
        ),
        Row("The last day"),
        timeline("Key systems, history", (12, 8), Ask(system_state(), "{{system}}"), SYSTEM),
        timeline("Crossings, history", (12, 8), Ask(crossing_state(), "{{crossing}}"), CROSSING),
        bars(
            "Alarms raised in 24 hours",
            (24, 8),
            Ask("sum by (alarm) (increase(karaula_alarms_raised_total[24h]))", "{{alarm}}"),
            {"decimals": 0},
        ),
    ),
)

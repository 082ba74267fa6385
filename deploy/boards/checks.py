"""What the inventory's further checks measured (docs/checks.md): rows of the data centre's board."""

from __future__ import annotations

from deploy.boards.panels import GREEN, RED, UP_DOWN, YELLOW, Ask, Panel, Row, bars, limits, lines, reading, stat, table

HERE = 'site=~"$site"'
CHECK = "{{check}}"
ROLE = reading(("standby", "blue"), ("primary", GREEN))
LEFT = limits((0.1, YELLOW), (0.2, GREEN), below=RED, unit="percentunit") | {"min": 0, "max": 1}


def measured(metric: str, legend: str = CHECK) -> Ask:
    """Return what was measured at the chosen sites."""
    return Ask(f"{metric}{{{HERE}}}", legend)


CHECKS: tuple[Panel | Row, ...] = (
    Row("Checks"),
    stat(
        "Checks that succeed",
        (12, 8),
        measured("karaula_check_up"),
        UP_DOWN,
        "Nothing: what the check asks is not known",
    ),
    lines("Checks answer in", (12, 8), measured("karaula_check_response_seconds"), unit="s", min=0),
    Row("What hosts say of themselves"),
    bars("Room left on disks", (8, 8), measured("karaula_host_disk_free_ratio"), LEFT),
    bars("Inodes left on disks", (8, 8), measured("karaula_host_disk_inodes_free_ratio"), LEFT),
    lines(
        "Room left on disks, and all of it",
        (8, 8),
        measured("karaula_host_disk_free_bytes"),
        measured("karaula_host_disk_size_bytes", "{{check}} all"),
        unit="bytes",
        about="For an ordinary user",
        min=0,
    ),
    stat("Services", (6, 8), measured("karaula_host_unit_active"), UP_DOWN),
    stat(
        "Clocks are off by",
        (6, 8),
        Ask(f"abs(karaula_host_clock_offset_seconds{{{HERE}}})", CHECK),
        limits((0.5, YELLOW), (5, RED), unit="s"),
    ),
    lines(
        "Clocks are known to within",
        (6, 8),
        measured("karaula_host_clock_uncertainty_seconds"),
        unit="s",
        about="Either way: half of the round trip",
        min=0,
    ),
    lines(
        "Replication lag by the hosts' own command",
        (6, 8),
        measured("karaula_host_replication_lag_seconds"),
        unit="s",
        min=0,
    ),
    table(
        "Certificates in hosts' files",
        (24, 6),
        f"sort(karaula_host_certificate_not_after_timestamp_seconds{{{HERE}}}) * 1000",
        {"check": "Check", "host": "Host", "Value": "Ends"},
        "dateTimeFromNow",
    ),
    Row("Time servers"),
    lines("Time servers are off by", (8, 8), measured("karaula_ntp_offset_seconds"), unit="s"),
    lines(
        "Time servers answer in",
        (4, 8),
        measured("karaula_ntp_delay_seconds"),
        unit="s",
        about="Half of it is open either way",
        min=0,
    ),
    lines(
        "Time servers' distance from their source",
        (6, 8),
        measured("karaula_ntp_root_distance_seconds"),
        unit="s",
        min=0,
    ),
    stat("Stratum", (6, 8), measured("karaula_ntp_stratum"), limits((5, YELLOW), (16, RED)), "16: not synchronized"),
    Row("PostgreSQL"),
    stat("PostgreSQL servers", (4, 8), measured("karaula_postgresql_primary"), ROLE),
    lines(
        "PostgreSQL, lacking for",
        (5, 8),
        measured("karaula_postgresql_replay_lag_seconds"),
        unit="s",
        about="For how long the standby (of a primary: the one furthest behind) has lacked what was written",
        min=0,
    ),
    lines("PostgreSQL, log lacked", (5, 8), measured("karaula_postgresql_replay_lag_bytes"), unit="bytes", min=0),
    lines(
        "PostgreSQL, standbys that receive",
        (5, 8),
        measured("karaula_postgresql_standbys"),
        measured("karaula_postgresql_synchronous_standbys", "{{check}} synchronous"),
        about="Synchronous: a commit can wait for them",
        min=0,
    ),
    lines(
        "PostgreSQL, log kept by slots",
        (5, 8),
        measured("karaula_postgresql_slot_retained_bytes"),
        unit="bytes",
        about="Of the slot that is furthest behind; it grows until the disk is full",
        min=0,
    ),
)

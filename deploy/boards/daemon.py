"""The daemon itself: whether it is well, asks what it should, and what it costs."""

from __future__ import annotations

from deploy.boards.panels import (
    GREEN,
    NO_YES,
    RED,
    UP_DOWN,
    YELLOW,
    Ask,
    Board,
    Row,
    limits,
    lines,
    reading,
    stat,
    table,
    timeline,
)

SOURCE = "{{source}}"
RATE = "[$__rate_interval]"


def age(metric: str) -> str:
    """Return how long ago it was."""
    return f"time() - {metric}"


BOARD = Board(
    uid="karaula-daemon",
    title="Karaula: the daemon",
    about="Is Karaula itself well? Its parts, its polls, its messages, its disk, and what it costs (docs/health.md).",
    parts=(
        Row("Well?"),
        stat("Answers", (3, 6), Ask('up{job="karaula"}', "{{instance}}"), UP_DOWN),
        stat(
            "States are old by",
            (3, 6),
            Ask(age("karaula_evaluation_timestamp_seconds"), "{{instance}}"),
            limits((15, YELLOW), (60, RED), unit="s", decimals=0),
        ),
        stat(
            "Parts",
            (9, 6),
            Ask("karaula_part_silent_seconds", "{{part}}"),
            limits((1, RED), unit="s", decimals=0),
            "How long a part has not turned although it should have",
        ),
        stat("Journal fails", (3, 6), Ask("karaula_journal_failing", "{{instance}}"), NO_YES),
        stat("History fails", (3, 6), Ask("karaula_history_failing", "{{instance}}"), NO_YES),
        stat(
            "Configuration refused",
            (3, 6),
            Ask("karaula_configuration_refused", "{{instance}}"),
            NO_YES,
            "The one before goes on",
        ),
        stat(
            "Cut off itself",
            (2, 5),
            Ask("karaula_isolated", "{{instance}}"),
            NO_YES,
            "Its own uplink is gone: what it cannot see is unknown, and no alarm prepares a failover",
        ),
        stat(
            "Holds the lease",
            (2, 5),
            Ask("karaula_lease_held", "{{instance}}"),
            limits((0, RED), (1, GREEN), decimals=0),
            "1: it may act; 0: it lets every run wait until it holds the lease again",
        ),
        stat(
            "Evidence is behind at",
            (4, 5),
            Ask("karaula_evidence_behind", "{{place}}"),
            NO_YES,
            "Places that cannot be given the journal's newest signed head",
        ),
        stat(
            "Runs since",
            (4, 5),
            Ask(age("karaula_start_timestamp_seconds"), "{{instance}}"),
            limits((600, GREEN), below=YELLOW, unit="s"),
        ),
        stat(
            "Configuration read",
            (4, 5),
            Ask(age("karaula_configuration_loaded_timestamp_seconds"), "{{instance}}"),
            {"unit": "s"},
            "ago",
        ),
        stat(
            "Shards that watch",
            (4, 5),
            Ask("karaula:shards:expected - karaula:shards:watching"),
            reading(("all", GREEN)) | limits((1, RED)),
            "How many of the daemons that share the estate are missing",
        ),
        table("Shards", (6, 5), "karaula_shard_info", {"instance": "Daemon", "shard": "Shard", "shards": "Of"}),
        table(
            "Inventory in force",
            (6, 5),
            "karaula_configuration_fingerprint",
            {"instance": "Daemon", "Value": "Fingerprint"},
            about="The first 48 bits of its SHA-256: the same in every daemon that shares the estate",
        ),
        lines(
            "Shards as each daemon was told",
            (6, 5),
            Ask("karaula_shards", "{{instance}}"),
            about="The same everywhere, or something is watched twice or by nobody",
            min=0,
        ),
        stat(
            "Changes not on disk yet",
            (6, 5),
            Ask("karaula_history_pending", "{{instance}}"),
            limits((100, YELLOW), (10_000, RED)),
        ),
        Row("What is told to nobody for now"),
        table(
            "Change to and fro",
            (12, 6),
            "karaula_subject_flapping == 1",
            {"subject": "Subject"},
            about="Told once, as flapping; their single changes are held back until they settle",
        ),
        table(
            "In planned works",
            (12, 6),
            "karaula_subject_downtime == 1",
            {"subject": "Subject"},
            about="What is still wrong at the end is told then (karaula downtime)",
        ),
        Row("Polls"),
        lines(
            "Asks a second",
            (8, 8),
            Ask(f"sum by (source) (rate(karaula_source_attempts_total{RATE}))", SOURCE),
            unit="cps",
            min=0,
        ),
        lines(
            "Without a good answer",
            (8, 8),
            Ask(
                f"sum by (source) (rate(karaula_source_failures_total{RATE})) "
                f"/ sum by (source) (rate(karaula_source_attempts_total{RATE}))",
                SOURCE,
            ),
            unit="percentunit",
            min=0,
        ),
        lines("A round takes", (8, 8), Ask("karaula_source_duration_seconds", SOURCE), unit="s", min=0),
        stat(
            "Last good answer",
            (8, 7),
            Ask(age("karaula_source_last_success_timestamp_seconds"), SOURCE),
            limits((60, YELLOW), (600, RED), unit="s", decimals=0),
        ),
        stat(
            "Last asked",
            (8, 7),
            Ask(age("karaula_source_last_attempt_timestamp_seconds"), SOURCE),
            limits((120, YELLOW), (300, RED), unit="s", decimals=0),
        ),
        stat("Targets", (8, 7), Ask("karaula_source_targets", SOURCE), {}),
        lines(
            "Passed over, and mistakes of probes",
            (8, 8),
            Ask("sum by (source) (increase(karaula_source_skipped_total[1h]))", "{{source}} passed over"),
            Ask("sum by (source) (increase(karaula_source_errors_total[1h]))", "{{source}} mistakes"),
            about="Within an hour. Passed over: the ask before still ran",
            min=0,
        ),
        table(
            "Longest without a good answer",
            (8, 8),
            "topk(15, time() - karaula_subject_last_success_timestamp_seconds)",
            {"subject": "Subject", "Value": "For"},
            "s",
            "Since the daemon's start; who never gave one is among those below",
        ),
        table(
            "Longest not confirmed",
            (8, 8),
            "topk(15, time() - karaula_subject_seen_timestamp_seconds)",
            {"subject": "Subject", "Value": "For"},
            "s",
        ),
        lines(
            "Targets that hang, an hour",
            (8, 8),
            Ask("sum(increase(karaula_target_skipped_total[1h])) or vector(0)", "passed over"),
            about="karaula_target_skipped_total names them",
            min=0,
        ),
        lines("vCenter polls take", (8, 8), Ask("karaula_vcenter_poll_seconds", "{{vcenter}}"), unit="s", min=0),
        lines("News a vCenter poll", (8, 8), Ask("karaula_vcenter_changed_objects", "{{vcenter}}"), min=0),
        Row("Messages to people"),
        stat("Wait", (6, 6), Ask("karaula_notices_pending", "{{channel}}"), limits((1, YELLOW), (20, RED))),
        stat("Given up", (6, 6), Ask("karaula_notices_dropped_total", "{{channel}}"), limits((1, RED))),
        lines(
            "Sent and failed, an hour",
            (12, 6),
            Ask("increase(karaula_notices_sent_total[1h])", "{{channel}} sent"),
            Ask("increase(karaula_notices_failed_total[1h])", "{{channel}} failed"),
            min=0,
        ),
        Row("What it costs"),
        lines(
            "Longest wait in the event loop", (6, 7), Ask("karaula_loop_lag_seconds", "{{instance}}"), unit="s", min=0
        ),
        lines(
            "Tasks in the event loop",
            (6, 7),
            Ask("karaula_event_loop_tasks", "{{instance}}"),
            unit="none",
            about="What it has under way at once: grows and falls with what is asked, and never grows for days",
            min=0,
        ),
        lines("A scrape takes", (6, 7), Ask('scrape_duration_seconds{job="karaula"}', "{{instance}}"), unit="s", min=0),
        lines(
            "A page takes",
            (6, 7),
            Ask("karaula_page_render_seconds", "{{instance}}"),
            unit="s",
            about="Of processor",
            min=0,
        ),
        lines(
            "The page is old by",
            (6, 7),
            Ask("timestamp(karaula_page_timestamp_seconds) - karaula_page_timestamp_seconds", "{{instance}}"),
            unit="s",
            about="When it was scraped; never more than 10 s and the scrape itself",
        ),
        lines("Samples", (12, 6), Ask("karaula_page_samples", "{{instance}}"), min=0),
        timeline("Answers, history", (12, 6), Ask('up{job="karaula"}', "{{instance}}"), UP_DOWN),
    ),
)

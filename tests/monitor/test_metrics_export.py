"""/metrics: our text equals prometheus_client's, and is read by its parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from monitor.metrics.catalog import METRICS, Family, Metric
from monitor.metrics.export import OPENMETRICS, PLAIN, Exporter, SnapshotCollector, render

WANTS_OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
values = st.floats() | st.integers(-(2**53), 2**53).map(float) | st.sampled_from([0.0, -0.0, 1.0, 1e6, 1e21, 1e-7])


@st.composite
def families(draw: st.DrawFn) -> list[Family]:
    found = []
    plain = [metric for metric in METRICS if metric.kind != "histogram"]
    for metric in draw(st.lists(st.sampled_from(plain), unique=True, max_size=4)):
        word = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
        series = draw(st.dictionaries(st.tuples(*[word] * len(metric.labels)), values, max_size=6))
        found.append(Family(metric, tuple(series.items())))
    return found


@given(st.lists(families(), min_size=1, max_size=3))
def test_the_text_is_what_prometheus_client_writes_also_when_lines_are_reused(scrapes: list[list[Family]]) -> None:
    exporter = Exporter()
    for scrape in scrapes:
        collector = SnapshotCollector(scrape)
        assert exporter.render(scrape) == (generate_latest(collector), PLAIN)
        expected = openmetrics.generate_latest(collector)
        assert exporter.render(scrape, WANTS_OPENMETRICS) == (expected, OPENMETRICS)


def test_both_formats_are_read_back() -> None:
    gauge = next(metric for metric in METRICS if metric.name == "karaula_link_rtt_seconds")
    counter = next(metric for metric in METRICS if metric.name == "karaula_source_attempts_total")
    shown = [
        Family(gauge, ((("blace", "primary", "operator-a"), 0.0125), (('a"b\\c\nd', "backup", "o"), math.inf))),
        Family(counter, ((("http",), 12.0),)),
    ]
    expected = {
        ("karaula_link_rtt_seconds", "blace", 0.0125),
        ("karaula_link_rtt_seconds", 'a"b\\c\nd', math.inf),
        ("karaula_source_attempts_total", "", 12.0),
    }
    for accept, parse in (("", parse_plain), (WANTS_OPENMETRICS, parse_openmetrics)):
        body, _ = render(shown, accept)
        samples = [sample for family in parse(body.decode()) for sample in family.samples]
        assert {(each.name, each.labels.get("crossing", ""), each.value) for each in samples} == expected


def test_what_has_gone_is_not_shown_and_not_kept() -> None:
    metric = Metric("karaula_test_things", "gauge", "", ("thing",), "Things")
    exporter = Exporter()
    exporter.render([Family(metric, tuple(((f"t{number}",), 1.0) for number in range(30_000)))])
    body, _ = exporter.render([Family(metric, ((("t1",), 2.0),))])
    assert body.decode().splitlines()[2:] == ['karaula_test_things{thing="t1"} 2.0']
    assert len(exporter._lines["karaula_test_things"]) == 1


def test_the_recovery_half_adds_its_own_and_a_name_given_twice_is_refused() -> None:
    mine = Family(METRICS[0], ())
    other = Family(Metric("karaula_test_runs_total", "counter", "", (), "Runs"), (((), 3.0),))
    body, content_type = render([mine], "text/plain", extra=[other])
    assert content_type == PLAIN
    assert "karaula_test_runs_total 3.0" in body.decode()
    with pytest.raises(ValueError, match="given twice"):
        render([mine], extra=[mine])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain;version=0.0.4", PLAIN),
        ("application/openmetrics-text", OPENMETRICS),
        (WANTS_OPENMETRICS, OPENMETRICS),
        ("Application/OpenMetrics-Text; version=1.0.0", OPENMETRICS),
    ],
)
def test_the_scraper_chooses_the_format(accept: str, content_type: str) -> None:
    assert render([], accept)[1] == content_type


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3), st.floats(0, 1e6))
def test_a_histogram_is_what_prometheus_client_writes_and_its_parser_reads(counts: list[int], total: float) -> None:
    metric = Metric("karaula_test_wait_seconds", "histogram", "seconds", ("thing", "zebra"), "Waits")
    rows = [(("a", 'b"', bound), float(sum(counts[: place + 1]))) for place, bound in enumerate(("0.1", "1.0", "+Inf"))]
    rows += [(("a", 'b"', "count"), float(sum(counts))), (("a", 'b"', "sum"), total)]
    family = Family(metric, tuple(rows))
    collector = SnapshotCollector([family])
    exporter = Exporter()
    assert exporter.render([family]) == (generate_latest(collector), PLAIN)
    body, _ = exporter.render([family], WANTS_OPENMETRICS)
    assert body == openmetrics.generate_latest(collector)
    (read,) = parse_openmetrics(body.decode())
    assert read.type == "histogram"
    assert [sample.name.rpartition("_")[2] for sample in read.samples] == [*["bucket"] * 3, "count", "sum"]
    assert read.samples[0].labels == {"thing": "a", "zebra": 'b"', "le": "0.1"}

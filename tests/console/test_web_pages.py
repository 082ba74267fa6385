"""What the pages say, in which order, and that nothing a person or a target wrote becomes a part of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cli_kit import estate
from web_kit import WebDaemon, web_daemon

from console.web import overview, run_sheet
from console.web.pages import static
from console.web.render import age, brief, limit, reading
from dr.engine.orchestrator import Request
from monitor.probe import Answer, Observation
from monitor.status.alarm import Alarm
from monitor.status.board import Evidence, Sighting
from monitor.status.state import Health

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7 * 7 }}\u202e\x1b[2J"
SCRIPT_LIMIT_BYTES = 6_000
PAGE_LIMIT_BYTES = 64_000


class Parts(HTMLParser):
    """The tags of a page, each with its attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.tags if "id" in attrs]


@pytest.fixture
def daemon() -> Iterator[WebDaemon]:
    with web_daemon() as running:
        yield running


def alarm(name: str, subject: str, cause: str = "", *, severity: str = "critical", since: float = 1.0) -> Alarm:
    return Alarm(f"{name}-{subject}", name, subject, severity, since, "it is so", None, cause)  # type: ignore[arg-type]  # a severity


def decide(daemon: WebDaemon, run_id: str, decision: str, **fields: str) -> int:
    return daemon.ask("POST", f"/runs/{run_id}/decide", form=urlencode({"decision": decision, **fields})).status


def test_the_overview_shows_everything_that_is_watched(daemon: WebDaemon) -> None:
    page = daemon.ask("GET", "/").text
    parts = Parts(page)
    inventory = estate()
    for kind, keys in (
        ("system", inventory.systems),
        ("site", inventory.sites),
        ("crossing", inventory.crossings),
        ("sensor", inventory.sensors),
    ):
        assert {f"{kind}-{key}" for key in keys} <= set(parts.ids())
    assert "All 4 key systems are in service" in parts.text
    assert len(set(parts.ids())) == len(parts.ids()), "an id stands twice"
    assert re.search(r'id="when"[^>]*>\w{3} \d\d \w{3} \d\d:\d\d:\d\d CES?T<', page)


def test_pages_are_small_and_bring_everything_themselves(daemon: WebDaemon) -> None:
    page = daemon.ask("GET", "/").text
    assert len(page.encode()) < PAGE_LIMIT_BYTES
    assert len(daemon.ask("GET", "/static/live.js").text.encode()) < SCRIPT_LIMIT_BYTES
    style = daemon.ask("GET", "/static/style.css").text
    assert "http" not in style
    assert "@import" not in style
    for tag, attrs in Parts(page).tags:
        for name in ("src", "href", "action"):
            assert (attrs.get(name) or "/").startswith(("/", "#")), f"{tag} leads away: {attrs}"
        assert "style" not in attrs, "the policy forbids inline styles"
        assert not [name for name in attrs if name.startswith("on")]


def test_what_needs_a_decision_comes_first_the_most_urgent_first(daemon: WebDaemon) -> None:
    now = daemon.clock.now()
    for system, lost_at in (("ite", now - 60), ("cdeps", now - 60), ("ncts", now - 60)):
        daemon.call(
            daemon.orchestrator.submit(
                Request("failover", system, "karaula", "main is lost", "alarm", system, lost_at, now)
            )
        )
        daemon.watch.set(f"system/{system}", Health.DOWN, "active at no site")
    daemon.watch.standing = [alarm("system-down", "system/ncts")]
    ids = Parts(daemon.ask("GET", "/").text).ids()
    asks = [name.split("-")[1] for name in ids if name.startswith("ask-")]
    assert asks == ["ncts", "cdeps", "ite"], "the least time to its objective first"
    order = [ids.index(name) for name in ("headline", "runs", "alarms", "systems", "sites", "crossings", "sensors")]
    assert order == sorted(order)
    text = Parts(daemon.ask("GET", "/").text).text
    assert "Of 4 key systems: 3 down, 1 in service" in text
    assert re.search(r"Without service for 1 min 0\d s;\s+1[34] min \d\d s left of the 15 min objective", text)


def test_an_objective_that_is_missed_is_said(daemon: WebDaemon) -> None:
    now = daemon.clock.now()
    asked = Request("failover", "ncts", "karaula", "lost", "alarm", "a", now - 1000, now - 900)
    run = daemon.call(daemon.orchestrator.submit(asked))
    assert "the 15 min objective is missed" in daemon.ask("GET", f"/runs/{run.id}").text


def test_alarms_are_folded_under_what_explains_them() -> None:
    site = alarm("site-down", "site/main", since=2)
    vcenter = alarm("vcenter-down", "vcenter/vc-main", "site-down site/main", since=1)
    vm = alarm("unknown", "vm/vc-main/a", "vcenter-down vcenter/vc-main", severity="warning")
    alone = alarm("sensor-warning", "sensor/dust", severity="warning", since=0)
    orphan = alarm("host-down", "host/x", "site-down site/gone", since=3)
    found = overview.groups([alone, vm, vcenter, orphan, site])
    assert [group.alarm for group in found] == [site, orphan, alone]
    assert found[0].explained == (vcenter, vm)


def test_alarms_that_explain_one_another_are_all_shown() -> None:
    one, two = alarm("a", "x/1", "b x/2"), alarm("b", "x/2", "a x/1")
    three = alarm("c", "x/3", "a x/1")
    assert {group.alarm for group in overview.groups([one, two, three])} == {one, two, three}


def test_the_page_folds_alarms(daemon: WebDaemon) -> None:
    daemon.watch.standing = [
        alarm("site-down", "site/main"),
        alarm("sensor-fault", "sensor/main-dust", "site-down site/main"),
        alarm("link-down", "link/blace/backup", severity="warning"),
        alarm("system-down", "system/ncts", "site-down site/main"),
    ]
    daemon.refusals[daemon.watch.standing[3].id] = "it is in planned downtime, announced by <b>Ana</b>"
    daemon.watch.set("sensor/main-dust", Health.UNKNOWN, "a very long reason")
    page = daemon.ask("GET", "/").text
    assert "Alarms (2)" in page
    assert "2 more alarms come of it" in page
    why = "<strong>Nothing is prepared for NCTS,</strong> because it is in planned downtime, announced by &lt;b&gt;Ana"
    assert page.count(why) == 2, "under what explains it, and at its own line"
    assert "Blace, reserve link" in page
    assert "because of site-down site/main" in page
    assert "a very long reason" not in page


def test_trouble_stands_at_the_top_of_its_table(daemon: WebDaemon) -> None:
    daemon.watch.set("crossing/ohrid-airport", Health.DEGRADED, "", "on-backup")
    daemon.watch.set("crossing/stenje", Health.DOWN, "", "cut-off")
    ids = [name for name in Parts(daemon.ask("GET", "/").text).ids() if name.startswith("crossing-")]
    assert ids[:2] == ["crossing-stenje", "crossing-ohrid-airport"]


def test_no_state_is_told_by_colour_alone(daemon: WebDaemon) -> None:
    daemon.watch.set("system/ncts", Health.UNKNOWN, "no answer")
    badges = re.findall(r'<span class="badge [a-z]+">([^<]*)</span>', daemon.ask("GET", "/").text)
    assert badges
    assert all(badges), "a badge without a word"
    assert "UNKNOWN" in badges


def test_the_daemons_own_problems_and_pauses_are_on_the_page(daemon: WebDaemon) -> None:
    daemon.broken.append("the journal cannot be written: No space left on device")
    body = b'{"system": "all", "reason": "works on the network", "for_s": 600}'
    assert daemon.ask("POST", "/api/pauses", body, Content_Type="application/json", X_Karaula_As="ana").status == 201
    text = Parts(daemon.ask("GET", "/").text).text
    assert "Karaula itself: the journal cannot be written: No space left on device" in text
    assert re.search(r"Nothing starts by itself for any system until .* CES?T: works on the network", text)


def test_approve_needs_a_name_and_is_recorded(daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    plan_hash = daemon.orchestrator.run(run_id).plan_hash
    page = daemon.ask("GET", f"/runs/{run_id}").text
    assert f'name="plan_hash" value="{plan_hash}"' in page
    assert "Nothing has been done yet" in page
    assert "The power of NCTS at main is cut" in page
    nameless = daemon.ask("POST", f"/runs/{run_id}/decide", form="decision=approve&name=&reason=dark+here")
    assert nameless.status == 400
    assert "Not done: say who you are" in nameless.text
    assert 'value="dark here"' in nameless.text, "what was typed is lost"
    assert decide(daemon, run_id, "approve", name="ana", plan_hash="0" * 64) == 409
    assert decide(daemon, run_id, "approve", name="<b>", plan_hash=plan_hash) == 400
    assert not daemon.script.done
    assert decide(daemon, run_id, "approve", name="Ана", plan_hash=plan_hash) == 303
    daemon.wait_state(run_id, "SUCCEEDED")
    assert daemon.orchestrator.run(run_id).approved_by == "Ана"
    page = daemon.ask("GET", f"/runs/{run_id}").text
    assert f"/api/runs/{run_id}/report.html" in page
    assert "<form" not in page
    assert decide(daemon, run_id, "approve", name="ana") == 409


def test_who_asked_cannot_approve(daemon: WebDaemon) -> None:
    run = daemon.call(daemon.orchestrator.submit(Request("failover", "ncts", "ana", "exercise")))
    assert "May approve: anybody but ana." in daemon.ask("GET", f"/runs/{run.id}").text
    reply = daemon.ask("POST", f"/runs/{run.id}/decide", form="decision=approve&name=ana")
    assert reply.status == 409
    assert "Not done: ana asked for this run; somebody else must approve it" in reply.text


def test_reloading_a_decisions_answer_leads_back(daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    reply = daemon.ask("GET", f"/runs/{run_id}/decide")
    assert (reply.status, reply.headers["location"]) == (303, f"/runs/{run_id}")


def test_a_failed_fence_can_be_tried_again_but_not_passed_over(daemon: WebDaemon) -> None:
    daemon.script.words["fence"] = ["fail"]
    run_id = daemon.prepared()
    assert decide(daemon, run_id, "approve", name="ana") == 303
    daemon.wait_state(run_id, "PAUSED")
    page = daemon.ask("GET", f"/runs/{run_id}").text
    assert 'value="retry:fence"' in page
    assert 'value="ignore:fence"' not in page
    assert decide(daemon, run_id, "ignore:fence", name="ana", reason="it is dark") == 409
    assert decide(daemon, run_id, "retry:nothing", name="ana", reason="x") == 409
    assert decide(daemon, run_id, "retry:fence", name="ana", reason="power controller rebooted") == 303
    daemon.wait_state(run_id, "SUCCEEDED")


def test_a_step_whose_effect_is_unknown_asks_what_happened(daemon: WebDaemon) -> None:
    daemon.script.words["promote"] = ["lost"]
    daemon.script.blind.add("promote")
    run_id = daemon.prepared()
    assert decide(daemon, run_id, "approve", name="ana") == 303
    daemon.wait_state(run_id, "PAUSED")
    text = Parts(daemon.ask("GET", f"/runs/{run_id}").text).text
    assert "It did not happen: run “promote” again" in text
    assert "It did happen: go on after “promote”" in text
    assert decide(daemon, run_id, "ignore:promote", name="ana") == 409, "a reason is needed"
    assert decide(daemon, run_id, "ignore:promote", name="ana", reason="seen it") == 303
    daemon.wait_state(run_id, "SUCCEEDED_WITH_WARNINGS", "SUCCEEDED")


def test_hostile_texts_stay_texts(daemon: WebDaemon) -> None:
    daemon.script.words["copy"] = ["fail"]
    run_id = daemon.prepared("drill", reason=HOSTILE)
    daemon.wait_state(run_id, "FAILED", "SUCCEEDED", "SUCCEEDED_WITH_WARNINGS", "CANCELED")
    waiting = daemon.prepared(reason=HOSTILE)
    daemon.watch.standing = [replace(alarm("host-down", f"host/{HOSTILE}"), reason=HOSTILE)]
    daemon.watch.set("system/ncts", Health.DOWN, HOSTILE, HOSTILE)
    daemon.broken.append(HOSTILE)
    wanted = [f"/runs/{run_id}", f"/runs/{waiting}", "/", "/runs", f"/api/runs/{run_id}/report.html"]
    for path in wanted:
        reply = daemon.ask("GET", path)
        assert reply.status == 200
        parts = Parts(reply.text)
        assert [attrs for tag, attrs in parts.tags if tag == "script"] in ([{"src": "/static/live.js"}], [])
        assert not [tag for tag, _ in parts.tags if tag == "img"]
        assert "49" not in parts.text.replace(run_id, "").replace(waiting, "") or "{{ 7 * 7 }}" in parts.text
        if "report" not in path:
            assert "\u202e" not in reply.text
            assert "\x1b" not in reply.text
    assert "<script>alert(1)</script>" in Parts(daemon.ask("GET", f"/runs/{waiting}").text).text
    form = urlencode({"decision": "approve", "name": HOSTILE, "reason": HOSTILE})
    refused = Parts(daemon.ask("POST", f"/runs/{waiting}/decide", form=form).text)
    typed = next(attrs for tag, attrs in refused.tags if tag == "input" and attrs["name"] == "reason")
    assert (typed["value"] or "").startswith("<script>alert(1)</script>\"'>")


def test_the_report_has_a_policy_of_its_own(daemon: WebDaemon) -> None:
    run_id = daemon.prepared("backup")
    daemon.wait_state(run_id, "SUCCEEDED")
    policy = daemon.ask("GET", f"/api/runs/{run_id}/report.html").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "style-src 'unsafe-inline'" in policy
    assert "script-src" not in policy


def test_the_overview_without_a_script_renews_itself_but_a_form_is_left_alone(daemon: WebDaemon) -> None:
    run_id = daemon.prepared()
    assert '<noscript><meta http-equiv="refresh"' in daemon.ask("GET", "/").text
    page = daemon.ask("GET", f"/runs/{run_id}").text
    assert "http-equiv" not in page
    assert "Without JavaScript this page does not renew itself" in page


def sighted(site: str, position: float | None) -> Evidence:
    return Evidence(primary=Sighting(site, 1.0, position, None, None))


@pytest.mark.parametrize(
    ("evidence", "held", "says"),
    [
        (sighted("main", 12.0), 10.0, "At least 2 declarations would be lost: when main was last seen it held 12"),
        (sighted("main", 11.0), 10.0, "At least 1 declaration would be lost"),
        (sighted("main", 10.0), 10.0, "Nothing that was seen would be lost"),
        (sighted("main", 9.0), 10.0, "Nothing that was seen would be lost"),
        (sighted("main", None), 10.0, "What would be lost is not known"),
        (sighted("dr", 12.0), 10.0, "What would be lost is not known"),
        (Evidence(), 10.0, "What would be lost is not known"),
        (sighted("main", 12.0), None, "What would be lost is not known"),
    ],
)
def test_what_a_failover_would_lose(daemon: WebDaemon, evidence: Evidence, held: float | None, says: str) -> None:
    run = daemon.orchestrator.run(daemon.prepared())
    seen = None if held is None else Observation("database/ncts/dr", "ssh", 1.0, Answer.OK, values={"position": held})
    assert run_sheet.expected_loss(run, evidence, seen).startswith(says)


def test_lengths_and_readings_as_people_say_them() -> None:
    assert [limit(value) for value in (900, 930, 3600, 5400, 30, 86400)] == [
        *("15 min", "15 min 30 s", "1 h", "1 h 30 min", "30 s", "1 d"),
    ]
    assert [age(value) for value in (-1, 0.4, 4.6, 61)] == ["0 s", "0 s", "5 s", "1 min 01 s"]
    assert [reading(1, "boolean"), reading(0, "boolean"), reading(21.46, "celsius")] == ["yes", "no", "21.46 °C"]


def test_names_of_subjects() -> None:
    named = {
        "system/ncts": "NCTS",
        "link/blace/primary": "Blace, primary link",
        "link/none/primary": "none/primary",
        "database/ncts/dr": "NCTS database at dr",
        "vm/vc-dr/ncts-db-1": "VM ncts-db-1 in vc-dr",
        "host/vault-dr": "vault-dr",
        "karaula": "",
    }
    assert {subject: overview.subject_name(estate(), subject) for subject in named} == named


def test_static_files_are_those_that_are_used() -> None:
    assert static.directory is not None
    found = sorted(path.name for path in Path(static.directory).iterdir())
    assert found == ["icon.svg", "live.js", "style.css"]


def since(daemon: WebDaemon, subject: str, for_s: float, seen_s: float | None) -> None:
    now = daemon.clock.now()
    seen_at = None if seen_s is None else now - seen_s
    daemon.watch.held[subject] = replace(daemon.watch.held[subject], since=now - for_s, seen_at=seen_at)


def part(daemon: WebDaemon, name: str) -> str:
    """Return the text of the table row, card or line ``name``, each run of white space as one space."""
    page = daemon.ask("GET", "/").text
    found = re.search(rf'<(tr|div|li)[^>]* id="{name}".*?</\1>|<(tr|div|li) id="{name}".*?</\2>', page, re.DOTALL)
    assert found, name
    return " ".join(Parts(found[0]).text.split())


def test_everything_says_since_when_it_is_so_and_what_is_in_doubt_when_it_was_seen(daemon: WebDaemon) -> None:
    daemon.watch.set("system/ncts", Health.DOWN, "active at no site")
    since(daemon, "system/ncts", 185, 0)
    since(daemon, "system/ite", 3 * 86400 + 5, 0)
    daemon.watch.set("site/dr", Health.UNKNOWN, "not known")
    since(daemon, "site/dr", 7205, 7300)
    daemon.watch.set("crossing/blace", Health.UNKNOWN, "")
    since(daemon, "crossing/blace", 40, None)
    daemon.watch.set("link/blace/backup", Health.DOWN, "no reply")
    since(daemon, "link/blace/backup", 125, 0)
    daemon.watch.set("sensor/main-dust", Health.UNKNOWN, "no value", "sensor-fault")
    since(daemon, "sensor/main-dust", 61, 70)
    since(daemon, "vote/main-overheat", 60, 9)
    assert "Down for 3 min" in part(daemon, "system-ncts")
    assert "last seen" not in part(daemon, "system-ncts")
    assert "Ok for 3 d" in part(daemon, "system-ite")
    assert "for 2 h, last seen 2 h ago" in part(daemon, "site-dr")
    assert re.search(r"UNKNOWN 4\d s, never seen", part(daemon, "crossing-blace"))
    assert "DOWN 2 min" in part(daemon, "crossing-blace")
    assert "sensor-fault 1 min, last seen 1 min ago" in part(daemon, "sensor-main-dust")
    assert re.search(r"OK 1 min, last seen \d+ s ago", part(daemon, "vote-main-overheat")), (
        "half-way stale, and not said"
    )


def test_a_sensor_out_of_reach_with_its_site_is_not_called_faulty(daemon: WebDaemon) -> None:
    daemon.watch.set("sensor/main-dust", Health.UNKNOWN, "no SNMP answer", "sensor-fault")
    daemon.watch.set("sensor/dr-dust", Health.UNKNOWN, "65535 is out of range", "sensor-fault")
    daemon.watch.standing = [
        alarm("site-down", "site/main"),
        alarm("sensor-fault", "sensor/main-dust", "site-down site/main", severity="warning"),
        alarm("sensor-fault", "sensor/dr-dust", severity="warning"),
    ]
    text = part(daemon, "sensor-main-dust")
    assert re.search("UNKNOWN .*because of site-down site/main", text)
    assert "sensor-fault" not in text
    assert "sensor-fault" in part(daemon, "sensor-dr-dust")
    page = daemon.ask("GET", "/").text
    assert "1 sensor is unknown because of site-down site/main" in page
    assert Parts(page).text.count("sensor-fault") == len(["the alarm of dr-dust", "its row"])


def test_everything_else_is_counted_and_what_is_not_well_is_named(daemon: WebDaemon) -> None:
    text = part(daemon, "well")
    for words in ("2 vCenters", "8 databases", "2 name servers", "1 anchor", "1 group", "2 power controllers"):
        assert words in text
    hosts = sorted(subject for subject in daemon.watch.held if subject.startswith("host/"))
    for number, host in enumerate(hosts[:6]):
        daemon.watch.set(host, Health.DOWN if number else Health.UNKNOWN, f"reason {number}")
        since(daemon, host, 60 * (10 - number), 0)
    text = part(daemon, "kind-host")
    assert text.startswith(
        f"Hosts 5 down 1 unknown {len(hosts) - 6} ok DOWN {hosts[1].partition('/')[2]} reason 1 for 9 min"
    )
    assert "reason 4 for 6 min" in text
    assert "reason 5" not in text
    assert text.endswith("and 2 more")


def test_a_lost_site_is_not_listed_again_thing_by_thing(daemon: WebDaemon) -> None:
    for subject in list(daemon.watch.held):
        if subject.startswith(("vm/vc-main/", "vcenter/vc-main")):
            daemon.watch.set(subject, Health.UNKNOWN, "long words of no use")
    daemon.watch.held["esx/vc-main/one"] = replace(daemon.watch.held["vcenter/vc-main"], subject="esx/vc-main/one")
    daemon.watch.set("dns/dns-dr", Health.DOWN, "no answer")
    daemon.watch.standing = [
        alarm("site-down", "site/main"),
        alarm("vcenter-down", "vcenter/vc-main", "site-down site/main"),
        alarm("dns-down", "dns/dns-dr"),
    ]
    page = daemon.ask("GET", "/").text
    assert "long words of no use" not in page
    assert "20 because of what stands above" in part(daemon, "kind-vm")
    assert part(daemon, "kind-esx").startswith("ESXi hosts 1 unknown 1 because")
    assert part(daemon, "kind-vcenter").startswith("vCenters 1 unknown 1 ok 1 because")
    assert "DOWN dns-dr no answer for" in part(daemon, "kind-dns"), "what an alarm speaks of itself is named"


def test_what_a_monitor_that_is_cut_off_cannot_see_is_counted(daemon: WebDaemon) -> None:
    for subject in list(daemon.watch.held):
        if subject.startswith("host/"):
            daemon.watch.set(subject, Health.UNKNOWN, "it cannot be seen", "isolated")
    text = part(daemon, "kind-host")
    assert re.fullmatch(r"Hosts (\d+) unknown \1 because of what stands above", text), text


def test_lengths_in_one_unit_never_say_more_than_it_is() -> None:
    said = [brief(value) for value in (-5, 0.9, 59.9, 60, 3599, 3600, 86399, 86400)]
    assert said == ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d"]


def test_records_are_never_compared_with_positions_in_a_log(daemon: WebDaemon) -> None:
    run = daemon.orchestrator.run(daemon.prepared())
    evidence = Evidence(primary=Sighting("main", 1.0, 12.0, None, None, by_record=True))
    stopped = Observation("database/ncts/dr", "ssh", 1.0, Answer.FAILED, values={"position": 50331648.0})
    assert run_sheet.expected_loss(run, evidence, stopped).startswith("What would be lost is not known")
    standby = replace(stopped, values={"position": 50331648.0, "record": 10.0})
    assert run_sheet.expected_loss(run, evidence, standby).startswith("At least 2 declarations would be lost")

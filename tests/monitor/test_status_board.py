"""The board over time."""

from __future__ import annotations

from watch_kit import START, estate

from monitor.probe import Answer, Observation
from monitor.status.board import Board, Recorded, recorded_from
from monitor.status.state import Flip, Health

INVENTORY = estate()  # asked every 2 s, two answers in a row, stale after 10 s
DNS = "dns/dns-main"


def ok(subject: str, at: float, **facts: str) -> Observation:
    return Observation(subject, "any", START + at, Answer.OK, facts=facts)


def failed(subject: str, at: float, reason: str = "refused") -> Observation:
    return Observation(subject, "any", START + at, Answer.FAILED, reason)


def flips(board: Board, at: float, subject: str = DNS) -> list[tuple[str, str, float]]:
    return [(flip.old, flip.new, flip.at - START) for flip in board.tick(START + at) if flip.subject == subject]


def test_everything_of_the_inventory_is_there_from_the_start_and_not_known() -> None:
    board = Board(INVENTORY, START)
    statuses = board.statuses()
    assert {"site/main", "system/ncts", "crossing/blace", "link/blace/backup", "vm/vc-dr/ncts-web-2"} <= set(statuses)
    assert {status.health for status in statuses.values()} == {Health.UNKNOWN}
    assert flips(board, 1) == []


def test_each_change_is_one_flip() -> None:
    board = Board(INVENTORY, START)
    board.observe(ok(DNS, 1))
    assert flips(board, 1) == [("unknown", "ok", 1)]
    assert flips(board, 2) == []
    board.observe(failed(DNS, 3))
    assert flips(board, 3) == []
    board.observe(failed(DNS, 5))
    assert flips(board, 6) == [("ok", "down", 5)]
    assert flips(board, 15) == []
    assert flips(board, 15.5) == [("down", "unknown", 15.5)]
    status = board.status(DNS)
    assert status is not None
    assert status.reason == "no answer since 2026-09-21 14:13:25 UTC"


def test_a_restart_does_not_forget_since_when_and_records_nothing_new() -> None:
    board = Board(INVENTORY, START, {DNS: Recorded(Health.OK, "", START - 5000)})
    assert board.status(DNS) is not None
    assert flips(board, 1) == []
    board.observe(ok(DNS, 2))
    assert flips(board, 2) == []
    status = board.status(DNS)
    assert status is not None
    assert (status.health, status.since) == (Health.OK, START - 5000)


def test_after_a_restart_what_was_down_needs_its_answers_in_a_row() -> None:
    board = Board(INVENTORY, START, {DNS: Recorded(Health.DOWN, "", START - 60)})
    board.observe(ok(DNS, 1))
    assert flips(board, 1) == []
    assert board.statuses()[DNS].health is Health.UNKNOWN
    board.observe(ok(DNS, 3))
    assert flips(board, 3) == [("down", "ok", 3)]


def test_after_a_restart_what_never_answers_becomes_unknown_in_the_record() -> None:
    board = Board(INVENTORY, START, {DNS: Recorded(Health.OK, "", START - 60)})
    assert flips(board, 10) == []
    assert flips(board, 11) == [("ok", "unknown", 0)]


def test_vms_that_nobody_listed_come_and_go_without_a_trace() -> None:
    board = Board(INVENTORY, START)
    for at in (1, 3):
        board.observe(ok("vcenter/vc-dr", at))
        board.observe(ok("vm/vc-dr/drill-1-ncts-db-1", at))
        board.tick(START + at)
    assert "vm/vc-dr/drill-1-ncts-db-1" in board.statuses()
    gone = Observation("vm/vc-dr/drill-1-ncts-db-1", "any", START + 4, Answer.FAILED, facts={"vanished": "yes"})
    board.observe(gone)
    assert "vm/vc-dr/drill-1-ncts-db-1" not in board.statuses()


def test_an_unlisted_vm_that_is_not_mentioned_any_more_is_dropped_but_not_while_its_vcenter_is_silent() -> None:
    board = Board(INVENTORY, START)
    board.observe(ok("vm/vc-dr/guest", 1))
    for at in range(1, 13, 2):
        board.observe(ok("vcenter/vc-dr", at))
        board.tick(START + at)
    board.tick(START + 12)
    assert "vm/vc-dr/guest" not in board.statuses()
    board.observe(ok("vm/vc-dr/guest", 13))
    board.tick(START + 40)
    assert board.statuses()["vm/vc-dr/guest"].health is Health.UNKNOWN


def test_a_listed_vm_that_vanishes_is_down() -> None:
    board = Board(INVENTORY, START)
    for at in (1, 3):
        gone = Observation(
            "vm/vc-dr/ncts-db-1", "any", START + at, Answer.FAILED, "vanished", facts={"vanished": "yes"}
        )
        board.observe(gone)
    assert board.statuses()["vm/vc-dr/ncts-db-1"].health is Health.DOWN


def test_one_lost_answer_does_not_move_a_system() -> None:
    board = Board(INVENTORY, START)
    board.observe(ok("front/ncts/main", 1, role="active"))
    board.observe(ok("front/ncts/dr", 1, role="standby"))
    board.tick(START + 1)
    board.observe(failed("front/ncts/main", 3))
    assert flips(board, 3, "system/ncts") == []
    status = board.statuses()["system/ncts"]
    assert (status.health, status.detail) == (Health.OK, "main")


def test_evidence_is_the_last_time_the_service_worked() -> None:
    board = Board(INVENTORY, START)
    board.observe(ok("front/ncts/main", 1, role="active"))
    board.observe(failed("front/ncts/main", 3))
    board.observe(ok("front/ncts/dr", 4, role="standby"))
    database = Observation(
        "database/ncts/main",
        "any",
        START + 2,
        Answer.OK,
        "",
        {"position": 7, "received_at": 9, "epoch": 1},
        {"role": "primary"},
    )
    board.observe(database)
    found = board.evidence("ncts")
    assert found.service_ok_at == START + 1
    assert found.primary is not None
    assert (found.primary.site, found.primary.position, found.primary.at) == ("main", 7, START + 2)
    assert board.evidence("ite").service_ok_at is None


def test_a_reload_drops_what_is_gone_and_keeps_what_stays() -> None:
    board = Board(INVENTORY, START)
    board.observe(ok(DNS, 1))
    sensors = {key: sensor for key, sensor in INVENTORY.sensors.items() if key != "main-water"}
    gone = board.reload(INVENTORY.model_copy(update={"sensors": sensors}), START + 2)
    assert gone == {"sensor/main-water"}
    assert "sensor/main-water" not in board.statuses()
    assert board.statuses()[DNS].health is Health.OK


def test_history_tells_when_a_health_began_even_when_its_detail_changed_later() -> None:
    down, up = Health.DOWN, Health.OK
    found = recorded_from(
        [Flip("s/a", up, down, "r", 10, "above"), Flip("s/a", down, down, "r", 20, "below"), Flip("s/b", up, up, "", 5)]
    )
    assert found["s/a"] == Recorded(down, "below", 10)

"""karaula-pg, as it is shipped for database hosts, on a pair of Debian's PostgreSQL clusters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pg_pair_kit import KILLED, PgSite
from real_kit import free_port

pytestmark = pytest.mark.real
ADDRESSES = {"main": "127.94.9.1", "dr": "127.94.9.2"}
NOT_DONE, STALE, MAY_NOT = 1, 3, 4


def new_pair(*, synchronous: bool = False) -> tuple[PgSite, PgSite]:
    port = free_port(ADDRESSES["main"])
    main = PgSite("main", "dr", ADDRESSES, port, synchronous=synchronous)
    return main, PgSite("dr", "main", ADDRESSES, port, synchronous=synchronous)


@pytest.fixture
def pair() -> Iterator[tuple[PgSite, PgSite]]:
    main, dr = new_pair()
    try:
        main.create()
        main.declare(1)
        dr.pg("follow", "--peer", "main", "--epoch", "1")
        yield main, dr
    finally:
        main.remove()
        dr.remove()


def test_a_hand_over_loses_nothing_and_comes_back(pair: tuple[PgSite, PgSite]) -> None:
    main, dr = pair
    main.declare(2, 3)
    drained = main.pg("demote", "--peer", "dr", "--epoch", "2")
    assert drained["role"] == "standby"
    assert main.pg("demote", "--peer", "dr", "--epoch", "2")["position"] == drained["position"]  # the same again
    assert dr.pg("status")["position"] >= drained["position"]
    taken = dr.pg("promote", "--epoch", "2")
    assert (taken["role"], taken["epoch"], taken["record"]) == ("primary", 2, 3)
    assert dr.pg("promote", "--epoch", "2")["epoch"] == 2
    dr.declare(4)
    assert main.pg("follow", "--peer", "dr", "--epoch", "2")["discarded"] == 0
    assert dr.pg("attach", "--peer", "main", "--epoch", "2")["attached"] == ["main"]
    assert dr.pg("promote", "--epoch", "1", code=STALE)["said"].endswith(
        "stale fencing token 1: the database at dr has seen 2\n"
    )
    assert main.pg("demote", "--peer", "dr", "--epoch", "1", code=STALE)["said"].count(
        "has seen 2"
    )  # it came by itself
    assert main.numbers() == dr.numbers() == [1, 2, 3, 4]


def test_what_a_lost_primary_had_alone_is_counted_and_thrown_away(pair: tuple[PgSite, PgSite]) -> None:
    main, dr = pair
    dr.kill()
    main.declare(2, 3, 4)
    main.kill()
    dr.boot()
    assert dr.pg("status")["record"] == 1
    dr.pg("promote", "--epoch", "5")
    dr.declare(100)
    assert "dr is primary" in main.pg("may-start", code=MAY_NOT)["said"]
    stopped = main.pg("status", "--seen", "4")
    assert (stopped["role"], stopped["seen"]) == ("stopped", 4)
    assert main.pg("follow", "--peer", "dr", "--epoch", "4", code=STALE)["said"].count("the database at dr has seen 5")
    back = main.pg("follow", "--peer", "dr", "--epoch", "5")
    assert (back["role"], back["discarded"], "pg_rewind: " in back["said"]) == ("standby", 3, True)
    assert main.pg("follow", "--peer", "dr", "--epoch", "5")["discarded"] == 0  # nothing more
    assert main.pg("status")["discarded"] == 3
    assert main.numbers() == [1, 100]


def test_a_promotion_that_was_cut_off_goes_on_and_remembers_what_was_there_before(
    pair: tuple[PgSite, PgSite],
) -> None:
    main, dr = pair
    main.kill()
    (dr.folder / "state" / "promoting").write_text("5 1\n")  # written down, promoted, and then it died
    dr.sql("SELECT pg_promote()")
    dr.declare(2, 3)
    assert dr.pg("promote", "--epoch", "5")["epoch"] == 5
    assert dr.sql("SELECT record FROM karaula.epoch WHERE token = 5") == "1"


@pytest.mark.parametrize(
    "deed", ['{real} "$@"', "rm {data}/global/pg_control"], ids=["after rewinding", "half-way, leaving a ruin"]
)
def test_power_lost_while_it_rewinds_forgets_nothing(pair: tuple[PgSite, PgSite], deed: str) -> None:
    main, dr = pair
    dr.kill()
    main.declare(2, 3)
    main.kill()
    dr.boot()
    dr.pg("promote", "--epoch", "5")
    real = main.replace_tool("pg_rewind", deed.replace("{data}", str(main.data)) + "\nkill -9 $PPID")
    main.pg("follow", "--peer", "dr", "--epoch", "5", code=KILLED)
    main.replace_tool("pg_rewind", f'exec {real} "$@"')
    back = main.pg("follow", "--peer", "dr", "--epoch", "5")
    assert (back["discarded"], "fetching everything" in back["said"]) == (2, deed.startswith("rm"))
    assert sorted(path.name for path in main.folder.glob("data*")) == ["data"]
    assert (main.pg("status")["role"], main.numbers()) == ("standby", [1])


def test_a_fenced_cluster_starts_under_no_older_token(pair: tuple[PgSite, PgSite]) -> None:
    main, dr = pair
    assert main.pg("fence", "--epoch", "4")["role"] == "stopped"
    assert "fenced off" in main.pg("may-start", code=MAY_NOT)["said"]
    assert "has seen 4" in main.pg("promote", "--epoch", "3", code=STALE)["said"]
    dr.kill()
    assert main.pg("promote", "--epoch", "4")["role"] == "primary"
    main.kill()
    assert "start_alone" in main.pg("may-start", code=MAY_NOT)["said"]  # nobody can say what dr is
    dr.boot()
    main.pg("may-start")
    dr.pg("follow", "--peer", "nowhere", "--epoch", "4", code=2)


def test_a_standby_is_not_followed_and_what_cannot_be_counted_is_not_thrown_away(pair: tuple[PgSite, PgSite]) -> None:
    main, dr = pair
    assert "is a standby itself" in main.pg("follow", "--peer", "dr", "--epoch", "1", code=NOT_DONE)["said"]
    assert main.pg("status")["role"] == "primary"
    dr.kill()
    main.declare(2)
    main.sql("ALTER TABLE declaration RENAME TO other")
    main.kill()
    dr.boot()
    dr.pg("promote", "--epoch", "5")
    assert "cannot be counted" in main.pg("follow", "--peer", "dr", "--epoch", "5", code=NOT_DONE)["said"]
    assert not main.data.with_name("data.karaula-old").exists()


def test_synchronous_commits_wait_only_while_somebody_follows() -> None:
    main, dr = new_pair(synchronous=True)
    try:
        main.create()
        main.declare(1)  # nobody follows yet
        dr.pg("follow", "--peer", "main", "--epoch", "1")
        assert main.pg("status")["attached"] == []  # it receives, but nothing waits for it
        assert main.pg("attach", "--peer", "dr", "--epoch", "1")["attached"] == ["dr"]
        main.declare(2)
        assert main.pg("mark")["marker"] == 1
        dr.kill()
        waits = main.start_sql("INSERT INTO declaration (n, site) VALUES (3, 'main')")
        while main.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "0":
            assert waits.poll() is None, "it did not wait"
        marks = main.start(*main.tool, "mark")
        while main.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") != "2":
            assert marks.poll() is None, "nor did the marker"
        marks.kill()
        marks.wait()
        assert "still waits" in main.pg("mark", code=NOT_DONE)["said"], "they would fill the server, one by one"
        main.kill()
        assert waits.wait(60) != 0
        dr.boot()
        assert dr.pg("promote", "--epoch", "2")["record"] == 2
        dr.declare(4)  # and does not hang
    finally:
        main.remove()
        dr.remove()

"""The laws of the lab's replicated ledger, tried on random histories."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lab.ledger import Database, NotPrimaryError, PeerUnreachableError, Record, StaleEpochError

DELAY_S = 1.5


class Time:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


def pair(time: Time) -> tuple[Database, Database]:
    main = Database("ncts", "main", "primary", time.now)
    dr = Database("ncts", "dr", "standby", time.now)
    main.peer, dr.peer = dr, main
    main.connected_since = dr.connected_since = time.at
    return main, dr


class LedgerHistory(RuleBasedStateMachine):
    """Anything that a person, a playbook or an accident may do to the two databases, in any order."""

    @initialize()
    def begin(self) -> None:
        self.time = Time()
        self.sites = dict(zip(("main", "dr"), pair(self.time), strict=True))
        self.connected = True
        self.number = 0
        self.seen = {"main": 1, "dr": 1}
        self.before: dict[str, list[Record]] = {"main": [], "dr": []}
        self.followed: set[str] = set()

    def settle(self) -> None:
        for database in self.sites.values():
            database.receive(self.time.at, DELAY_S)

    @rule(site=st.sampled_from(["main", "dr"]))
    def declare(self, site: str) -> None:
        database = self.sites[site]
        self.number += 1
        if database.role == "primary":
            record = database.append(f"d{self.number}")
            assert record.position == database.position
            assert database.append(record.id) == record  # sent again: the old answer, no second record
        else:
            with pytest.raises(NotPrimaryError):
                database.append(f"d{self.number}")

    @rule(seconds=st.floats(0.01, 5))
    def pass_time(self, seconds: float) -> None:
        self.time.at += seconds
        self.settle()

    @rule()
    def cut_or_join(self) -> None:
        self.settle()
        self.connected = not self.connected
        for database in self.sites.values():
            database.connected_since = self.time.at if self.connected else None

    @rule(site=st.sampled_from(["main", "dr"]), epoch=st.integers(0, 8), promote=st.booleans())
    def order(self, site: str, epoch: int, promote: bool) -> None:
        database = self.sites[site]
        act = database.promote if promote else database.demote
        if epoch < self.seen[site]:
            role = database.role
            with pytest.raises(StaleEpochError):
                act(epoch)
            assert database.role == role
        else:
            act(epoch)
            assert database.epoch == epoch
            assert database.role == ("primary" if promote else "standby")
            assert act(epoch) is False  # once more changes nothing

    @rule(site=st.sampled_from(["main", "dr"]))
    def follow(self, site: str) -> None:
        database, peer = self.sites[site], self.sites["dr" if site == "main" else "main"]
        if not self.connected:
            with pytest.raises(PeerUnreachableError):
                database.follow(peer_alive=False)
            return
        kept = [record for record in database.records if record in peer.records]
        had = database.position
        gone = database.follow(peer_alive=True)
        assert database.records == kept
        assert gone == had - len(kept)
        assert database.follow(peer_alive=True) == 0
        self.followed.add(site)

    @precondition(lambda self: self.connected)
    @rule()
    def quiet(self) -> None:
        """When nothing is written for long enough, a standby whose records are its peer's beginning has all."""
        self.pass_time(DELAY_S + 0.01)
        for site, database in self.sites.items():
            peer = self.sites["dr" if site == "main" else "main"]
            if (
                database.role == "standby"
                and database.following
                and database.records == peer.records[: database.position]
            ):
                assert database.records == peer.records

    @invariant()
    def positions_count_from_one(self) -> None:
        for database in self.sites.values():
            assert [record.position for record in database.records] == list(range(1, database.position + 1))
            assert len({record.id for record in database.records}) == database.position

    @invariant()
    def only_follow_takes_away(self) -> None:
        for site, database in self.sites.items():
            if site not in self.followed:
                assert database.records[: len(self.before[site])] == self.before[site]
            self.before[site] = list(database.records)
        self.followed.clear()

    @invariant()
    def epochs_only_grow(self) -> None:
        for site, database in self.sites.items():
            assert database.epoch >= self.seen[site]
            self.seen[site] = database.epoch


TestLedgerHistory = LedgerHistory.TestCase
TestLedgerHistory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(gaps=st.lists(st.floats(0.05, 2), min_size=1, max_size=30), dies_after=st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_what_is_lost_is_exactly_what_was_written_in_the_last_delay(gaps: list[float], dies_after: float) -> None:
    time = Time()
    main, dr = pair(time)
    for number, gap in enumerate(gaps):
        time.at += gap
        main.append(f"d{number}")
    time.at += dies_after
    dr.receive(time.at, DELAY_S)
    main.connected_since = dr.connected_since = None
    died = time.at
    time.at += 100
    dr.receive(time.at, DELAY_S)
    missing = [record.id for record in main.records if not dr.has(record.id)]
    assert missing == [record.id for record in main.records if record.at + DELAY_S > died]


def test_a_demoted_primary_still_ships_what_it_has_so_nothing_is_lost() -> None:
    time = Time()
    main, dr = pair(time)
    main.append("a")
    main.demote(2)
    assert dr.position == 0
    time.at += DELAY_S
    assert dr.receive(time.at, DELAY_S) == 1
    assert dr.promote(2)
    assert dr.append("b").epoch == 2


def test_an_old_primary_keeps_its_way_until_it_is_told_to_follow() -> None:
    time = Time()
    main, dr = pair(time)
    main.append("kept")
    time.at += DELAY_S
    dr.receive(time.at, DELAY_S)
    main.append("lost")
    dr.promote(5)
    dr.append("new")
    time.at += 60
    assert main.receive(time.at, DELAY_S) == 0
    assert main.role == "primary"
    assert main.follow(peer_alive=True) == 1
    assert (main.role, main.status().discarded, main.epoch) == ("standby", 1, 5)
    main.receive(time.at, DELAY_S)
    assert main.records == dr.records
    with pytest.raises(StaleEpochError):
        main.promote(4)


def test_a_copy_is_isolated() -> None:
    main, _ = pair(Time())
    main.append("a")
    copy = main.copy()
    assert copy.append("of the drill").position == 2
    assert main.position == 1
    assert copy.role == "primary"

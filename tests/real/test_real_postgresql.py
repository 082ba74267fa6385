"""Replication as PostgreSQL itself has it: Debian's servers, a standby that streams over TLS, and what befalls them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_kit import ADDRESS, PASSWORD, Cluster
from real_kit import free_port
from tls_kit import ThrowawayCa

from monitor.clients import postgresql
from monitor.clients.postgresql import Place
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.checks_services import PostgresqlCheck
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.postgresql import PostgresqlParams, PostgresqlProbe
from monitor.status.checks import judge
from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

pytestmark = [pytest.mark.real, pytest.mark.anyio]

LONG_S = 60.0
KNOWN = {"probe": "postgresql", "site": "main", "address": ADDRESS, "user": "watcher", "credential": "pg"}


class Pair:
    """A primary, its standby, and a probe that asks both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = ThrowawayCa(folder)
        ThrowawayCa(folder / "other")
        (folder / "pg").write_text(PASSWORD + "\n")
        (folder / "wrong").write_text("no\n")
        self.primary, self.standby = Cluster(self.ca), Cluster(self.ca)
        self.probe = self.new_probe()

    def new_probe(self, ca: str = "ca.pem") -> PostgresqlProbe:
        return PostgresqlProbe(Credentials(self.folder), Trust(tls_ca=ca, known_hosts="known_hosts"), RealClock())

    async def ask(
        self,
        cluster: Cluster,
        *,
        user: str = "watcher",
        credential: str = "pg",
        name: str = "",
        port: int = 0,
        database: str = "postgres",
        deadline_s: float = LONG_S,
        probe: PostgresqlProbe | None = None,
    ) -> Observation:
        params = PostgresqlParams(Place(ADDRESS, port or cluster.port, name, user, database), credential)
        subject = "check/primary" if cluster is self.primary else "check/standby"
        target = Target(subject, "postgresql", params, 10, deadline_s)
        (seen,) = [one async for one in (probe or self.probe).observe([target])]
        return seen

    async def until(self, cluster: Cluster, holds: Callable[[Observation], bool]) -> Observation:
        give_up = time.monotonic() + LONG_S
        while not holds(seen := await self.ask(cluster)):
            assert time.monotonic() < give_up, seen
            await asyncio.sleep(0.1)
        return seen

    async def judged(self, cluster: Cluster, **keys: object) -> Judgement:
        return judge(PostgresqlCheck.model_validate(KNOWN | keys), await self.ask(cluster))

    def write(self, rows: int = 100) -> None:
        self.primary.sql(f"INSERT INTO t SELECT generate_series(1, {rows})")

    def remove(self) -> None:
        self.primary.remove()
        self.standby.remove()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pg"))
    try:
        made.primary.create()
        made.standby.follow(made.primary)
        yield made
    finally:
        made.remove()


def caught_up(seen: Observation) -> bool:
    return seen.values.get("lag_bytes") == 0 and seen.values.get("lag_seconds") == 0


async def test_both_say_what_they_are_and_that_nothing_is_missing(pair: Pair) -> None:
    pair.write()
    primary = await pair.until(pair.primary, caught_up)
    standby = await pair.until(pair.standby, caught_up)
    assert (primary.answer, primary.facts) == (Answer.OK, {"role": "primary", "waits": "no", "blind": "no"})
    assert (primary.values["standbys"], primary.values["sync_standbys"]) == (1, 0)
    assert standby.facts == {"role": "standby", "waits": "no", "blind": "no", "paused": "no", "fed": "yes"}
    assert await pair.judged(pair.primary, standbys=1, role="primary") == Judgement(Health.OK)
    assert await pair.judged(pair.standby, role="standby") == Judgement(Health.OK)
    wrong = await pair.judged(pair.primary, role="standby")
    assert wrong == Judgement(Health.DOWN, "it is primary, expected standby")


async def test_an_idle_primary_makes_no_lag(pair: Pair) -> None:
    pair.write()
    await pair.until(pair.standby, caught_up)
    await asyncio.sleep(2)  # its last transaction is now two seconds old, and there is no newer one
    age = float(pair.standby.sql("SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())"))
    assert age > 1.5
    seen = await pair.ask(pair.standby)
    assert (seen.values["lag_seconds"], seen.values["lag_bytes"]) == (0, 0)


async def test_paused_replay_is_told_and_its_lag_grows_by_what_both_say(pair: Pair) -> None:
    await pair.until(pair.primary, caught_up)
    pair.standby.sql("SELECT pg_wal_replay_pause()")
    try:
        pair.write(20_000)
        for cluster in (pair.primary, pair.standby):
            seen = await pair.until(cluster, lambda one: one.values.get("lag_seconds", 0) > 1)
            assert seen.values["lag_bytes"] > 1_000_000
        paused = await pair.judged(pair.standby)
        assert (paused.health, paused.reason) == (Health.DEGRADED, "replay is paused")
        late = await pair.judged(pair.primary, warn_s=0.5, alarm_s=600, warn_behind_bytes=1000)
        assert late.health is Health.DEGRADED
        assert late.reason.startswith("replay is behind by ")
        assert "; replay lacks " in late.reason
        assert (await pair.judged(pair.primary, warn_s=0.1, alarm_s=0.5)).health is Health.DOWN
        # A daemon that has just started has not seen how long it lasts, but must not call it nothing.
        fresh = await pair.ask(pair.standby, probe=pair.new_probe())
        assert fresh.values["lag_seconds"] > 1
    finally:
        pair.standby.sql("SELECT pg_wal_replay_resume()")
    await pair.until(pair.primary, caught_up)


async def test_a_lost_synchronous_standby_is_down_before_anybody_waits(pair: Pair) -> None:
    pair.primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
    seen = await pair.until(pair.primary, lambda one: one.values["sync_standbys"] == 1)
    assert seen.facts["waits"] == "yes"
    assert await pair.judged(pair.primary, sync_standbys=1) == Judgement(Health.OK)
    pair.standby.stop()
    try:
        await pair.until(pair.primary, lambda one: one.values["standbys"] == 0)
        lost = await pair.judged(pair.primary, standbys=1, sync_standbys=1)
        assert lost.health is Health.DOWN
        assert lost.reason == "the synchronous standby is lost: commits wait; 0 of 1 standbys receive"
    finally:
        pair.primary.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        off = await pair.until(pair.primary, lambda one: one.facts["waits"] == "no")
        assert off.values["sync_standbys"] == 0
        pair.write(20_000)
    kept = await pair.judged(pair.primary, sync_standbys=1, warn_retained_bytes=1_000_000)
    assert "no commit waits for a standby: synchronous replication is off" in kept.reason
    assert "a replication slot keeps " in kept.reason
    pair.standby.start()
    await pair.until(pair.primary, caught_up)


async def test_who_may_not_see_replication_is_not_told_that_all_is_well(pair: Pair) -> None:
    for cluster in (pair.primary, pair.standby):
        seen = await pair.ask(cluster, user="plain")
        told = judge(PostgresqlCheck.model_validate(KNOWN | {"user": "plain"}), seen)
        assert told.health is Health.UNKNOWN
        assert told.reason == "the user plain may not see replication; type: GRANT pg_monitor TO plain"


async def test_refusals_and_strangers(pair: Pair) -> None:
    where = f"watcher@{ADDRESS}:{pair.primary.port}: "
    wrong = await pair.ask(pair.primary, credential="wrong")
    assert (wrong.answer, wrong.reason) == (
        Answer.FAILED,
        where + 'log-in refused: password authentication failed for user "watcher"',
    )
    no_database = await pair.ask(pair.primary, database="nowhere")
    assert no_database.reason == where + 'log-in refused: database "nowhere" does not exist'
    missing = await pair.ask(pair.primary, credential="not-there")
    assert missing.answer is Answer.UNKNOWN
    named = await pair.ask(pair.primary, name="db.customs.example")
    assert named.answer is Answer.OK
    other_name = await pair.ask(pair.primary, name="other.customs.example")
    assert (other_name.answer, other_name.facts) == (Answer.FAILED, {"error": "untrusted"})
    assert 'does not match host name "other.customs.example"' in other_name.reason
    (pair.folder / "stranger.pem").write_bytes((pair.folder / "other" / "ca.pem").read_bytes())
    stranger = await pair.ask(pair.primary, probe=pair.new_probe("stranger.pem"))
    assert (stranger.facts, stranger.reason) == (
        {"error": "untrusted"},
        where + "SSL error: certificate verify failed",
    )
    nobody = await pair.ask(pair.primary, port=free_port(ADDRESS))
    assert (nobody.answer, nobody.reason.rpartition(": ")[2]) == (Answer.FAILED, "Connection refused")
    assert PASSWORD not in str([wrong, no_database, missing, other_name, stranger, nobody])


async def test_the_password_is_not_given_to_who_asks_for_it_in_the_clear(pair: Pair) -> None:
    seen = await pair.ask(pair.primary, user="greedy")
    assert seen.reason.endswith("the server wants the password otherwise than by SCRAM; it was not sent")


async def test_what_the_environment_says_of_libpq_does_not_count(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGSSLMODE": "disable", "PGHOST": "127.0.0.9", "PGHOSTADDR": "127.0.0.9", "PGPASSWORD": "x", "PGPORT": "1",
        "PGOPTIONS": "-c statement_timeout=1", "PGREQUIREAUTH": "none", "PGTARGETSESSIONATTRS": "standby",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert (await pair.ask(pair.primary)).answer is Answer.OK


async def test_it_cannot_write(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "QUERY", "CREATE TEMP TABLE mine (n int)")
    seen = await pair.ask(pair.primary)
    assert seen.reason.endswith("cannot execute CREATE TABLE in a read-only transaction")


async def test_it_leaves_no_connection_behind(pair: Pair) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'watcher'"
    for _ in range(5):
        await pair.ask(pair.primary)
    give_up = time.monotonic() + LONG_S
    while pair.primary.sql(count) != "0":
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


async def test_a_hung_server_costs_its_deadline_and_no_descriptor(pair: Pair) -> None:
    await pair.ask(pair.primary)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as plain as it gets
    pair.primary.signal(signal.SIGSTOP)
    try:
        hung = await pair.ask(pair.primary, deadline_s=0.7)
        assert (hung.answer, hung.reason.endswith("no log-in within 0.7 s")) == (Answer.FAILED, True)
    finally:
        pair.primary.signal(signal.SIGCONT)
    assert (await pair.ask(pair.primary)).answer is Answer.OK
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208 - likewise


async def test_a_query_that_waits_is_cut_off_at_the_deadline(pair: Pair) -> None:
    """A session that holds a catalogue's lock makes the query wait; the deadline is kept all the same."""
    locked = pair.primary.folder / "locked"
    hold = rf"\! touch {locked}; while [ -e {locked} ]; do sleep 0.05; done"
    statements = ("BEGIN", "LOCK TABLE pg_catalog.pg_proc", hold, "COMMIT")
    locker = asyncio.create_task(asyncio.to_thread(pair.primary.sql, *statements))
    try:
        async with asyncio.timeout(LONG_S):
            while not locked.exists():  # noqa: ASYNC110 - the other end is a process
                await asyncio.sleep(0.02)
        assert (await pair.ask(pair.primary, deadline_s=1)).answer is Answer.FAILED
    finally:
        locked.unlink()
        await locker
    assert (await pair.ask(pair.primary)).answer is Answer.OK


async def test_a_dead_primary_leaves_a_standby_that_knows_that_it_does_not_know(pair: Pair) -> None:
    pair.write()
    await pair.until(pair.standby, caught_up)
    pair.primary.stop()
    seen = await pair.until(pair.standby, lambda one: one.facts["fed"] == "no")
    assert "lag_seconds" not in seen.values
    told = await pair.judged(pair.standby, alarm_s=600)
    assert told.health is Health.DEGRADED
    assert told.reason.startswith("it receives nothing (seen for ")
    await pair.until(pair.standby, lambda one: one.values["silent_seconds"] > 1)
    assert (await pair.judged(pair.standby, warn_s=0.1, alarm_s=0.5)).health is Health.DOWN
    assert (await pair.ask(pair.primary)).answer is Answer.FAILED
    pair.standby.sql("SELECT pg_promote()")
    promoted = await pair.ask(pair.standby)
    assert promoted.facts["role"] == "primary"
    assert (await pair.judged(pair.standby, role="standby")).reason == "it is primary, expected standby"

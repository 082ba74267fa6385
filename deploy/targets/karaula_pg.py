#!/usr/bin/python3
"""A PostgreSQL cluster as Karaula asks and tells it: one of a pair, primary at one site and standby at the other.

    karaula-pg CONFIG status [--seen TOKEN]             role, position, fencing token, as one JSON object
    karaula-pg CONFIG promote --epoch TOKEN             standby to primary (pg_promote)
    karaula-pg CONFIG demote --peer SITE --epoch TOKEN  clean stop, with everything sent, then standby of SITE
    karaula-pg CONFIG follow --peer SITE --epoch TOKEN  throw away what SITE lacks (pg_rewind, pg_basebackup), follow it
    karaula-pg CONFIG attach --peer SITE --epoch TOKEN  wait until SITE receives; commits then wait for it, if so wished
    karaula-pg CONFIG fence --epoch TOKEN               stop, and refuse every start until one of the above with a token
    karaula-pg CONFIG mark                              commit a marker and print it
    karaula-pg CONFIG may-start                         for systemd's ExecStartPre: is it safe to start?

Every order may be repeated. It runs as the cluster's own user, but speaks to the database as roles without superuser
rights (karaula_pg.sql). The fencing token of each promotion is written into the database, so that it reaches the other
site with everything else; the gate (karaula_gate.py) keeps the others out. Needs PostgreSQL 13 and Python 3.11.
Sources: PostgreSQL documentation, "Log-Shipping Standby Servers", pg_rewind, pg_ctl, "Streaming Replication Protocol".
Exit status: 0 done, 1 not done, 2 usage or configuration, 3 an old token, 4 it may not start.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from karaula_pg_cluster import Cluster, Trouble, lsn, read_config, say, wait, write
from karaula_pg_follow import aside, behind, drop_slots, fetch, gone, make_slot, receives, recover_folder, rewound

FAILED, USAGE, STALE, MAY_NOT = 1, 2, 3, 4
RECEIVE_LIMIT_S = 60.0
CHECKPOINT_LIMIT_S = 240.0  # one that is not hurried takes minutes
FIRST_LOOK_S = 5.0
STATUS = """
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'position', pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0')
                                   ELSE pg_current_wal_insert_lsn() END, '0/0')::bigint,
  'received', pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), '0/0'), '0/0')::bigint,
  'idle', EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_type = 'startup'
                  AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval')),
  'replayed_at', extract(epoch FROM greatest(pg_last_xact_replay_timestamp(),
                                             (SELECT checkpoint_time FROM pg_control_checkpoint()))),
  'told_at', (SELECT extract(epoch FROM last_msg_send_time) FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  'now', extract(epoch FROM clock_timestamp()),
  'epoch', (SELECT coalesce(max(token), 0) FROM karaula.epoch),
  'attached', (SELECT coalesce(json_agg(DISTINCT application_name), '[]') FROM pg_stat_replication
               WHERE state = 'streaming' AND (NOT {synchronous} OR sync_state IN ('sync', 'quorum'))),
  'marker', (SELECT max(id) FROM karaula.marker),
  'marker_at', (SELECT extract(epoch FROM max(at)) FROM karaula.marker))
"""


def status(cluster: Cluster, seen: int) -> dict[str, object]:
    """Return what the cluster is. One that does not answer is stopped; how far its log goes can still be read."""
    try:
        first, *rest = cluster.ask(
            STATUS.format(synchronous=cluster.config.synchronous), "", newest(cluster)
        ).splitlines()
        said = json.loads(first)
    except Trouble as trouble:
        if cluster.runs and "does not exist" in str(trouble):
            raise Trouble(f"{trouble}. Was karaula_pg.sql run on the primary?") from trouble
        return {
            "role": "stopped",
            "position": lsn(cluster.control("Latest checkpoint location")),
            "received_at": (cluster.config.data / "global" / "pg_control").stat().st_mtime,
            "epoch": 0,
            "seen": seen,
            "discarded": cluster.discarded,
        }
    # A link that is cut leaves a part of a record, which nobody can apply: what counts is that recovery waits for more.
    pending = max(0, said["received"] - said["position"]) if said["standby"] and not said["idle"] else 0
    # Of an idle primary nothing new comes, and yet its standby has everything up to its last message.
    whole = not pending and said["told_at"]
    received_at = (said["told_at"] if whole else said["replayed_at"]) if said["standby"] else said["now"]
    return {
        "role": "standby" if said["standby"] else "primary",
        "position": said["position"],
        "pending": pending,
        "received_at": float(received_at or 0.0),
        "epoch": said["epoch"],
        "seen": max(said["epoch"], seen),
        "discarded": cluster.discarded,
        "record": number("".join(rest)),
        "attached": said["attached"],
        "marker": said["marker"] or 0,
        "marker_at": float(said["marker_at"] or 0.0),
    }


def newest(cluster: Cluster) -> str:
    """Return the configuration's query for the newest record, as one that writes nothing."""
    return f"BEGIN READ ONLY; {cluster.config.records}; COMMIT"


def number(said: str) -> int:
    """Return the number that the query says, 0 when there is none. Raises Trouble."""
    if said and not said.isdecimal():
        raise Trouble(f"the configuration's query for records says '{said[:80]}', not a whole number")
    return int(said or 0)


def epoch(cluster: Cluster, where: str = "") -> int:
    """Return the token of the newest promotion that is known here, or at a peer. Raises Trouble."""
    return int(cluster.ask("SELECT coalesce(max(token), 0) FROM karaula.epoch", where))


def not_stale(cluster: Cluster, token: int) -> None:
    """Refuse a token below the one that the database itself has, or under which it was fenced off."""
    fenced = int(cluster.fence.read_text(encoding="ascii")) if cluster.fence.exists() else 0
    seen = max(fenced, epoch(cluster) if cluster.runs else 0)
    if token < seen:
        raise Trouble(f"stale fencing token {token}: the database at {cluster.config.site} has seen {seen}", STALE)


# -- the orders -------------------------------------------------------------------------------------------------------


def promote(cluster: Cluster, token: int) -> None:
    """Make it primary under ``token``, and write the token down in it."""
    not_stale(cluster, token)
    if not cluster.runs:
        cluster.fence.unlink(missing_ok=True)
        cluster.start()
        not_stale(cluster, token)
    if epoch(cluster) == token and not cluster.standby:
        return
    if cluster.standby:
        wait("what was received to be applied", lambda: status(cluster, 0)["pending"], RECEIVE_LIMIT_S)
    record = _promised(cluster, token)
    cluster.settings(synchronous_standby_names="")  # nobody follows yet, and a commit must not wait for nobody
    cluster.reload()
    if cluster.standby:
        say(f"promoting at record {record}")
        if cluster.ask(f"SELECT pg_promote(true, {RECEIVE_LIMIT_S:.0f})") != "t":
            raise Trouble(f"the server was told to promote and is still a standby after {RECEIVE_LIMIT_S:g} s")
    site = cluster.config.site.replace("'", "''")
    cluster.ask(
        f"INSERT INTO karaula.epoch (token, site, record) VALUES ({token}, '{site}', {record}) ON CONFLICT DO NOTHING"  # noqa: S608 - a number and our own site's name
    )
    cluster.fence.unlink(missing_ok=True)
    cluster.begin("CHECKPOINT")  # until it is there, pg_rewind elsewhere would take the old timeline for the newest


def _promised(cluster: Cluster, token: int) -> int:
    """Return the newest record before the promotion; where an earlier attempt has promoted, what it wrote down then."""
    kept = cluster.config.state / "promoting"
    words = kept.read_text(encoding="ascii").split() if kept.exists() else []
    if not cluster.standby and words[:1] == [str(token)]:
        return int(words[1])
    record = number(cluster.ask(newest(cluster)))
    write(kept, f"{token} {record}\n")
    return record


def demote(cluster: Cluster, token: int, peer: str) -> None:
    """Stop with everything sent, and start as a standby of ``peer``, which still receives from here."""
    not_stale(cluster, token)
    if not cluster.standby:
        cluster.stop()
        say(f"stopped cleanly at {cluster.control('Latest checkpoint location')}")
    cluster.follows(peer)
    cluster.fence.unlink(missing_ok=True)
    try:
        make_slot(cluster, peer)
    except Trouble as trouble:
        say(f"no slot at {peer} yet: {trouble}")
    if cluster.runs:
        cluster.reload()
    else:
        cluster.start()


def follow(cluster: Cluster, token: int, peer: str) -> int:
    """Make it a standby of the primary at ``peer``; return how much was thrown away for that."""
    not_stale(cluster, token)
    reader = cluster.at_peer(peer, "karaula_rewind") + f" dbname={cluster.config.database}"
    if cluster.ask("SELECT pg_is_in_recovery()", reader) == "t":
        raise Trouble(f"{peer} is a standby itself; nothing is thrown away to follow a standby")
    seen = epoch(cluster, reader)
    if token < seen:
        raise Trouble(f"stale fencing token {token}: the database at {peer} has seen {seen}", STALE)
    begun = cluster.config.state / "following"  # there only while an earlier attempt has not come to its end
    if cluster.standby and cluster.runs and not begun.exists():
        make_slot(cluster, peer)
        cluster.follows(peer)
        cluster.reload()
        if receives(cluster, reader, FIRST_LOOK_S):
            return 0
    cluster.stop()
    recover_folder(cluster.config.data)
    wait(f"{peer} to have made a checkpoint since its promotion", lambda: behind(cluster, reader), CHECKPOINT_LIMIT_S)
    there = (cluster.config.data / "PG_VERSION").exists()  # nothing at all is a standby that is to be made
    if begun.exists():
        lost = int(begun.read_text(encoding="ascii"))  # what is here now may be half of each
    else:
        lost = gone(cluster, peer, reader) if there else 0
        write(begun, str(lost))
    write(cluster.config.state / "discarded", str(lost))
    if not (there and rewound(cluster, reader)):
        fetch(cluster, peer)
    make_slot(cluster, peer)
    cluster.follows(peer)
    cluster.fence.unlink(missing_ok=True)
    cluster.start()
    if not receives(cluster, reader, RECEIVE_LIMIT_S):
        raise Trouble(f"it started as a standby, but receives nothing from {peer}; its log says why")
    shutil.rmtree(aside(cluster.config.data, "old"), ignore_errors=True)
    drop_slots(cluster)
    begun.unlink(missing_ok=True)
    return lost


def attach(cluster: Cluster, token: int, peer: str) -> None:
    """Wait until ``peer`` receives; where commits are to be synchronous, have them wait for it from now on."""
    not_stale(cluster, token)
    cluster.at_peer(peer, "karaula_replica")
    name = peer.replace("'", "''")
    here = f"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '{name}'"  # noqa: S608 - a site's name, quoted
    wait(f"{peer} to receive", lambda: "" if cluster.ask(here) != "0" else "it does not", RECEIVE_LIMIT_S)
    if cluster.config.synchronous:
        cluster.settings(synchronous_standby_names=f'"{peer}"')
        cluster.reload()


def fence(cluster: Cluster, token: int) -> None:
    """Stop, and refuse every start until an order with a token comes."""
    not_stale(cluster, token)
    write(cluster.fence, f"{token}\n")
    cluster.stop()


def may_start(cluster: Cluster) -> None:
    """Raise Trouble where a start could make a second primary."""
    if cluster.fence.exists():
        raise Trouble(f"fenced off: {cluster.fence} is there. Let a run promote, demote or follow it", MAY_NOT)
    if cluster.standby:
        return
    for peer in cluster.config.peers:
        reader = cluster.at_peer(peer, "karaula_rewind") + f" dbname={cluster.config.database}"
        try:
            primary = cluster.ask("SELECT pg_is_in_recovery()", reader) == "f"
        except Trouble as trouble:
            if not cluster.config.alone:
                advice = "start_alone = yes in the configuration lets it start when you know that no other primary runs"
                raise Trouble(
                    f"{peer} may be primary now, and cannot be asked: {trouble}. {advice}", MAY_NOT
                ) from trouble
        else:
            if primary:
                raise Trouble(
                    f"{peer} is primary; this one has to follow it (karaula reprotect), not to start", MAY_NOT
                )


# -- the command line -------------------------------------------------------------------------------------------------


def order(words: argparse.Namespace) -> dict[str, object]:
    """Carry out one order and return what to print. Raises Trouble."""
    cluster = Cluster(read_config(words.config))
    cluster.config.state.mkdir(parents=True, exist_ok=True)
    match words.order:
        case "status":
            return status(cluster, words.seen)
        case "promote":
            promote(cluster, words.epoch)
        case "demote":
            demote(cluster, words.epoch, words.peer)
        case "follow":
            lost = follow(cluster, words.epoch, words.peer)
            return {**status(cluster, words.epoch), "discarded": lost}
        case "attach":
            attach(cluster, words.epoch, words.peer)
        case "fence":
            fence(cluster, words.epoch)
        case "may-start":
            may_start(cluster)
            return {}
        case "mark":
            return mark(cluster)
    return status(cluster, words.epoch)


def mark(cluster: Cluster) -> dict[str, object]:
    """Commit a marker, and return it once the commit is acknowledged. Raises Trouble.

    A commit that waits for the other site goes on waiting when whoever sent it is gone: one such is enough.
    """
    waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'karaula' AND wait_event = 'SyncRep'"
    if cluster.ask(waits) != "0":
        raise Trouble("the marker before this one still waits for the other site")
    said = cluster.ask(
        "WITH old AS (DELETE FROM karaula.marker WHERE at < clock_timestamp() - interval '1 day') "
        "INSERT INTO karaula.marker DEFAULT VALUES RETURNING json_build_object("
        "'marker', id, 'at', extract(epoch FROM at))"
    )
    found: dict[str, object] = json.loads(said)
    return found


def main(arguments: list[str]) -> int:
    """Read the words, do it, print one JSON object."""
    parser = argparse.ArgumentParser(prog="karaula-pg", description="A PostgreSQL cluster as Karaula tells it.")
    parser.add_argument("config", type=Path)
    orders = parser.add_subparsers(dest="order", required=True)
    orders.add_parser("status").add_argument("--seen", type=int, default=0)
    for name in ("promote", "demote", "follow", "attach", "fence"):
        one = orders.add_parser(name)
        one.add_argument("--epoch", type=int, required=True)
        if name in ("demote", "follow", "attach"):
            one.add_argument("--peer", required=True)
    orders.add_parser("may-start")
    orders.add_parser("mark")
    try:
        found = order(parser.parse_args(arguments))
    except Trouble as trouble:
        say(str(trouble))
        return trouble.status
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        say(f"{type(error).__name__}: {error}")
        return FAILED
    if found:
        sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

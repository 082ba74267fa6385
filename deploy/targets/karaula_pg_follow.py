"""How a cluster comes to follow another, for karaula_pg.py beside it: what is thrown away, how the rest comes.

Sources: PostgreSQL documentation, pg_rewind, pg_basebackup, "Streaming Replication Protocol" (TIMELINE_HISTORY).
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from karaula_pg_cluster import Trouble, say, slot, wait

if TYPE_CHECKING:
    from pathlib import Path

    from karaula_pg_cluster import Cluster

NEWEST = re.compile(r'= "([0-9]+)"')


def receives(cluster: Cluster, reader: str, limit_s: float) -> bool:
    """Tell whether the peer sends; a receiver says "streaming" also before it has been let in."""
    name = cluster.config.site.replace("'", "''")
    sends = f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{name}' AND state <> 'startup'"  # noqa: S608 - our own site's name
    try:
        wait("the receiver", lambda: cluster.ask(sends, reader) == "0", limit_s)
    except Trouble:
        return False
    return True


def behind(cluster: Cluster, reader: str) -> str:
    """Say that the peer's control file does not have its own timeline yet; pg_rewind goes by that file."""
    said = cluster.ask("SELECT timeline_id FROM pg_control_checkpoint()", reader)
    really = cluster.ask("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)", reader)
    return "" if int(said) == int(really, 16) else f"its control file is still at timeline {said}"


def gone(cluster: Cluster, peer: str, reader: str) -> int:
    """Return how many records only this side has: those after what was there at the peer's promotion."""
    if cluster.standby:
        return 0
    mine = int(cluster.control("Latest checkpoint's TimeLineID"))
    fork = _fork(cluster, peer, mine)
    if not fork:
        return 0
    newest, token = _alone(cluster)
    kept = cluster.ask(f"SELECT record FROM karaula.epoch WHERE token > {token} ORDER BY token LIMIT 1", reader)  # noqa: S608 - a number
    return max(0, newest - int(kept or newest))


def _fork(cluster: Cluster, peer: str, mine: int) -> str:
    """Return where the peer's history left timeline ``mine``; empty where it has not. Raises Trouble."""
    wire = cluster.at_peer(peer, "karaula_replica") + " replication=true"
    theirs = int(cluster.ask("IDENTIFY_SYSTEM", wire).split("|")[1])
    if theirs < mine:
        raise Trouble(f"{peer} is on timeline {theirs} and this side on {mine}: this side was promoted later")
    if theirs == mine:
        return ""
    for line in cluster.ask(f"TIMELINE_HISTORY {theirs}", wire).splitlines():
        words = line.rpartition("|")[2].split()
        if len(words) > 1 and words[0] == str(mine):
            return words[1]
    raise Trouble(f"the history of {peer} does not have timeline {mine}: these are not the same database")


def _alone(cluster: Cluster) -> tuple[int, int]:
    """Return newest record and token of a cluster that must not be started: by one process without network."""
    config = cluster.config
    words = ["--single", "-D", str(config.data)]
    words += ["-c", f"config_file={config.server}"] if config.server else []
    # Read only, and nobody waits for a standby: the end of this process must not hang.
    words += ["-c", "default_transaction_read_only=on", "-c", "synchronous_standby_names=", config.database]
    questions = f"{' '.join(config.records.split())}\nSELECT max(token) FROM karaula.epoch\n"
    said = cluster.tool("postgres", *words, given=questions).stdout
    found = NEWEST.findall(said)
    if len(found) != 2:  # noqa: PLR2004 - one a question
        raise Trouble(
            f"what only this side has cannot be counted; postgres --single says: {' '.join(said.split())[-300:]}"
        )
    return int(found[0]), int(found[1])


def rewound(cluster: Cluster, reader: str) -> bool:
    """Go back to where both sides were one; False where that cannot be done."""
    where = ("--config-file", cluster.config.server) if cluster.config.server else ()
    words = ("-D", str(cluster.config.data), "--source-server", reader, *where)
    done = cluster.tool("pg_rewind", *words, check=False)
    said = " ".join((done.stderr or done.stdout).split())[-300:]
    say(f"pg_rewind: {said}" if done.returncode == 0 else f"pg_rewind cannot do it: {said}")
    return done.returncode == 0


def fetch(cluster: Cluster, peer: str) -> None:
    """Fetch everything anew; what was here is put aside until the copy is whole. Raises Trouble."""
    data = cluster.config.data
    fresh, old = aside(data, "fresh"), aside(data, "old")
    say(f"fetching everything from {peer}")
    shutil.rmtree(fresh, ignore_errors=True)
    source = cluster.at_peer(peer, "karaula_replica")
    cluster.tool("pg_basebackup", "-D", str(fresh), "-d", source, "-w", "-X", "stream", "-c", "fast")
    shutil.rmtree(old, ignore_errors=True)
    if data.exists():
        data.rename(old)
    fresh.rename(data)


def aside(data: Path, what: str) -> Path:
    """Return the name of a folder beside the data."""
    return data.with_name(f"{data.name}.karaula-{what}")


def recover_folder(data: Path) -> None:
    """Undo half an exchange of folders that a power cut left."""
    old = aside(data, "old")
    if not data.exists() and old.exists():
        old.rename(data)


def make_slot(cluster: Cluster, peer: str) -> None:
    """Have the peer keep what this side has not received yet; there is no harm in one that is there."""
    wire = cluster.at_peer(peer, "karaula_replica") + " replication=true"
    try:
        cluster.ask(f"CREATE_REPLICATION_SLOT {slot(cluster.config.site)} PHYSICAL RESERVE_WAL", wire)
    except Trouble as trouble:
        if "already exists" not in str(trouble):
            raise


def drop_slots(cluster: Cluster) -> None:
    """Forget who followed this side when it was primary: an unused slot would keep its log for ever."""
    config = cluster.config
    wire = f"host={config.socket} port={config.port} user=karaula_replica replication=true"
    names = cluster.ask("SELECT slot_name FROM pg_replication_slots WHERE NOT active AND slot_name LIKE 'karaula\\_%'")
    for name in names.splitlines():
        try:
            cluster.ask(f"DROP_REPLICATION_SLOT {name}", wire)
        except Trouble as trouble:
            say(f"slot {name} stays and keeps log: {trouble}")

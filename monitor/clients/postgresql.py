"""What a PostgreSQL server says of its replication: one connection, one query, read-only, under one deadline.

TLS is verified down to the name, the password goes only through SCRAM (a server that asks for it in the clear gets
nothing), and libpq's environment variables and files have no say. What the answer means is left to others. The user
needs the role ``pg_monitor``; PostgreSQL 13 or later.
Sources: PostgreSQL documentation, "The Statistics Collector" (pg_stat_replication, pg_stat_wal_receiver), "System
Administration Functions", libpq "Parameter Key Words".
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from monitor.errors import (
    DeadlineExceeded,
    GarbledReply,
    Refused,
    SessionLost,
    TargetError,
    Unreachable,
    Untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from monitor.credential import Secret

LARGEST = 2**64
MOST_ROWS = 100
# Cheap views and functions only; positions are bytes from the beginning of the log. A position of the server's own
# newest record is ``here``: written on a primary, received on a standby.
QUERY = f"""
WITH here AS (SELECT CASE WHEN pg_is_in_recovery()
                          THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                          ELSE pg_current_wal_lsn() END AS lsn)
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'here', (SELECT pg_wal_lsn_diff(lsn, '0/0') FROM here),
  'replayed', pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0'),
  'replayed_age_s', extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()),
  'paused', CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
  'receiver', (SELECT json_build_object(
      'status', status,
      'told', pg_wal_lsn_diff(latest_end_lsn, '0/0'),
      'silent_s', extract(epoch FROM clock_timestamp() - last_msg_receipt_time))
    FROM pg_stat_wal_receiver LIMIT 1),
  'waits_for', CASE WHEN pg_is_in_recovery() THEN '' ELSE current_setting('synchronous_standby_names') END,
  'standbys', (SELECT coalesce(json_agg(json_build_object(
      'state', state, 'sync', sync_state, 'replayed', pg_wal_lsn_diff(replay_lsn, '0/0'))), '[]')
    FROM (SELECT * FROM pg_stat_replication LIMIT {MOST_ROWS}) AS few),
  'slots', (SELECT coalesce(json_agg(json_build_object(
      'status', wal_status, 'retained', pg_wal_lsn_diff((SELECT lsn FROM here), restart_lsn))), '[]')
    FROM (SELECT * FROM pg_replication_slots LIMIT {MOST_ROWS}) AS few))
"""  # noqa: S608 - the only thing put in is a number of ours


@dataclass(frozen=True, slots=True)
class Place:
    """A server and how to log in; ``server_name`` is the name in its certificate where that is not the address."""

    address: str
    port: int
    server_name: str
    user: str
    database: str


@dataclass(frozen=True, slots=True)
class Standby:
    """One standby as its sender sees it; ``replayed`` is None until it has said so."""

    streams: bool
    synchronous: bool
    replayed: int | None


@dataclass(frozen=True, slots=True)
class Receiver:
    """The standby's connection to what it follows; ``told`` is the end of the log as the sender last said."""

    streams: bool
    told: int | None
    silent_s: float | None


@dataclass(frozen=True, slots=True)
class Replication:
    """All that one server says. Positions are bytes. ``blind``: the user may not see the replication views.

    ``here`` is the newest record that the server has, ``replayed`` the newest that a standby has applied,
    ``replayed_age_s`` the age of the newest transaction that it has applied. ``retained`` are bytes of log that a slot
    keeps; ``slots_lost`` and ``slots_losing`` count slots whose log is gone or about to go.
    """

    standby: bool
    here: int
    replayed: int | None
    replayed_age_s: float | None
    paused: bool
    receiver: Receiver | None
    waits: bool
    standbys: tuple[Standby, ...]
    retained: int
    slots_lost: int
    slots_losing: int
    blind: bool


async def replication(place: Place, password: Secret, ca_file: Path, timeout_s: float) -> Replication:
    """Ask one server.

    Raises Unreachable, Untrusted (certificate, or none), Refused (log-in, rights), DeadlineExceeded, SessionLost,
    GarbledReply. ``timeout_s`` bounds the whole; a connection is never left behind.
    """
    where = f"{place.user}@{place.address}:{place.port}"
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        async with asyncio.timeout_at(deadline):
            connection = await _connect(place, password, ca_file, timeout_s)
    except TimeoutError as error:
        raise Unreachable(f"{where}: no log-in within {timeout_s:g} s") from error
    except (psycopg.Error, OSError) as error:
        raise _refusal(error, where) from error
    asking = asyncio.ensure_future(_ask(connection))
    try:
        done, _ = await asyncio.wait({asking}, timeout=deadline - asyncio.get_running_loop().time())
        if not done:
            raise DeadlineExceeded(f"{where}: no answer within {timeout_s:g} s")
        return read(asking.result())
    except psycopg.Error as error:
        raise _failure(error, where) from error
    except (ValueError, RecursionError) as error:  # json's: too deep, or a number of thousands of digits
        raise GarbledReply(f"{where}: the answer cannot be read ({type(error).__name__})") from error
    finally:
        if not asking.done():
            _cut(connection)  # psycopg would first ask the server to cancel, and wait for that
        await asyncio.gather(asking, return_exceptions=True)
        await connection.close()


async def _connect(
    place: Place, password: Secret, ca_file: Path, timeout_s: float
) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    limit_ms = max(1, round(1000 * timeout_s))
    name = place.server_name or place.address
    return await psycopg.AsyncConnection.connect(
        host=name,
        hostaddr=place.address if _is_address(place.address) else None,
        port=place.port,
        user=place.user,
        password=password.reveal(),
        dbname=place.database,
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=max(2, math.ceil(timeout_s)),
        sslmode="verify-full",
        sslrootcert=str(ca_file),
        sslcertmode="disable",
        sslcrl="",
        gssencmode="disable",
        require_auth="scram-sha-256",
        target_session_attrs="any",
        application_name="karaula",
        options=(
            "-c default_transaction_read_only=on -c search_path=pg_catalog"
            f" -c statement_timeout={limit_ms} -c lock_timeout={limit_ms}"
        ),
    )


async def _ask(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> object:
    async with connection.cursor() as cursor:
        await cursor.execute(QUERY)
        row = await cursor.fetchone()
    return row[0] if row else None


def _cut(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
    """End the connection below libpq, so that whoever waits for it sees its end at once."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# -- reading the answer -----------------------------------------------------------------------------------------------


def read(found: object) -> Replication:
    """Return what ``QUERY`` answered. Raises GarbledReply."""
    if not isinstance(found, dict):
        raise GarbledReply("the database did not answer with an object")
    standbys, slots = _rows(found, "standbys"), _rows(found, "slots")
    receiver = found.get("receiver")
    here = _whole(found, "here")
    if here is None:
        raise GarbledReply("the database did not say where its log is")
    retained = [_whole(slot, "retained") or 0 for slot in slots]
    states = [slot.get("status") for slot in slots]
    blind = any(one.get("state") is None for one in standbys)
    blind |= isinstance(receiver, dict) and receiver.get("status") is None
    return Replication(
        standby=_flag(found, "standby"),
        here=here,
        replayed=_whole(found, "replayed"),
        replayed_age_s=_number(found, "replayed_age_s"),
        paused=_flag(found, "paused"),
        receiver=None if receiver is None else _receiver(receiver),
        waits=bool(found.get("waits_for")),
        standbys=tuple(_standby(one) for one in standbys),
        retained=max([0, *retained]),
        slots_lost=states.count("lost"),
        slots_losing=states.count("unreserved"),
        blind=blind,
    )


def _standby(found: Mapping[str, Any]) -> Standby:
    synchronous = found.get("sync") in ("sync", "quorum")
    return Standby(found.get("state") == "streaming", synchronous, _whole(found, "replayed"))


def _receiver(found: object) -> Receiver:
    if not isinstance(found, dict):
        raise GarbledReply("the database's receiver is not an object")
    return Receiver(found.get("status") == "streaming", _whole(found, "told"), _number(found, "silent_s"))


def _rows(found: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = found.get(name)
    if not isinstance(rows, list) or len(rows) > MOST_ROWS or not all(isinstance(row, dict) for row in rows):
        raise GarbledReply(f"the database's {name} are not a list of objects")
    return rows


def _whole(found: Mapping[str, Any], name: str) -> int | None:
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not -LARGEST < value < LARGEST:
        raise GarbledReply(f"the database's {name} is not a position")
    return value


def _number(found: Mapping[str, Any], name: str) -> float | None:
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not -LARGEST < value < LARGEST:
        raise GarbledReply(f"the database's {name} is not a number")
    return float(value)


def _flag(found: Mapping[str, Any], name: str) -> bool:
    value = found.get(name)
    if not isinstance(value, bool):
        raise GarbledReply(f"the database's {name} is neither true nor false")
    return value


# -- what failed ------------------------------------------------------------------------------------------------------


def _refusal(error: Exception, where: str) -> TargetError:
    """Return the typed error of a log-in that failed; libpq tells most of it in words only."""
    said = _plain(error)
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    lower = said.lower()
    if "certificate" in lower or "does not support ssl" in lower:
        return Untrusted(f"{where}: {said}")
    if "cleartext password" in lower or "authentication method requirement" in lower:
        return Refused(f"{where}: the server wants the password otherwise than by SCRAM; it was not sent")
    if "authentication" in lower or "no pg_hba.conf entry" in lower or "does not exist" in lower:
        return Refused(f"{where}: log-in refused: {said}")
    if state is not None and state.startswith(("28", "3D", "53")):
        return Refused(f"{where}: log-in refused: {said}")
    if "too many" in lower or "reserved for" in lower:
        return Refused(f"{where}: {said}")
    return Unreachable(f"{where}: {said}")


def _failure(error: psycopg.Error, where: str) -> TargetError:
    said = _plain(error)
    if isinstance(error, psycopg.errors.QueryCanceled):
        return DeadlineExceeded(f"{where}: {said}")
    if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.UndefinedColumn):
        return Refused(f"{where}: {said}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return SessionLost(f"{where}: {said}")
    return GarbledReply(f"{where}: {said}")


def _plain(error: Exception) -> str:
    """Return the first line of what libpq says, without its own address of the server."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    said = said.removeprefix("connection failed: ").removeprefix("connection is bad: ")
    said = said.rpartition(" failed: ")[2] if said.startswith("connection to server") else said
    said = said.removeprefix("FATAL:").strip()
    return "".join(character if character.isprintable() else " " for character in said)[:300]

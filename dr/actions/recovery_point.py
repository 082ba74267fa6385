"""Say what a failover to a site would lose: its standby's newest record against what clients were told is accepted."""

from __future__ import annotations

from typing import ClassVar

from dr.action import Context, Done, Reading, StepArgs
from dr.errors import StepFailed
from dr.estate import database, front
from dr.estate.database import DatabaseStatus
from dr.estate.waiting import ASK_LIMIT_S, Deadline, until
from monitor.errors import TargetError

UNKNOWN = -1
PEER_LIMIT_S = 3.0


class RecoveryPointArgs(StepArgs):
    """Nothing beside system and site."""


class RecoveryPoint(Reading):
    """Must come after the fence: before it the old primary could still accept what then is lost.

    ``lost`` counts acknowledged declarations that the standby does not have, -1 when nobody can say. ``lost_known``:
    ``exact`` by the receipts; ``at-least`` by the old primary's own position, where there are no receipts and it still
    answers; ``by-markers`` where only time is known, by the newest marker that was acknowledged and the newest that is
    here; else ``unknown``. ``rpa_s`` is the time between the newest record that the standby received and the newest
    one acknowledged; the replication's own delay before that is not in it.
    """

    name: ClassVar[str] = "recovery_point"
    summary: ClassVar[str] = "say what is lost if the site's standby takes over as it is"
    outputs: ClassVar[tuple[str, ...]] = (
        "position",
        "received_at",
        "acknowledged",
        "newest_at",
        "lost",
        "lost_known",
        "rpa_s",
    )
    Args: ClassVar[type[StepArgs]] = RecoveryPointArgs

    async def run(self, args: RecoveryPointArgs, context: Context) -> Done:
        """Ask standby and receipts. Receipts that do not answer leave the loss unknown; the standby must answer."""
        world, deadline = context.world, Deadline(context.world.clock, context.timeout_s)
        status = await _applied(args, context, deadline)
        acknowledged, newest_at, lost, known = UNKNOWN, 0.0, UNKNOWN, "unknown"
        try:
            receipts = await front.receipts(world, args.system, deadline.left(ASK_LIMIT_S) / 2)
        except TargetError as error:
            context.say(f"the receipts cannot be read: {error}")
            receipts = None
        if receipts is not None:
            acknowledged, newest_at, known = receipts.acknowledged, receipts.newest_at, "exact"
            lost = max(0, receipts.newest_position - status.newest)
            context.say(f"clients were told of {acknowledged} declarations, the newest at {receipts.newest_position}")
        else:
            peer = await _peer(args, context, deadline)
            if peer is not None and (peer.record is None) == (
                status.record is None
            ):  # else they count different things
                lost, known = max(0, peer.newest - status.newest), "at-least"
        rpa_s = max(0.0, newest_at - status.received_at) if lost > 0 and newest_at else 0.0
        marker = world.newest_marker(args.system)
        if lost == UNKNOWN and marker is not None and status.marker_at:
            known, newest_at = "by-markers", marker.at
            rpa_s = max(0.0, marker.at - status.marker_at)
            context.say(f"marker {marker.marker} was acknowledged, {status.marker} is here: {rpa_s:.1f} s apart")
        said = "it is not known what is lost" if lost == UNKNOWN else f"{lost} lost ({known})"
        context.say(f"the standby at {args.site} is at position {status.position}, record {status.newest}: {said}")
        return Done(
            {
                "position": status.position,
                "received_at": status.received_at,
                "acknowledged": acknowledged,
                "newest_at": newest_at,
                "lost": lost,
                "lost_known": known,
                "rpa_s": float(UNKNOWN) if known == "unknown" else rpa_s,
            }
        )


async def _applied(args: RecoveryPointArgs, context: Context, deadline: Deadline) -> DatabaseStatus:
    """Ask until what was received is applied: it is not lost. Raises StepFailed, TargetError."""
    return await until(
        lambda: database.status(context.world, args.system, args.site, deadline.left(ASK_LIMIT_S)),
        _unsaid,
        deadline,
        context.say,
    )


def _unsaid(status: DatabaseStatus) -> str:
    if status.role == "stopped":
        return "the database is stopped, and what it has is not known"
    return f"{status.pending} received and not applied yet" if status.pending else ""


async def _peer(args: RecoveryPointArgs, context: Context, deadline: Deadline) -> DatabaseStatus | None:
    peer = context.world.peer(args.system, args.site)
    try:
        status = await database.status(context.world, args.system, peer, deadline.left(PEER_LIMIT_S))
    except (TargetError, StepFailed) as error:
        context.say(f"the old primary at {peer} does not answer: {error}")
        return None
    return status

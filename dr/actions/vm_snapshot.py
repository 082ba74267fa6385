"""Take a snapshot of the disks of a system's virtual machines at a site, before something risky is done to them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import ClassVar

from dr.action import PROBE_LIMIT_S, Context, Done, Effect, Holds, Output, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import machines
from dr.estate.machines import Tier
from dr.estate.waiting import Deadline, together, until
from monitor.errors import TargetError

Found = Mapping[str, tuple[str, ...] | None]  # the names of each machine's snapshots; None: there is no such machine
RUN_CHARS = 48  # with the rest well below the 80 that vCenter allows
SHORT_CHARS = 8


class VmSnapshotArgs(StepArgs):
    """Which tier."""

    tier: Tier = "all"


class VmSnapshot:
    """Disks only, no memory: going back to it is like starting after a loss of power.

    Every attempt of a step means the same name, so what an earlier one has taken is found and not taken again.
    Undo removes that one snapshot of each machine and merges its disks; it does not put a machine back to it.
    """

    name: ClassVar[str] = "vm_snapshot"
    summary: ClassVar[str] = "take a snapshot of the disks of the system's virtual machines at the site"
    outputs: ClassVar[tuple[str, ...]] = ("snapshot", "count")
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S
    Args: ClassVar[type[StepArgs]] = VmSnapshotArgs

    def effects(self, args: VmSnapshotArgs) -> tuple[Effect, ...]:
        """Declare the tier's snapshot; the whole system's when the tier is ``all``."""
        what = "snapshot" if args.tier == "all" else f"{args.tier} snapshot"
        return (Effect(f"system/{args.system}/{args.site}", what, "taken"),)

    async def run(self, args: VmSnapshotArgs, context: Context) -> Done:
        """Look, take what is missing, read back."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        vcenter = machines.session(context.world, args.system, args.site)
        names, snapshot = _names(args, context), snapshot_name(context)
        before = await vcenter.snapshots(names)
        gone = [name for name in names if before[name] is None]
        if gone:
            raise StepFailed(f"the vCenter has no VM {', '.join(gone)}; restore it or correct the inventory")
        missing = [name for name in names if snapshot not in (before[name] or ())]
        for name in missing:
            context.say(f"snapshot {snapshot} of {name}")
        await together(*(vcenter.snapshot(name, snapshot, deadline.left()) for name in missing))
        await until(
            lambda: vcenter.snapshots(names), lambda found: _lacking(found, snapshot), deadline, context.say, every_s=1
        )
        return Done({"snapshot": snapshot, "count": len(names)})

    async def probe(self, args: VmSnapshotArgs, context: Context) -> Seen:
        """Ask vCenter for the snapshots of every machine."""
        names, snapshot = _names(args, context), snapshot_name(context)
        try:
            found = await machines.session(context.world, args.system, args.site).snapshots(names)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        lacking = _lacking(found, snapshot)
        if lacking:
            return Seen(Holds.NO, lacking)
        outputs: Mapping[str, Output] = {"snapshot": snapshot, "count": len(names)}
        return Seen(Holds.YES, f"{', '.join(names)}: snapshot {snapshot}", outputs)

    async def undo(self, args: VmSnapshotArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Remove the step's own snapshot where it still is, and read back. A machine that is gone has none."""
        del outputs  # the name follows from the step
        deadline = Deadline(context.world.clock, context.timeout_s)
        vcenter = machines.session(context.world, args.system, args.site)
        names, snapshot = _names(args, context), snapshot_name(context)
        found = await vcenter.snapshots(names)
        there = [name for name in names if snapshot in (found[name] or ())]
        for name in there:
            context.say(f"remove snapshot {snapshot} of {name}")
        await together(*(vcenter.remove_snapshot(name, snapshot, deadline.left()) for name in there))
        await until(
            lambda: vcenter.snapshots(there), lambda after: _left(after, snapshot), deadline, context.say, every_s=1
        )
        return Done()


def snapshot_name(context: Context) -> str:
    """Return the name that every attempt of this step means: the run, for whoever meets it in vCenter, and a digest."""
    run = re.sub(r"[^A-Za-z0-9._-]", "-", context.run_id)[:RUN_CHARS]
    return f"karaula-{run}-{hashlib.sha256(context.key.encode()).hexdigest()[:SHORT_CHARS]}"


def _names(args: VmSnapshotArgs, context: Context) -> list[str]:
    tiers = machines.tiers(context.world, args.system, args.site, args.tier)
    return [name for tier in tiers for name in tier]


def _lacking(found: Found, snapshot: str) -> str:
    wrong = []
    for name, snapshots in found.items():
        if snapshots is None:
            wrong.append(f"{name} does not exist")
        elif snapshot not in snapshots:
            wrong.append(f"{name} has no snapshot {snapshot}")
    return ", ".join(wrong)


def _left(found: Found, snapshot: str) -> str:
    still = [name for name, snapshots in found.items() if snapshot in (snapshots or ())]
    return ", ".join(f"{name} still has snapshot {snapshot}" for name in still)

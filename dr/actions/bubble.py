"""A drill's bubble: clones of a system's machines that serve an isolated copy, and their removal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dr.action import Context, Done, Effect, Holds, Lasting, Output, Seen, StepArgs
from dr.estate import machines
from dr.estate.waiting import Deadline, together, until
from monitor.clients.vsphere import VcenterSession, Vm
from monitor.errors import NotFound, Refused, TargetError

PRESENT, ABSENT = "present", "absent"


class BubbleArgs(StepArgs):
    """Nothing beside system and site."""


class BubbleCreate:
    """Clones carry the run in their names, so that after a crash the same ones are found again, never made twice."""

    name: ClassVar[str] = "bubble_create"
    summary: ClassVar[str] = "clone the system's machines at the site and start the clones, isolated"
    outputs: ClassVar[tuple[str, ...]] = ("vms", "count")
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    Args: ClassVar[type[StepArgs]] = BubbleArgs

    def effects(self, args: BubbleArgs) -> tuple[Effect, ...]:
        """Declare the bubble."""
        return (Effect(f"system/{args.system}/{args.site}", "bubble", PRESENT),)

    async def run(self, args: BubbleArgs, context: Context) -> Done:
        """Clone what is not there yet, power on what is off. A clone whose outcome is unknown is not sent again."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        vcenter = machines.session(context.world, args.system, args.site)
        pairs = machines.clone_names(context.world, args.system, args.site, context.run_id)
        found = await machines.look(vcenter, [clone for _, clone in pairs])

        async def one(source: str, clone: str) -> None:
            if found[clone] is None:
                context.say(f"clone {source} to {clone}")
                try:
                    await vcenter.clone(source, clone, deadline.left(), power_on=True)
                except Refused:
                    if await vcenter.vm(clone) is None:
                        raise
                    context.say(f"{clone} has come from an earlier attempt meanwhile")
            await vcenter.power(clone, on=True, timeout_s=deadline.left())

        await together(*(one(source, clone) for source, clone in pairs))
        names = [clone for _, clone in pairs]
        await until(lambda: machines.look(vcenter, names), _not_all_on, deadline, context.say, every_s=1)
        return Done({"vms": ", ".join(names), "count": len(names)})

    async def probe(self, args: BubbleArgs, context: Context) -> Seen:
        """Look for the clones by name."""
        names = [clone for _, clone in machines.clone_names(context.world, args.system, args.site, context.run_id)]
        try:
            found = await machines.look(machines.session(context.world, args.system, args.site), names)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        lack = _not_all_on(found)
        if lack:
            return Seen(Holds.NO, lack)
        return Seen(Holds.YES, f"{len(names)} clones are on", {"vms": ", ".join(names), "count": len(names)})

    async def undo(self, args: BubbleArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Remove the clones."""
        del outputs
        await _remove(args, context)
        return Done()


class BubbleRemove(Lasting):
    """Removes this run's clones, however many there are. Only names that the run made itself are ever deleted."""

    name: ClassVar[str] = "bubble_remove"
    summary: ClassVar[str] = "delete the drill's clones"
    outputs: ClassVar[tuple[str, ...]] = ("removed",)
    Args: ClassVar[type[StepArgs]] = BubbleArgs

    def effects(self, args: BubbleArgs) -> tuple[Effect, ...]:
        """Declare that there is no bubble."""
        return (Effect(f"system/{args.system}/{args.site}", "bubble", ABSENT),)

    async def run(self, args: BubbleArgs, context: Context) -> Done:
        """Power off and delete what is there."""
        return Done({"removed": await _remove(args, context)})

    async def probe(self, args: BubbleArgs, context: Context) -> Seen:
        """Look for the clones by name."""
        names = [clone for _, clone in machines.clone_names(context.world, args.system, args.site, context.run_id)]
        try:
            found = await machines.look(machines.session(context.world, args.system, args.site), names)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        left = [name for name, vm in found.items() if vm is not None]
        if left:
            return Seen(Holds.NO, f"still there: {', '.join(left)}")
        return Seen(Holds.YES, f"none of the {len(names)} clones is there", {"removed": 0})


async def _remove(args: BubbleArgs, context: Context) -> int:
    deadline = Deadline(context.world.clock, context.timeout_s)
    vcenter = machines.session(context.world, args.system, args.site)
    names = [clone for _, clone in machines.clone_names(context.world, args.system, args.site, context.run_id)]
    found = await machines.look(vcenter, names)
    there = [name for name, vm in found.items() if vm is not None]
    await together(*(_destroy(vcenter, name, deadline, context) for name in there))
    await until(
        lambda: machines.look(vcenter, names),
        lambda seen: ", ".join(f"{name} is still there" for name, vm in seen.items() if vm is not None),
        deadline,
        context.say,
        every_s=1,
    )
    return len(there)


async def _destroy(vcenter: VcenterSession, name: str, deadline: Deadline, context: Context) -> None:
    context.say(f"delete {name}")
    try:
        await vcenter.power(name, on=False, timeout_s=deadline.left())
        await vcenter.destroy(name, deadline.left())
    except NotFound:
        context.say(f"{name} is gone already")


def _not_all_on(found: Mapping[str, Vm | None]) -> str:
    wrong = [
        f"{name} {'does not exist' if vm is None else 'is ' + vm.power}"
        for name, vm in found.items()
        if vm is None or vm.power != "on"
    ]
    return ", ".join(wrong)

"""Power a system's virtual machines at a site on or off, and wait until vCenter shows them so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from dr.action import PROBE_LIMIT_S, Context, Done, Effect, Holds, Output, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import machines
from dr.estate.machines import Tier
from dr.estate.waiting import Deadline, together, until
from monitor.clients.vsphere import VcenterSession, Vm
from monitor.errors import TargetError

State = Literal["on", "off"]
NOT_KNOWN = "not known"


class VmPowerArgs(StepArgs):
    """Which tier, and what it is to be."""

    tier: Tier = "all"
    state: State


class VmPower:
    """Only machines that are not yet so are touched; ``changed`` names them, and undo puts back those alone.

    Where an answer was lost, or an earlier attempt may have changed some, ``changed`` is not known, and a person is
    asked instead of leaving machines as they are and calling that undone.
    """

    name: ClassVar[str] = "vm_power"
    summary: ClassVar[str] = "power the system's virtual machines at the site on or off"
    outputs: ClassVar[tuple[str, ...]] = ("changed", "count")
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S
    Args: ClassVar[type[StepArgs]] = VmPowerArgs

    def effects(self, args: VmPowerArgs) -> tuple[Effect, ...]:
        """Declare the power of the tier; of the whole system when the tier is ``all``."""
        value = args.state if args.tier == "all" else f"{args.tier}-{args.state}"
        return (Effect(f"system/{args.system}/{args.site}", "power", value),)

    async def run(self, args: VmPowerArgs, context: Context) -> Done:
        """Power tier after tier: database first when starting, last when stopping."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        vcenter = machines.session(context.world, args.system, args.site)
        tiers = machines.tiers(context.world, args.system, args.site, args.tier)
        names = [name for tier in tiers for name in tier]
        before = await machines.look(vcenter, names)
        missing = [name for name, vm in before.items() if vm is None]
        if missing:
            raise StepFailed(f"the vCenter has no VM {', '.join(missing)}; restore it or correct the inventory")
        changed = [name for name, vm in before.items() if vm is not None and vm.power != args.state]
        for tier in tiers if args.state == "on" else reversed(tiers):
            await _power(vcenter, [name for name in tier if name in changed], args.state, deadline, context)
        await _seen(vcenter, names, args.state, deadline, context)
        unsure = context.attempt > 1 and len(changed) < len(names)  # an attempt before may have changed the others
        return Done({"changed": NOT_KNOWN if unsure else ", ".join(changed), "count": len(names)})

    async def probe(self, args: VmPowerArgs, context: Context) -> Seen:
        """Ask vCenter for every machine. Which of them the step changed is no longer known then."""
        tiers = machines.tiers(context.world, args.system, args.site, args.tier)
        names = [name for tier in tiers for name in tier]
        try:
            found = await machines.look(machines.session(context.world, args.system, args.site), names)
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        lacking = _lacking(found, args.state)
        if lacking:
            return Seen(Holds.NO, lacking)
        return Seen(Holds.YES, f"{', '.join(names)}: {args.state}", {"changed": NOT_KNOWN, "count": len(names)})

    async def undo(self, args: VmPowerArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Put back the machines that were changed. Raises StepFailed when it is not known which."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        vcenter = machines.session(context.world, args.system, args.site)
        changed = str(outputs.get("changed", NOT_KNOWN))
        back: State = "off" if args.state == "on" else "on"
        if changed == NOT_KNOWN:
            tiers = machines.tiers(context.world, args.system, args.site, args.tier)
            raise StepFailed(
                f"it is not known which of {', '.join(name for tier in tiers for name in tier)} this step itself has "
                f"powered {args.state}; power {back} by hand those that should be"
            )
        names = [name for name in changed.split(", ") if name]
        await _power(vcenter, names, back, deadline, context)
        await _seen(vcenter, names, back, deadline, context)
        return Done()


async def _power(
    vcenter: VcenterSession, names: Sequence[str], state: State, deadline: Deadline, context: Context
) -> None:
    for name in names:
        context.say(f"power {state} {name}")
    await together(*(vcenter.power(name, state == "on", deadline.left()) for name in names))


async def _seen(
    vcenter: VcenterSession, names: Sequence[str], state: State, deadline: Deadline, context: Context
) -> None:
    await until(
        lambda: machines.look(vcenter, names), lambda found: _lacking(found, state), deadline, context.say, every_s=1
    )


def _lacking(found: Mapping[str, Vm | None], state: State) -> str:
    """Say which machines are not so. One that is "on" at a host that is gone does not run."""
    wrong = []
    for name, vm in found.items():
        if vm is None:
            wrong.append(f"{name} does not exist")
        elif vm.power != state:
            wrong.append(f"{name} is {vm.power}")
        elif state == "on" and vm.connection not in {"", "connected"}:
            wrong.append(f"{name} is on, but {vm.connection}")
    return ", ".join(wrong)

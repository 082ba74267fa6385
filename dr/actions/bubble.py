"""A drill's bubble: clones of a system's machines on a network without a way out, and their removal.

A clone comes into being with its original's networks. **No clone is powered on before every network card of it has been
read back on the vCenter's ``bubble_network`` and on nothing else**; what the clones run on is read again afterwards,
and one that should ever be found running elsewhere is powered off at once and fails the drill.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dr.action import PROBE_LIMIT_S, Context, Done, Effect, Holds, Lasting, Output, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import machines
from dr.estate.waiting import Deadline, together, until
from monitor.clients.vsphere import VcenterSession, Wiring
from monitor.errors import NotFound, Refused, TargetError

PRESENT, ABSENT = "present", "absent"


class BubbleArgs(StepArgs):
    """Nothing beside system and site."""


class BubbleCreate:
    """Clones carry the run in their names, so that after a crash the same ones are found again, never made twice.

    Each of the three things done to a clone (made, plugged into the bubble, powered on) is looked for first, so that
    whatever an earlier attempt left half-way is carried on from there.
    """

    name: ClassVar[str] = "bubble_create"
    summary: ClassVar[str] = "clone the system's machines at the site and start the clones, on the bubble network alone"
    outputs: ClassVar[tuple[str, ...]] = ("vms", "count", "network")
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S
    Args: ClassVar[type[StepArgs]] = BubbleArgs

    def effects(self, args: BubbleArgs) -> tuple[Effect, ...]:
        """Declare the bubble."""
        return (Effect(f"system/{args.system}/{args.site}", "bubble", PRESENT),)

    async def run(self, args: BubbleArgs, context: Context) -> Done:
        """Clone what is not there yet, plug it into the bubble, power it on. An unknown outcome is not sent again.

        Raises StepFailed when the bubble network has production on it or a clone runs outside of it, and Refused when
        a clone is not read back on it: that one has then stayed off.
        """
        deadline = Deadline(context.world.clock, context.timeout_s)
        vcenter = machines.session(context.world, args.system, args.site)
        network = machines.bubble_network(context.world, args.system, args.site)
        pairs = machines.clone_names(context.world, args.system, args.site, context.run_id)
        names = [clone for _, clone in pairs]
        await _without_production(args, context)
        found = await vcenter.wirings(names)
        await _none_outside(vcenter, found, network, deadline)

        async def one(source: str, clone: str) -> None:
            if found[clone] is None:
                await _clone(vcenter, source, clone, deadline, context)
            wiring = await vcenter.plug(clone, network, deadline.left())
            if wiring.power != "on":
                cards = ", ".join(nic.label for nic in wiring.nics)
                context.say(f"{clone}: {cards} read back on network '{network}' and no other; power on")
                await vcenter.power(clone, on=True, timeout_s=deadline.left())

        await together(*(one(source, clone) for source, clone in pairs))
        await _none_outside(vcenter, await vcenter.wirings(names), network, deadline)
        seen = await until(lambda: vcenter.wirings(names), _not_all_on, deadline, context.say, every_s=1)
        await _none_outside(vcenter, seen, network, deadline)
        return Done(_outputs(names, network))

    async def probe(self, args: BubbleArgs, context: Context) -> Seen:
        """Look for the clones by name, whether they are on, and what their network cards are plugged into."""
        names = [clone for _, clone in machines.clone_names(context.world, args.system, args.site, context.run_id)]
        network = machines.bubble_network(context.world, args.system, args.site)
        vcenter = machines.session(context.world, args.system, args.site)
        try:
            await vcenter.on_network(network)
            found = await vcenter.wirings(names)
        except NotFound as error:
            return Seen(Holds.NO, str(error))
        except TargetError as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        lack = "; ".join(filter(None, (_not_all_on(found), _outside_in_words(found, network))))
        if lack:
            return Seen(Holds.NO, lack)
        evidence = f"{len(names)} clones are on, every network card read back on '{network}' and no other network"
        return Seen(Holds.YES, evidence, _outputs(names, network))

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


async def _clone(vcenter: VcenterSession, source: str, clone: str, deadline: Deadline, context: Context) -> None:
    context.say(f"clone {source} to {clone}")
    try:
        await vcenter.clone(source, clone, deadline.left())
    except Refused:
        if await vcenter.vm(clone) is None:
            raise
        context.say(f"{clone} has come from an earlier attempt meanwhile")


async def _without_production(args: BubbleArgs, context: Context) -> None:
    """Make sure that no production VM is on the bubble network, which then would be none. Raises StepFailed."""
    network = machines.bubble_network(context.world, args.system, args.site)
    there = await machines.session(context.world, args.system, args.site).on_network(network)
    production = sorted(machines.production_names(context.world, args.system, args.site).intersection(there))
    if production:
        raise StepFailed(
            f"network '{network}' is no bubble, production is on it: {', '.join(production)}; nothing was cloned. "
            "Let the vCenter's bubble_network name a port group that leads nowhere and has no machine of production"
        )
    context.say(f"network '{network}' has no machine of production on it")


async def _none_outside(
    vcenter: VcenterSession, found: Mapping[str, Wiring | None], network: str, deadline: Deadline
) -> None:
    """Power off at once every clone that runs and is not on the bubble network alone. Raises StepFailed for any."""
    outside = _outside(found, network)
    if not outside:
        return
    seen = _outside_in_words(found, network)
    try:
        await together(*(vcenter.power(name, on=False, timeout_s=deadline.left()) for name in outside))
    except TargetError as error:
        raise StepFailed(f"{seen}. Power off by hand, now: the vCenter did not obey ({error})") from error
    raise StepFailed(f"{seen}. Powered off at once; find out who powered on, and what it did to production")


def _outside(found: Mapping[str, Wiring | None], network: str) -> dict[str, str]:
    return {
        name: astray
        for name, wiring in found.items()
        if wiring is not None and wiring.power != "off" and (astray := wiring.astray(network))
    }


def _outside_in_words(found: Mapping[str, Wiring | None], network: str) -> str:
    outside = "; ".join(f"{name}: {astray}" for name, astray in _outside(found, network).items())
    return f"a clone is powered on outside of the bubble network '{network}': {outside}" if outside else ""


def _outputs(names: list[str], network: str) -> dict[str, Output]:
    return {"vms": ", ".join(names), "count": len(names), "network": network}


def _not_all_on(found: Mapping[str, Wiring | None]) -> str:
    wrong = [
        f"{name} {'does not exist' if wiring is None else 'is ' + wiring.power}"
        for name, wiring in found.items()
        if wiring is None or wiring.power != "on"
    ]
    return ", ".join(wrong)

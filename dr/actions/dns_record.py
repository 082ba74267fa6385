"""Point the service's name at a site's front, on every DNS server of its list (RFC 2136)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dr.action import PROBE_LIMIT_S, Context, Done, Effect, Holds, Output, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate import front
from dr.estate.waiting import ASK_LIMIT_S, Deadline, together
from monitor.clients import dns
from monitor.errors import TargetError

BEFORE_LIMIT_S = 1.0  # only for undo; not worth more of an interruption


class DnsRecordArgs(StepArgs):
    """Nothing beside system and site."""


class DnsRecord:
    """One server that has taken the update and gives it back is enough.

    Else a dead site could block its own replacement. Which servers were missed is said.
    """

    name: ClassVar[str] = "dns_record"
    summary: ClassVar[str] = "point the service's name at the site's front"
    outputs: ClassVar[tuple[str, ...]] = ("address", "before", "updated", "missed")
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S
    Args: ClassVar[type[StepArgs]] = DnsRecordArgs

    def effects(self, args: DnsRecordArgs) -> tuple[Effect, ...]:
        """Declare where the traffic goes."""
        return (Effect(f"system/{args.system}/{args.site}", "traffic", args.site),)

    async def run(self, args: DnsRecordArgs, context: Context) -> Done:
        """Update all servers side by side. Raises a TargetError when none took it."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        found = await front.answers(context.world, args.system, deadline.left(BEFORE_LIMIT_S))
        before = {answer.addresses[0] for answer in found if answer.addresses}
        address = context.world.deployment(args.system, args.site).front.address
        silent = frozenset(answer.server for answer in found if not answer.addresses)
        updated, missed = await _point(args.system, address, context, deadline, silent)
        pointed = before.pop() if len(before) == 1 else ""
        return Done(
            {
                "address": address,
                "before": ""
                if context.attempt > 1 and pointed == address
                else pointed,  # by an attempt before, it may be
                "updated": ", ".join(updated),
                "missed": ", ".join(missed),
            }
        )

    async def probe(self, args: DnsRecordArgs, context: Context) -> Seen:
        """Read it back from every server that answers."""
        wanted = context.world.deployment(args.system, args.site).front.address
        answers = await front.answers(context.world, args.system, context.timeout_s / 2)
        evidence = "; ".join(str(answer) for answer in answers)
        said = {answer.addresses for answer in answers if answer.addresses}
        if not said:
            return Seen(Holds.CANNOT_TELL, f"no name server answers: {evidence}")
        if said != {(wanted,)}:
            return Seen(Holds.NO, evidence)
        updated = ", ".join(answer.server for answer in answers if answer.addresses)
        missed = ", ".join(answer.server for answer in answers if not answer.addresses)
        return Seen(Holds.YES, evidence, {"address": wanted, "before": "", "updated": updated, "missed": missed})

    async def undo(self, args: DnsRecordArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Point the name back to where it pointed, and read it back. Raises StepFailed when that is not known."""
        before = str(outputs.get("before", ""))
        if not before:
            raise StepFailed("it is not known where the name pointed before; set it by hand")
        deadline = Deadline(context.world.clock, context.timeout_s)
        await _point(args.system, before, context, deadline)
        found = await front.answers(context.world, args.system, deadline.left(ASK_LIMIT_S))
        wrong = [answer for answer in found if answer.addresses != (before,)]
        if wrong:
            told = "; ".join(map(str, wrong))
            raise StepFailed(
                f"the name is to point to {before} again, and this is said of it: {told}", retry_helps=True
            )
        return Done()


async def _point(
    system: str, address: str, context: Context, deadline: Deadline, silent: frozenset[str] = frozenset()
) -> tuple[list[str], list[str]]:
    """Return the servers that took the update and those that did not.

    ``silent`` did not answer just now. Where others did they are not waited for as long: a lost site's name server
    would hold up the service's return by the whole limit.
    """
    world, service = context.world, context.world.system(system).service
    others = silent < frozenset(service.dns)

    errors: list[TargetError] = []

    async def one(key: str) -> bool:
        server = world.inventory.dns_servers[key]
        secret = world.credentials.secret(server.tsig_credential)
        try:
            await dns.replace_a(
                server.address,
                server.port,
                service.zone,
                service.fqdn,
                address,
                service.ttl_s,
                server.tsig_name,
                secret,
                deadline.left(front.NAME_LIMIT_S if others and key in silent else ASK_LIMIT_S),
            )
        except TargetError as error:
            context.say(f"{key}: {error}")
            errors.append(error)
            return False
        context.say(f"{key}: {service.fqdn} now points to {address}")
        return True

    taken = dict(zip(service.dns, await together(*(one(key) for key in service.dns)), strict=True))
    if not any(taken.values()):
        raise next((error for error in errors if not error.outcome_known), errors[0])
    return [key for key, took in taken.items() if took], [key for key, took in taken.items() if not took]

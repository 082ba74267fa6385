"""See a system answer: at a site's front, in a drill's bubble, or by the name and the way that its clients take."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dr.action import Context, Done, Reading, StepArgs
from dr.estate import front
from dr.estate.front import Answer, Health
from dr.estate.waiting import ASK_LIMIT_S, Deadline, until
from monitor.errors import Unreachable


class HttpCheckArgs(StepArgs):
    """What to ask and for how long. ``service``: resolve the service's name at its DNS servers and ask there."""

    where: Literal["front", "bubble", "service"]
    expect_role: Literal["active", "standby"] | None = None
    within_s: Annotated[float, Field(ge=0, le=3600)] = 0


class HttpCheck(Reading):
    """The front must say that it is the right system, at the right site, in the right role.

    For ``service`` every name server that answers must lead there: one that still points elsewhere sends a part of the
    clients to the wrong side.
    """

    name: ClassVar[str] = "http_check"
    summary: ClassVar[str] = "see the system answer over HTTPS, if need be wait until it does"
    outputs: ClassVar[tuple[str, ...]] = ("role", "position", "epoch", "address", "missed", "answered_at")
    Args: ClassVar[type[StepArgs]] = HttpCheckArgs

    async def run(self, args: HttpCheckArgs, context: Context) -> Done:
        """Ask until it is so. Raises StepFailed with what was seen last."""
        world = context.world
        deadline = Deadline(world.clock, context.timeout_s).within(args.within_s)

        async def ask() -> tuple[Health, list[Answer]]:
            limit_s = deadline.left(ASK_LIMIT_S) if not deadline.over else min(ASK_LIMIT_S, context.timeout_s)
            if args.where != "service":
                bubble = args.where == "bubble"
                return await front.health(world, args.system, args.site, limit_s, bubble=bubble), []
            answers = await front.answers(world, args.system, limit_s)
            return await front.service_health(world, args.system, _address(answers), limit_s), answers

        (health, answers) = await until(ask, lambda seen: _lacks(args, seen[0]), deadline, context.say)
        missed = ", ".join(answer.server for answer in answers if answer.problem)
        address = next((answer.addresses[0] for answer in answers if answer.addresses), "")
        context.say(f"{health.system} answers from {health.site} as {health.role}, position {health.position}")
        return Done(
            {
                "role": health.role,
                "position": health.position,
                "epoch": health.epoch,
                "address": address or world.deployment(args.system, args.site).front.address,
                "missed": missed,
                "answered_at": world.clock.now(),
            }
        )


def _address(answers: list[Answer]) -> str:
    """Return the one address that all name servers give that answer. Raises Unreachable."""
    said = {address for answer in answers for address in answer.addresses}
    if len(said) == 1:
        return said.pop()
    seen = "; ".join(str(answer) for answer in answers)
    raise Unreachable(f"the name servers do not agree on one address: {seen}" if said else f"no address: {seen}")


def _lacks(args: HttpCheckArgs, health: Health) -> str:
    if health.system != args.system:
        return f"system '{health.system}' answers where {args.system} should"
    if health.site != args.site:
        return f"{args.system} answers from {health.site}, not from {args.site}"
    if args.expect_role is not None and health.role != args.expect_role:
        return f"{args.system} at {health.site} says it is {health.role}, not {args.expect_role}"
    return ""

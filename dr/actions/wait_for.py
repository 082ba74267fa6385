"""Wait until something outside the system is so: a page answers, a port takes connections, a subject has a status."""

from __future__ import annotations

import asyncio
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dr.action import Context, Done, Reading, StepArgs
from dr.estate.waiting import ASK_LIMIT_S, Deadline, until
from monitor.errors import Unreachable


class WaitForArgs(StepArgs):
    """Exactly one of ``url`` (answers with ``status``), ``tcp`` (``host:port``) and ``subject`` (is ``health``)."""

    url: str = ""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    tcp: Annotated[str, Field(pattern=r"^$|^\S+:\d{1,5}$")] = ""
    subject: str = ""
    health: Literal["ok", "degraded", "down", "unknown"] = "ok"
    within_s: Annotated[float, Field(ge=0, le=24 * 3600)] = 300

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(map(bool, (self.url, self.tcp, self.subject))) != 1:
            raise ValueError("name exactly one of url, tcp and subject")
        return self


class WaitFor(Reading):
    """Asks until it is so; what was seen last is the reason when the time is over."""

    name: ClassVar[str] = "wait_for"
    summary: ClassVar[str] = "wait until a page answers, a port takes connections, or a subject has a status"
    outputs: ClassVar[tuple[str, ...]] = ("seen",)
    Args: ClassVar[type[StepArgs]] = WaitForArgs

    async def run(self, args: WaitForArgs, context: Context) -> Done:
        """Ask until it is so. Raises StepFailed."""
        deadline = Deadline(context.world.clock, context.timeout_s).within(args.within_s)

        async def ask() -> tuple[str, str]:
            limit_s = min(ASK_LIMIT_S, context.timeout_s) if deadline.over else deadline.left(ASK_LIMIT_S)
            return await _look(args, context, limit_s)

        seen, _ = await until(ask, lambda answer: answer[1], deadline, context.say)
        context.say(seen)
        return Done({"seen": seen})


async def _look(args: WaitForArgs, context: Context, limit_s: float) -> tuple[str, str]:
    """Return what was seen, and what it lacks. Raises TargetError."""
    if args.url:
        reply = await context.world.http.request("GET", args.url, timeout_s=limit_s)
        seen = f"{args.url} answers {reply.status}"
        return seen, "" if reply.status == args.status else f"{seen}, not {args.status}"
    if args.tcp:
        await _connect(args.tcp, limit_s)
        return f"{args.tcp} takes connections", ""
    health = context.world.health(args.subject)
    seen = f"{args.subject} is {health}"
    return seen, "" if health == args.health else f"{seen}, not {args.health}"


async def _connect(address: str, limit_s: float) -> None:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(limit_s):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError as error:
        raise Unreachable(f"{address} does not take a connection in time") from error
    except OSError as error:
        raise Unreachable(f"{address} takes no connection: {error.strerror or error}") from error
    writer.close()
    await writer.wait_closed()

"""Put a notice on the declarants' portal ("clearance is moving to the other data centre"), and take it back.

The portal's interface is the simplest there could be: the notice's address takes PUT and DELETE and answers GET with
``{"text": "…"}`` (an empty text: there is no notice). Each change carries the run's fencing token, so that the portal
can refuse what an orchestrator sends that has been replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from dr.action import PROBE_LIMIT_S, Context, Done, Effect, Holds, Output, Seen, StepArgs
from dr.errors import StepFailed
from monitor.errors import TargetError

OK, LAST_OK = 200, 299


class NoticeArgs(StepArgs):
    """Every argument has a description, which ``karaula actions`` and editors show. A secret is a reference."""

    url: Annotated[str, Field(pattern="^https?://", description="the notice's address")]
    text: Annotated[str, Field(min_length=1, max_length=500, description="what declarants are to read")]
    token: Annotated[str, Field(description="the credential with the portal's bearer token; empty: none is sent")] = ""


class PortalNotice:
    """Not a Reading (it changes something) and not a Lasting (it can be undone), so it says everything itself."""

    name: ClassVar[str] = "portal_notice"
    summary: ClassVar[str] = "put a notice on the declarants' portal"
    outputs: ClassVar[tuple[str, ...]] = ("before",)
    Args: ClassVar[type[StepArgs]] = NoticeArgs
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S

    def effects(self, args: NoticeArgs) -> tuple[Effect, ...]:
        """Declare what is true afterwards: what guards, plans and ``karaula prove`` go by. Only from ``args``."""
        return (Effect(f"notice/{urlsplit(args.url).hostname}", "text", args.text),)

    async def run(self, args: NoticeArgs, context: Context) -> Done:
        """Do it once. A TargetError tells the engine whether anything can have happened; it then probes by itself."""
        before = await self._text(args, context)
        await self._ask("PUT", args, context, {"text": args.text})
        context.say(f"{args.url} now says: {args.text}")
        return Done({"before": before})

    async def probe(self, args: NoticeArgs, context: Context) -> Seen:
        """Ask the world, and change nothing. What cannot be told is CANNOT_TELL: then a person decides."""
        try:
            text = await self._text(args, context)
        except (TargetError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))
        holds = Holds.YES if text == args.text else Holds.NO
        return Seen(holds, f"{args.url} says: {text or 'nothing'}", {"before": ""} if holds is Holds.YES else {})

    async def undo(self, args: NoticeArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Take back what ``run`` did, and see that it is gone: ``outputs`` are what it returned."""
        before = str(outputs.get("before", ""))
        if before:
            await self._ask("PUT", args, context, {"text": before})
        else:
            await self._ask("DELETE", args, context)
        if (now := await self._text(args, context)) != before:
            raise StepFailed(f"the notice was taken back, but {args.url} says: {now}")
        return Done()

    async def _text(self, args: NoticeArgs, context: Context) -> str:
        body = await self._ask("GET", args, context)
        try:
            return str(json.loads(body)["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise StepFailed(f"{args.url} answered what is no notice") from error

    async def _ask(self, method: str, args: NoticeArgs, context: Context, body: object = None) -> bytes:
        """Ask by the daemon's own client: it has a deadline, trusts the estate's CA and follows no redirect."""
        headers = {"X-Karaula-Epoch": str(context.token), "Idempotency-Key": context.key}
        if args.token:
            headers["Authorization"] = f"Bearer {context.world.credentials.secret(args.token).reveal()}"
        reply = await context.world.http.request(
            method, args.url, timeout_s=context.timeout_s, json=body, headers=headers
        )
        if not OK <= reply.status <= LAST_OK:
            raise StepFailed(f"{method} {args.url} was answered with status {reply.status}")
        return reply.body

"""Call an interface over HTTP that changes something: a load balancer, a ticket system, a portal's maintenance page."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from dr.action import HELD_BEFORE, PROBE_LIMIT_S, Context, Done, Effect, Holds, Output, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate.waiting import Deadline
from monitor.clients.http import HttpReply
from monitor.credential import REFERENCE, Secret
from monitor.errors import CredentialError, SessionLost, TargetError

FIRST_CHARS = 500
REFUSED = range(400, 500)  # RFC 9110, section 15.5: the server says that it did not do what was asked
SERVER_ERROR = 500
NOT_LET_IN = frozenset({401, 403, 407, 429})

Url = Annotated[str, Field(max_length=2000)]
Method = Literal["POST", "PUT", "PATCH", "DELETE"]
Status = Annotated[int, Field(ge=100, le=599)]


class HttpCallArgs(StepArgs):
    """The call, which sends ``body`` as JSON; what tells whether its effect holds; and the call that takes it back.

    The page ``check_url`` answers with ``check_status``, and holds the text ``check_contains``, when and only when the
    effect holds. It is not optional: after a crash or a lost answer there is no other way to tell what became of the
    call. ``credential`` names a secret, sent as a bearer token (RFC 6750), or with ``user`` as a password (RFC 7617);
    it goes to https URLs and to this machine only.
    """

    url: Url
    method: Method = "POST"
    body: dict[str, Any] | None = None
    expect_status: Annotated[tuple[Status, ...], Field(min_length=1)] = (200, 201, 202, 204)
    check_url: Url
    check_status: Status = 200
    check_contains: Annotated[str, Field(max_length=500)] = ""
    undo_url: Annotated[str, Field(max_length=2000)] = ""
    undo_method: Method = "DELETE"
    undo_body: dict[str, Any] | None = None
    credential: Annotated[str, Field(pattern=rf"^(?:{REFERENCE.pattern})?$")] = ""
    user: Annotated[str, Field(max_length=100)] = ""

    @field_validator("url", "check_url", "undo_url")
    @classmethod
    def _usable(cls, url: str) -> str:
        return usable(url) if url else url

    @model_validator(mode="after")
    def _secret_stays_secret(self) -> Self:
        if not (self.url and self.check_url):
            raise ValueError("url and check_url must not be empty")
        if self.user and not self.credential:
            raise ValueError("a user without a credential; name its secret")
        urls = (self.url, self.check_url, self.undo_url) if self.credential else ()
        bare = [url for url in urls if urlsplit(url).scheme == "http" and not _here(url)]
        if bare:
            raise ValueError(f"the credential would be sent in clear text to {bare[0]}; use https")
        return self

    @property
    def can_be_undone(self) -> bool:
        """Tell whether the step says how."""
        return bool(self.undo_url)


class HttpCall:
    """Sent at most once an attempt, and not at all when the check finds that its effect holds already.

    Every call carries ``Idempotency-Key``, the same for each attempt of the step, and ``Karaula-Epoch``, the fencing
    token, for servers that heed them.
    """

    name: ClassVar[str] = "http_call"
    summary: ClassVar[str] = "call an interface over HTTP that changes something, and see that it did"
    outputs: ClassVar[tuple[str, ...]] = ("status", "body", HELD_BEFORE)
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S
    Args: ClassVar[type[StepArgs]] = HttpCallArgs

    def effects(self, args: HttpCallArgs) -> tuple[Effect, ...]:
        """Declare that the call was made; what that means only the page of ``check_url`` knows."""
        return (Effect(f"page/{args.check_url}", "call", f"{args.method} {args.url}"),)

    async def run(self, args: HttpCallArgs, context: Context) -> Done:
        """Call, and look that it holds. Raises StepFailed when the server refuses, or when the effect is not there."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        if (before := await _look(args, context, deadline.left(PROBE_LIMIT_S))).holds is Holds.YES:
            context.say(f"already so, nothing is sent: {before.evidence}")
            return Done({**before.outputs, HELD_BEFORE: context.attempt == 1})
        outputs = await _send(args, _Call(args.method, args.url, args.body), context, deadline)
        after = await _look(args, context, deadline.left(PROBE_LIMIT_S))
        if after.holds is Holds.CANNOT_TELL:
            raise SessionLost(f"{args.url} was called, and what came of it is not known: {after.evidence}")
        if after.holds is Holds.NO:
            raise StepFailed(f"{args.url} answered {outputs['status']}, but {after.evidence}")
        return Done(outputs)

    async def probe(self, args: HttpCallArgs, context: Context) -> Seen:
        """Ask the page of ``check_url``."""
        return await _look(args, context, context.timeout_s)

    async def undo(self, args: HttpCallArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Make the call of ``undo_url``, and see that the effect is gone. What was so before the step is left."""
        if outputs.get(HELD_BEFORE) is True:
            context.say("it was so before the step, and is left")
            return Done()
        deadline = Deadline(context.world.clock, context.timeout_s)
        if (await _look(args, context, deadline.left(PROBE_LIMIT_S))).holds is Holds.NO:
            return Done()
        await _send(args, _Call(args.undo_method, args.undo_url, args.undo_body), context, deadline)
        after = await _look(args, context, deadline.left(PROBE_LIMIT_S))
        if after.holds is not Holds.NO:
            raise StepFailed(f"{args.undo_url} was called, but it is not taken back: {after.evidence}")
        return Done()


def usable(url: str) -> str:
    """Return ``url`` when it can be asked. Raises ValueError."""
    try:
        parts = urlsplit(url)
        usable_port = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"'{url}' is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not usable_port:
        raise ValueError(f"'{url}' is no http or https URL")
    if parts.username or parts.password:
        raise ValueError("a URL must not hold a user or password; name them by user and credential")
    return url


def _here(url: str) -> bool:
    """Tell whether the URL is this machine's by its loopback address."""
    try:
        return ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return False


def _secrets(args: HttpCallArgs, context: Context) -> tuple[dict[str, str], tuple[str, Secret] | None]:
    """Return the headers, and the user with password, by which the server lets us in. Raises CredentialError."""
    if not args.credential:
        return {}, None
    secret = context.world.credentials.secret(args.credential)
    return ({}, (args.user, secret)) if args.user else ({"Authorization": f"Bearer {secret.reveal()}"}, None)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request that changes something."""

    method: str
    url: str
    body: Mapping[str, Any] | None


async def _send(args: HttpCallArgs, call: _Call, context: Context, deadline: Deadline) -> dict[str, Output]:
    """Call once. Raises StepFailed when the server refuses it, SessionLost when it may have been done nevertheless."""
    try:
        headers, auth = _secrets(args, context)
    except CredentialError as error:
        raise StepFailed(str(error)) from error
    headers |= {"Idempotency-Key": context.key, "Karaula-Epoch": str(context.token)}
    reply = await context.world.http.request(
        call.method, call.url, timeout_s=deadline.left(), json=call.body, auth=auth, headers=headers
    )
    context.say(f"{call.method} {call.url} answers {reply.status}")
    body = _text(reply)
    if reply.status in REFUSED and reply.status not in args.expect_status:
        raise StepFailed(f"{call.url} refuses with status {reply.status}: {body}")
    if reply.status not in args.expect_status:
        raise SessionLost(f"{call.url} answers {reply.status}: whether it was done is not known; {body}")
    return {"status": reply.status, "body": body, HELD_BEFORE: False}


async def _look(args: HttpCallArgs, context: Context, timeout_s: float) -> Seen:
    """Say whether the effect holds; nothing is changed by it."""
    try:
        headers, auth = _secrets(args, context)
        reply = await context.world.http.request("GET", args.check_url, timeout_s=timeout_s, auth=auth, headers=headers)
    except (TargetError, CredentialError) as error:
        return Seen(Holds.CANNOT_TELL, str(error))
    evidence = f"{args.check_url} answers {reply.status}"
    if reply.status != args.check_status:
        unclear = reply.status >= SERVER_ERROR or reply.status in NOT_LET_IN
        return Seen(Holds.CANNOT_TELL if unclear else Holds.NO, f"{evidence}, not {args.check_status}")
    if args.check_contains not in reply.body.decode("utf-8", "replace"):
        return Seen(Holds.NO, f"{evidence} without '{args.check_contains}'")
    return Seen(Holds.YES, evidence, {"status": reply.status, "body": _text(reply), HELD_BEFORE: False})


def _text(reply: HttpReply) -> str:
    """Return the beginning of a reply as one printable line."""
    text = " ".join(reply.body[: 4 * FIRST_CHARS].decode("utf-8", "replace").split())
    return "".join(letter for letter in text if letter.isprintable())[:FIRST_CHARS]

"""Which VMs of a vCenter bear the tags that rules name: read beside the polls, over its REST API.

One session, used for every reading and ended at the close; each reading has one deadline. What was read stays when a
reading fails, with the reason: a tag service that is silent has taken no tag off. Source: vSphere Automation API 8.0,
``cis/session``, ``cis/tagging/category``, ``tag`` and ``tag-association`` (below ``/api`` since 7.0 U2), and the same
below ``/rest/com/vmware`` of older ones, where an answer is wrapped in ``value``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, SessionLost, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from monitor.clock import Clock
    from monitor.credential import Secret

log = logging.getLogger(__name__)

READING_S = 30.0  # one reading of all tags that are wanted
AFTER_REFUSAL_S = 300.0  # a vCenter locks an account after five refused log-ins within three minutes
FIRST_WITH_API = (7, 0, 2)
SESSION = "vmware-api-session-id"
T = TypeVar("T")


class Tag(NamedTuple):
    """A tag by its category's name and its own; a vCenter has no two categories, nor a category two tags, of a name."""

    category: str
    name: str

    def __str__(self) -> str:
        """Name it as users see it."""
        return f"'{self.name}' of category '{self.category}'"


@dataclass(frozen=True, slots=True)
class Tagged:
    """Which VMs (MoRefs) bore a tag ``at`` a time (Unix seconds), both None before it was read once.

    ``trouble`` is why the newest reading of it failed, empty when it did not.
    """

    vms: frozenset[str] | None
    at: float | None
    trouble: str


class Reply(Protocol):
    """What is needed of an HTTP answer."""

    @property
    def status(self) -> int: ...  # noqa: D102 - as in clients/http.py
    @property
    def body(self) -> bytes: ...  # noqa: D102 - as in clients/http.py


class Http(Protocol):
    """What is needed of ``clients/http.py``; clients do not know one another."""

    async def request(  # noqa: D102 - as in clients/http.py
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        json: object | None = None,
        auth: tuple[str, Secret] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply: ...


class TagFollower:
    """Reads tags every ``interval_s``; ``tagged`` is what is known. Nothing is asked before ``begin_when_due``."""

    def __init__(
        self,
        http: Http,
        place: tuple[str, int],
        login: tuple[str, Secret],
        tags: Iterable[Tag],
        *,
        interval_s: float,
        clock: Clock,
    ) -> None:
        """Prepare to read ``tags`` of the vCenter at ``place`` (address, port) under ``login`` (user, password)."""
        self._service = _Service(http, place, login, clock)
        self._interval_s = interval_s
        self._clock = clock
        self._due = clock.monotonic()
        self._reading: asyncio.Task[None] | None = None
        self.tagged: Mapping[Tag, Tagged] = {tag: Tagged(None, None, "they are not read yet") for tag in tags}

    def begin_when_due(self, api_version: str) -> None:
        """Begin a reading in the background; never two at once. ``api_version`` is what the vCenter calls its own."""
        now = self._clock.monotonic()
        if now < self._due or (self._reading is not None and not self._reading.done()):
            return
        self._due = now + self._interval_s
        self._service.speak(api_version)
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def settled(self, timeout_s: float) -> None:
        """Wait for the reading that runs, if any, at most ``timeout_s``."""
        if self._reading is not None and timeout_s > 0:
            await asyncio.wait({self._reading}, timeout=timeout_s)

    async def close(self, timeout_s: float) -> None:
        """Break off what runs and end the session as far as the vCenter lets us within ``timeout_s``."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading}, timeout=timeout_s)
        await self._service.log_out(timeout_s)

    async def _read(self) -> None:
        expires = self._clock.monotonic() + READING_S
        found: dict[Tag, frozenset[str] | str] = {}
        try:
            found = await self._service.bearers(tuple(self.tagged), expires)
        except Refused as error:
            self._due = max(self._due, self._clock.monotonic() + AFTER_REFUSAL_S)
            found = dict.fromkeys(self.tagged, f"{error}; asked again in {AFTER_REFUSAL_S / 60:g} min")
        except TargetError as error:
            found = dict.fromkeys(self.tagged, str(error))
        except Exception as error:  # the border of a task that nobody awaits: the next reading is made all the same
            log.exception("a reading of the tags of %s failed", self._service)
            found = dict.fromkeys(self.tagged, f"the reading itself failed: {type(error).__name__}")
        now = self._clock.now()
        self.tagged = {
            tag: replace(old, trouble=new) if isinstance(new, str) else Tagged(new, now, "")
            for tag, old in self.tagged.items()
            for new in (found[tag],)
        }


class _Service:
    """The wire: log-in, categories, tags and what bears them. Raises TargetError leaves."""

    def __init__(self, http: Http, place: tuple[str, int], login: tuple[str, Secret], clock: Clock) -> None:
        self._http = http
        address, port = place
        self._root = f"https://{f'[{address}]' if ':' in address else address}:{port}"
        self._name = f"the tag service of vCenter {address}:{port}"
        self._login = login
        self._clock = clock
        self._modern = True
        self._session: str | None = None
        self._ids: dict[Tag, tuple[str, str]] = {}  # of category and tag, as last found

    def __str__(self) -> str:
        return self._name

    def speak(self, api_version: str) -> None:
        """Choose the newest paths that a vCenter of ``api_version`` (``8.0.1.0``) has."""
        numbers = tuple(int(part) for part in api_version.split(".") if part.isdecimal())
        modern = numbers >= FIRST_WITH_API
        if modern != self._modern:
            self._modern, self._session = modern, None

    async def bearers(self, tags: Iterable[Tag], expires: float) -> dict[Tag, frozenset[str] | str]:
        """Return the VMs that bear each tag, or why that is not known of one. Logs in when that is needed."""
        fresh = self._session is None
        if fresh:
            await self._log_in(expires)
        try:
            return await self._bearers(tags, expires)
        except SessionLost:
            if fresh:
                raise
        await self._log_in(expires)
        return await self._bearers(tags, expires)

    async def log_out(self, timeout_s: float) -> None:
        """End the session; one that is already gone is no error, and one that cannot be ended runs out there."""
        if self._session is not None:
            with contextlib.suppress(TargetError):
                await self._ask("DELETE", "session", self._clock.monotonic() + timeout_s)
            self._session = None

    async def _log_in(self, expires: float) -> None:
        self._session = None
        reply = await self._http.request("POST", self._url("session"), timeout_s=self._left(expires), auth=self._login)
        if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise Refused(f"{self._name} does not accept user '{self._login[0]}' with this password")
        session = self._value(reply, "log-in")
        if not isinstance(session, str) or not session.isascii() or not session.isprintable():
            raise GarbledReply(f"{self._name} answered the log-in with what is no session")
        self._session = session

    async def _bearers(self, tags: Iterable[Tag], expires: float) -> dict[Tag, frozenset[str] | str]:
        found: dict[Tag, frozenset[str] | str] = {}
        for tag in tags:
            try:
                found[tag] = await self._attached(await self._id_of(tag, expires), expires)
            except NotFound as error:
                self._ids.pop(tag, None)
                found[tag] = str(error)
        return found

    async def _id_of(self, tag: Tag, expires: float) -> str:
        """Return a tag's id. What was found before is asked whether it still bears these names."""
        if tag in self._ids:
            with contextlib.suppress(NotFound):
                category, identity = self._ids[tag]
                names = [
                    await self._named(kind, one, expires) for kind, one in (("category", category), ("tag", identity))
                ]
                if names == list(tag):
                    return identity
        category = await self._find(
            "category", await self._ask("GET", "tagging/category", expires), tag.category, expires
        )
        if not category:
            why = "it is not there, or not for this user to see: tags need a global permission"
            raise NotFound(f"{self._name} shows user '{self._login[0]}' no category '{tag.category}' ({why})")
        below = await self._in_category(category, expires)
        identity = await self._find("tag", below, tag.name, expires)
        if not identity:
            raise NotFound(f"{self._name} shows user '{self._login[0]}' no tag {tag}")
        self._ids[tag] = category, identity
        return identity

    async def _in_category(self, category: str, expires: float) -> Any:
        if self._modern:
            action = "tagging/tag?action=list-tags-for-category"
            return await self._ask("POST", action, expires, {"category_id": category})
        action = f"tagging/tag/id:{quote(category, safe=':')}?~action=list-tags-for-category"
        return await self._ask("POST", action, expires)

    async def _find(self, kind: str, identities: Any, name: str, expires: float) -> str:
        for identity in _texts(identities, self._name):
            with contextlib.suppress(NotFound):  # gone since it was listed
                if await self._named(kind, identity, expires) == name:
                    return identity
        return ""

    async def _named(self, kind: str, identity: str, expires: float) -> str:
        quoted = quote(identity, safe=":")
        found = await self._ask("GET", f"tagging/{kind}/{quoted if self._modern else f'id:{quoted}'}", expires)
        return _made(lambda: str(found["name"]), self._name)

    async def _attached(self, identity: str, expires: float) -> frozenset[str]:
        sign = "" if self._modern else "~"
        action = f"tagging/tag-association?{sign}action=list-attached-objects-on-tags"
        found = await self._ask("POST", action, expires, {"tag_ids": [identity]})

        def vms() -> frozenset[str]:
            objects = [thing for one in found or () if one["tag_id"] == identity for thing in one["object_ids"] or ()]
            return frozenset(str(thing["id"]) for thing in objects if thing["type"] == "VirtualMachine")

        return _made(vms, self._name)

    async def _ask(self, method: str, path: str, expires: float, content: object | None = None) -> Any:
        headers = {SESSION: self._session or ""}
        url, left = self._url(path), self._left(expires)
        reply = await self._http.request(method, url, timeout_s=left, json=content, headers=headers)
        if reply.status == HTTPStatus.UNAUTHORIZED:
            raise SessionLost(f"{self._name} has ended the session")
        return self._value(reply, "request")

    def _value(self, reply: Reply, what: str) -> Any:
        if reply.status == HTTPStatus.FORBIDDEN:
            raise Refused(f"{self._name} does not allow user '{self._login[0]}' this {what}")
        if reply.status == HTTPStatus.NOT_FOUND:
            raise NotFound(f"{self._name} no longer has what this {what} is about, or is not there")
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise GarbledReply(f"{self._name} failed with {reply.status} at a {what}")
        if not reply.body.strip():
            return None
        read: Any = _made(lambda: json.loads(reply.body), self._name)
        return read if self._modern else _made(lambda: read.get("value"), self._name)

    def _url(self, path: str) -> str:
        if not self._modern:
            return f"{self._root}/rest/com/vmware/cis/{path}"
        return f"{self._root}/api/{path if path == 'session' else f'cis/{path}'}"

    def _left(self, expires: float) -> float:
        left = expires - self._clock.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{self._name} did not answer in time")
        return left


def _texts(value: Any, name: str) -> list[str]:
    """Return a list of texts; a vCenter leaves out an empty one."""
    found = value or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise GarbledReply(f"{name} answered what is not a list of its tags")
    return found


def _made(make: Callable[[], T], name: str) -> T:
    """Make something of an answer. Raises GarbledReply when the answer is not what it should be."""
    try:
        return make()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise GarbledReply(f"{name} answered what is not its protocol ({type(error).__name__})") from error

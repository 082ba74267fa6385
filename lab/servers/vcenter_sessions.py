"""Sessions of one vCenter and what belongs to each: views and property collectors.

Source: vSphere Web Services API 8.0, SessionManager, ViewManager. A session ends by Logout, after half an hour without
a call, by the fault ``expire-sessions`` and with the site's power.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from lab.scenario import Estate
from lab.servers.vcenter_collector import Collector
from lab.servers.vcenter_objects import SYSTEM_FIELD, Objects, Properties, gone, is_kind
from lab.servers.vcenter_performance import MANAGER, counters
from lab.servers.vcenter_soap import Many, Ref, Struct, Value, VimFault, stamp
from lab.servers.vcenter_tasks import Tasks

IDLE_S = 1800.0
COOKIE = "vmware_soap_session"
CUSTOM_FIELDS = Ref("CustomFieldsManager", "CustomFieldsManager")
MAIN_COLLECTOR = Ref("PropertyCollector", "propertyCollector")


@dataclass(slots=True)
class View:
    """A container view: everything of ``kinds`` (none: all) below ``container``, or just its children."""

    ref: Ref
    container: Ref
    kinds: tuple[str, ...]
    recursive: bool


class Session:
    """One log-in; everything made in it goes with it."""

    def __init__(self, key: str, user: str, objects: Objects, tasks: Tasks, now: float) -> None:
        self.key = key
        self.user = user
        self.started_at = now
        self.used_at = now
        self._objects = objects
        self._tasks = tasks
        self._number = 0
        self.views: dict[str, View] = {}
        self.collectors = {MAIN_COLLECTOR.id: Collector(MAIN_COLLECTOR, self.look)}

    def look(self, ref: Ref) -> Properties:
        """Return the properties of anything that this session can see. Raises VimFault ManagedObjectNotFound."""
        if ref.type == "ContainerView":
            view = self.view(ref)
            return {
                "container": view.container,
                "recursive": view.recursive,
                "type": Many("string", view.kinds),
                "view": Many("ManagedObjectReference", self._contents(view)),
            }
        if ref.type == "Task":
            return self._tasks.properties(ref)
        manager = self._managers().get(ref)
        return self._objects.properties(ref) if manager is None else manager

    def _managers(self) -> Mapping[Ref, Properties]:
        attribute: dict[str, Value] = {"key": SYSTEM_FIELD, "name": "system", "type": "string"}
        return {
            CUSTOM_FIELDS: {"field": Many("CustomFieldDef", (Struct("CustomFieldDef", attribute),))},
            MANAGER: {"perfCounter": counters()},
            Ref("TaskManager", "TaskManager"): {"recentTask": Many("ManagedObjectReference", self._tasks.recent())},
            Ref("SessionManager", "SessionManager"): {"currentSession": self.describe()},
        }

    def view(self, ref: Ref) -> View:
        """Return a view of this session. Raises VimFault ManagedObjectNotFound."""
        view = self.views.get(ref.id)
        if view is None:
            raise gone(ref)
        return view

    def create_view(self, container: Ref, kinds: tuple[str, ...], *, recursive: bool) -> Ref:
        """Make a view. Raises VimFault when the container is gone."""
        self._objects.properties(container)
        self._number += 1
        ref = Ref("ContainerView", f"session[{self.key}]view-{self._number}")
        self.views[ref.id] = View(ref, container, kinds, recursive)
        return ref

    def collector(self, ref: Ref) -> Collector:
        """Return a property collector of this session. Raises VimFault ManagedObjectNotFound."""
        collector = self.collectors.get(ref.id)
        if collector is None:
            raise gone(ref)
        return collector

    def create_collector(self) -> Ref:
        """Make a further property collector."""
        self._number += 1
        ref = Ref("PropertyCollector", f"session[{self.key}]collector-{self._number}")
        self.collectors[ref.id] = Collector(ref, self.look)
        return ref

    def drop_filter(self, ref: Ref) -> None:
        """Answer DestroyPropertyFilter. Raises VimFault ManagedObjectNotFound."""
        for collector in self.collectors.values():
            if collector.filters.pop(ref.id, None) is not None:
                collector.notice()
                return
        raise gone(ref)

    def describe(self) -> Struct:
        """Return the UserSession."""
        return Struct(
            "UserSession",
            {
                "key": self.key,
                "userName": self.user,
                "fullName": self.user,
                "loginTime": stamp(self.started_at),
                "lastActiveTime": stamp(self.used_at),
                "locale": "en",
                "messageLocale": "en",
            },
        )

    def _contents(self, view: View) -> tuple[Ref, ...]:
        below = self._objects.below(view.container)
        if not view.recursive:
            below = tuple(ref for ref in below if self._objects.properties(ref)["parent"] == view.container)
        return tuple(ref for ref in below if not view.kinds or any(is_kind(ref, kind) for kind in view.kinds))


@dataclass(slots=True)
class Sessions:
    """The sessions of the vCenter ``key``, whose one user has ``password``."""

    estate: Estate
    key: str
    password: str
    objects: Objects
    tasks: Tasks
    _sessions: dict[str, Session] = field(default_factory=dict)
    _generation: int = 0

    def log_in(self, user: str, password: str) -> Session:
        """Open a session. Raises VimFault InvalidLogin."""
        wanted = self.estate.plan.vcenters[self.key].user
        if user != wanted or not secrets.compare_digest(password.encode(), self.password.encode()):
            raise VimFault("InvalidLogin", "Cannot complete login due to an incorrect user name or password.")
        key = secrets.token_hex(20)
        self._sessions[key] = Session(key, user, self.objects, self.tasks, self.estate.now())
        return self._sessions[key]

    def log_out(self, session: Session) -> None:
        """End a session and the waits in it."""
        self._sessions.pop(session.key, None)
        for collector in session.collectors.values():
            collector.cancel()

    def of(self, cookie_header: str) -> Session | None:
        """Return the session that a Cookie header names, if it has not ended."""
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(cookie_header)
        except CookieError:
            return None
        morsel = cookies.get(COOKIE)
        session = self._sessions.get(morsel.value) if morsel is not None else None
        if session is None:
            return None
        now = self.estate.now()
        if now - session.used_at > IDLE_S:
            self.log_out(session)
            return None
        session.used_at = now
        return session

    def refresh(self) -> None:
        """Follow the truth: end all sessions when that is wanted, else wake those who wait for news."""
        generation = self.estate.injuries.session_generation[self.key]
        ended = generation != self._generation
        self._generation = generation
        for session in tuple(self._sessions.values()):
            if ended:
                self.log_out(session)
            for collector in session.collectors.values():
                collector.notice()

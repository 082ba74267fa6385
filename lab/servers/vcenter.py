"""A vCenter: HTTPS ``/sdk`` that speaks vim25 as pyvmomi, govc and others do, and the tags of its REST API.

Source: vSphere Web Services API 8.0. Here are the methods; wire, objects, collector, sessions, tasks and tags are in
``vcenter_*.py``. What is not here answers with the fault NotImplemented, as an ESXi host does for vCenter's methods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus

from lab.identity import Identity
from lab.presence import Presence
from lab.scenario import Estate, Server
from lab.servers.http_server import HttpServer, Request, Response
from lab.servers.vcenter_collector import Collector
from lab.servers.vcenter_machines import MachineMethods
from lab.servers.vcenter_objects import API_VERSION, ROOT, Objects
from lab.servers.vcenter_performance import MANAGER, Performance
from lab.servers.vcenter_sessions import COOKIE, CUSTOM_FIELDS, MAIN_COLLECTOR, Session, Sessions
from lab.servers.vcenter_soap import Call, Ref, Struct, Value, VimFault, answer, fault, read_call, stamp
from lab.servers.vcenter_tags import TagService
from lab.servers.vcenter_tasks import Tasks

SERVICE_VERSIONS = (
    '<?xml version="1.0" encoding="UTF-8"?><namespaces version="1.0"><namespace><name>urn:vim25</name>'
    f"<version>{API_VERSION}</version><priorVersions><version>8.0.0.1</version><version>7.0.3.0</version>"
    "<version>6.7</version><version>6.5</version><version>6.0</version><version>5.5</version></priorVersions>"
    "</namespace></namespaces>"
)
# WaitForUpdates is older and knows no options; pyVim.task still uses it.
WAITS = frozenset({"WaitForUpdatesEx", "WaitForUpdates"})
Answer = Value | list[Struct]


class Vcenter:
    """One vCenter of the estate."""

    def __init__(self, estate: Estate, identity: Identity, key: str) -> None:
        plan = estate.plan.vcenters[key]
        self._estate = estate
        self._key = key
        self._objects = Objects(estate, key)
        self._tasks = Tasks(estate, key, self._wake)
        self._sessions = Sessions(estate, key, identity.secret(plan.credential), self._objects, self._tasks)
        self._machines = MachineMethods(estate, self._objects, self._tasks)
        self._performance = Performance(estate, self._objects)
        self._tags = TagService(estate, key, identity.secret(plan.credential))
        self._answering = asyncio.Event()
        self._http = HttpServer(
            plan.address, plan.port, self._serve, lambda: estate.vcenter_presence(key), identity.tls(plan.address)
        )
        self._methods: Mapping[str, Callable[[Call, Session], Answer]] = {
            "Fetch": self._fetch,
            "Logout": self._log_out,
            "CreateContainerView": self._create_view,
            "DestroyView": self._destroy_view,
            "CreatePropertyCollector": self._create_collector,
            "DestroyPropertyCollector": self._destroy_collector,
            "CreateFilter": self._create_filter,
            "DestroyPropertyFilter": self._destroy_filter,
            "CancelWaitForUpdates": self._cancel_wait,
            "RetrieveProperties": self._retrieve_old,
            "RetrievePropertiesEx": self._retrieve,
            "ContinueRetrievePropertiesEx": self._continue,
            "QueryPerf": lambda call, _session: self._performance.query(call),
            "QueryPerfProviderSummary": lambda call, _session: self._performance.summary(call),
            "FindByInventoryPath": self._find_by_path,
            "FindByUuid": self._find_by_uuid,
            "FindChild": self._find_child,
        }

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        self.refresh()
        await self._http.start()

    async def stop(self) -> None:
        """Stop listening; tasks that run lose their effect."""
        await self._tasks.stop()
        self._answering.set()
        await self._http.stop()

    def refresh(self) -> None:
        """Follow the truth."""
        presence = self._estate.vcenter_presence(self._key)
        if presence is Presence.HANGING:
            self._answering.clear()
        else:
            self._answering.set()
        if presence is Presence.DEAD:
            self._tasks.abandon()
        self._http.refresh()
        self._sessions.refresh()

    def _wake(self) -> None:
        self._sessions.refresh()

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    async def _serve(self, request: Request) -> Response:
        slow = self._estate.faults.get("slow-vcenter", self._key)
        if slow is not None:
            await asyncio.sleep(slow.number("seconds"))
        response = await self._respond(request)
        await self._answering.wait()
        return response

    async def _respond(self, request: Request) -> Response:
        if request.method == "GET" and request.path == "/sdk/vimServiceVersions.xml":
            return Response(HTTPStatus.OK, SERVICE_VERSIONS.encode(), "text/xml; charset=utf-8")
        if request.path.startswith("/api/"):
            return self._tags.serve(request)
        if request.path.rstrip("/") != "/sdk":
            return Response(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")
        if request.method != "POST":
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"SOAP is sent by POST\n", "text/plain", {"Allow": "POST"})
        return await self._soap(request)

    async def _soap(self, request: Request) -> Response:
        try:
            call = read_call(request.body)
        except ValueError as error:
            return _xml(HTTPStatus.INTERNAL_SERVER_ERROR, fault(VimFault("InvalidRequest", str(error))))
        session = self._sessions.of(request.headers.get("cookie", ""))
        headers = {}
        try:
            if call.method == "Login":
                session = self._sessions.log_in(call.text("userName"), call.text("password"))
                headers["Set-Cookie"] = f'{COOKIE}="{session.key}"; Path=/; HttpOnly; Secure'
            return _xml(HTTPStatus.OK, answer(call.method, await self._call(call, session)), headers)
        except VimFault as problem:
            return _xml(HTTPStatus.INTERNAL_SERVER_ERROR, fault(problem))

    async def _call(self, call: Call, session: Session | None) -> Answer:
        if session is None:
            return self._call_without_session(call)
        if call.method == "Login":
            return session.describe()
        if call.method in WAITS:
            return await self._wait_for_updates(call, session)
        method = self._methods.get(call.method)
        if method is not None:
            return method(call, session)
        return self._machines.call(call, session.user) or self._call_without_session(call)

    def _call_without_session(self, call: Call) -> Answer:
        if call.method == "RetrieveServiceContent":
            return self._service_content()
        if call.method == "CurrentTime":
            return stamp(self._estate.now())
        if call.method == "Fetch" and call.this.type == "ServiceInstance":
            return self._service_content()
        if call.method == "Fetch" and call.this.type == "SessionManager":
            return None  # currentSession is unset
        if call.method in {*self._methods, *WAITS} or self._machines.knows(call.method):
            fields: dict[str, Value] = {"object": call.this, "privilegeId": "System.View"}
            raise VimFault("NotAuthenticated", "The session is not authenticated.", fields)
        raise VimFault("NotImplemented", f"{call.this.type} has no method {call.method} here")

    def _service_content(self) -> Struct:
        about = Struct(
            "AboutInfo",
            {
                "name": "VMware vCenter Server",
                "fullName": "VMware vCenter Server 8.0.1 build-21560480 (simulated)",
                "vendor": "VMware, Inc.",
                "version": "8.0.1",
                "build": "21560480",
                "osType": "linux-x64",
                "productLineId": "vpx",
                "apiType": "VirtualCenter",
                "apiVersion": API_VERSION,
                "instanceUuid": f"lab-{self._key}",
                "licenseProductName": "VMware VirtualCenter Server",
                "licenseProductVersion": "8.0",
            },
        )
        return Struct(
            "ServiceContent",
            {
                "rootFolder": ROOT,
                "propertyCollector": MAIN_COLLECTOR,
                "perfManager": MANAGER,
                "customFieldsManager": CUSTOM_FIELDS,
                "viewManager": Ref("ViewManager", "ViewManager"),
                "about": about,
                "sessionManager": Ref("SessionManager", "SessionManager"),
                "taskManager": Ref("TaskManager", "TaskManager"),
                "searchIndex": Ref("SearchIndex", "SearchIndex"),
            },
        )

    # -- sessions, views ----------------------------------------------------------------------------------------------

    def _fetch(self, call: Call, session: Session) -> Answer:
        """Read one property, as pyvmomi's attribute access does (no documented method, but every vCenter has it)."""
        if call.this.type == "ServiceInstance":
            return self._service_content()
        properties = session.look(call.this)
        name = call.text("prop")
        if name not in properties:
            raise VimFault("InvalidProperty", f"there is no property '{name}'", {"name": name})
        return properties[name]

    def _log_out(self, _call: Call, session: Session) -> Answer:
        self._sessions.log_out(session)
        return None

    def _create_view(self, call: Call, session: Session) -> Answer:
        container = call.ref("container")
        if container is None:
            raise VimFault("InvalidArgument", "A view needs a container.", {"invalidProperty": "container"})
        kinds = tuple(one.text or "" for one in call.arguments.findall("type"))
        return session.create_view(container, kinds, recursive=call.flag("recursive"))

    def _destroy_view(self, call: Call, session: Session) -> Answer:
        session.view(call.this)
        del session.views[call.this.id]
        for collector in session.collectors.values():
            collector.notice()
        return None

    # -- property collector -------------------------------------------------------------------------------------------

    def _create_collector(self, _call: Call, session: Session) -> Answer:
        return session.create_collector()

    def _destroy_collector(self, call: Call, session: Session) -> Answer:
        session.collector(call.this).cancel()
        if call.this != MAIN_COLLECTOR:
            del session.collectors[call.this.id]
        return None

    def _create_filter(self, call: Call, session: Session) -> Answer:
        spec = call.element("spec")
        if spec is None:
            raise VimFault("InvalidArgument", "A filter needs a spec.", {"invalidProperty": "spec"})
        return session.collector(call.this).create_filter(spec)

    def _destroy_filter(self, call: Call, session: Session) -> Answer:
        session.drop_filter(call.this)
        return None

    async def _wait_for_updates(self, call: Call, session: Session) -> Answer:
        longest_s, most = call.number("options/maxWaitSeconds"), call.number("options/maxObjectUpdates") or 0
        return await self._collector(call, session).wait(call.text("version"), longest_s, most)

    def _cancel_wait(self, call: Call, session: Session) -> Answer:
        session.collector(call.this).cancel()
        return None

    def _retrieve_old(self, call: Call, session: Session) -> Answer:
        return self._collector(call, session).retrieve_all(call.arguments.findall("specSet"))

    def _retrieve(self, call: Call, session: Session) -> Answer:
        most = call.number("options/maxObjects") or 0
        return self._collector(call, session).retrieve(call.arguments.findall("specSet"), most)

    def _continue(self, call: Call, session: Session) -> Answer:
        return self._collector(call, session).more(call.text("token"))

    @staticmethod
    def _collector(call: Call, session: Session) -> Collector:
        return session.collector(call.this)

    # -- search -------------------------------------------------------------------------------------------------------

    def _find_by_path(self, call: Call, _session: Session) -> Answer:
        return self._objects.by_path(call.text("inventoryPath"))

    def _find_by_uuid(self, call: Call, _session: Session) -> Answer:
        wanted, instance = call.text("uuid").lower(), call.flag("instanceUuid")
        return self._objects.by_uuid(wanted, instance=instance) if call.flag("vmSearch") else None

    def _find_child(self, call: Call, _session: Session) -> Answer:
        entity = call.ref("entity")
        return None if entity is None else self._objects.child(entity, call.text("name"))


def _xml(status: HTTPStatus, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, body, "text/xml; charset=utf-8", {"Cache-Control": "no-cache", **(headers or {})})


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Return the estate's vCenters."""
    return [Vcenter(estate, identity, key) for key in estate.plan.vcenters]

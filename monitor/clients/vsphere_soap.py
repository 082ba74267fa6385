"""The SOAP wire to one vCenter: a connection under a deadline, verified TLS, log-in, and what its faults mean.

Blocking; runs in the threads of ``vsphere.py``. A ``Line`` belongs to one thread at a time; only ``abort`` may be
called from another. pyVmomi's ``SmartConnect`` is not used: it asks for versions without any time-out.
Source: vSphere Web Services API 8.0 (ServiceInstance, SessionManager), pyVmomi's ``SoapStubAdapter``.
"""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
import zlib
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl

from monitor.clients.vsphere_reply import MOST_BYTES
from monitor.errors import (
    DeadlineExceeded,
    GarbledReply,
    NotFound,
    Refused,
    SessionLost,
    TargetError,
    Unreachable,
    Untrusted,
    in_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from monitor.clock import Clock
    from monitor.credential import Secret

OLDEST = "vim.version.version9"  # 5.5: every vCenter in use answers RetrieveServiceContent in it
MOST_SMALL_BYTES = 32 * 2**20  # 64 VMs with long layouts, or an inventory that its server does not page
OLDEST_NUMBERS = (5, 5, 0, 0)
BROKEN_DOCUMENT = (
    ExpatError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    zlib.error,
)  # what pyVmomi's deserialiser runs into when a document is not what it expects
SESSION_FAULTS = (vim.fault.NotAuthenticated, vmodl.query.InvalidCollectorVersion, vmodl.fault.RequestCanceled)


@dataclass(frozen=True, slots=True)
class Peer:
    """A vCenter and how to prove who is who; ``datacenter`` limits what is looked at (empty: everything)."""

    address: str
    port: int
    user: str
    password: Secret
    tls: ssl.SSLContext
    datacenter: str = ""

    def __str__(self) -> str:
        """Name it as users see it."""
        return f"vCenter {self.address}:{self.port}"


class _Small(HTTPResponse):
    """A reply that pyVmomi reads by itself, of objects many times its size: not compressed, and bounded."""

    _left = MOST_SMALL_BYTES

    def begin(self) -> None:
        """Read the header. Raises HTTPException for a compressed body: nobody asked for one."""
        super().begin()
        if self.getheader("Content-Encoding", "identity").lower() != "identity":
            raise HTTPException("its answer is compressed, which was not asked for")

    def read(self, amt: int | None = None) -> bytes:
        """Read as always. Raises HTTPException when there is more than such a reply has."""
        body = super().read(self._left + 1 if amt is None else amt)
        self._left -= len(body)
        if self._left < 0:
            raise HTTPException(f"its answer is larger than {MOST_SMALL_BYTES // 2**20} MiB")
        return body


class _Soap(SoapAdapter.SoapStubAdapter):
    """pyVmomi's stub with a time-out for each call and a way to break a call off."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(
            host=peer.address,
            port=peer.port,
            path="/sdk",
            version=OLDEST,
            poolSize=1,
            sslContext=peer.tls,
            acceptCompressedResponses=False,
        )
        self.call_timeout_s = 1.0
        self.sent = False
        self.written: str | None = None
        self._active: Any = None

    def GetConnection(self) -> Any:  # noqa: N802 - pyVmomi's name
        """Connect or reuse, with the time that is left."""
        self.schemeArgs["timeout"] = self.call_timeout_s
        connection = super().GetConnection()
        connection.timeout = self.call_timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(self.call_timeout_s)
        connection.response_class = _Small
        self._active = connection
        self.sent = True
        return connection

    def fetch(self, mo: Any, info: Any, args: Any, line: Any) -> tuple[int, Any]:
        """Make a call and return its status with the reply's bytes, or with the fault it was answered by."""
        headers = {
            "Cookie": self.cookie,
            "SOAPAction": self.versionId,
            "Content-Type": "text/xml; charset=UTF-8",
            "Accept-Encoding": "gzip",
        }
        request = self.SerializeRequest(mo, info, args) if self.written is None else _enveloped(self.written)
        connection = self.GetConnection()
        connection.response_class = HTTPResponse  # read by ``_whole``, which has its own bound
        try:
            connection.request("POST", self.path, request, headers)
            response = connection.getresponse()
            body = _whole(response)
            if response.status == 200:  # noqa: PLR2004 - HTTP OK
                answer = body
            else:
                answer = SoapAdapter.SoapResponseDeserializer(line).Deserialize(io.BytesIO(body), info.result)
        except BaseException:
            connection.close()
            self.DropConnections()
            raise
        self.ReturnConnection(connection)
        return response.status, answer

    def break_off(self) -> None:
        """Shut the socket under a running call down; the thread that waits on it wakes with an error."""
        sock = getattr(self._active, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                # The plain socket's method: SSLSocket.shutdown would pull the TLS object from under the reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Line(SoapAdapter.StubAdapterBase):
    """One connection to a vCenter whose calls all end by ``expires`` (monotonic seconds).

    Every call raises only TargetError, or a ``vmodl.MethodFault`` that the vCenter answered with.
    """

    def __init__(self, peer: Peer, clock: Clock, expires: float) -> None:
        """Prepare; nothing is sent yet."""
        super().__init__(version=OLDEST)
        self.peer = peer
        self.clock = clock
        self.expires = expires
        self.call_limit_s: float | None = None
        self.content: Any = None
        self._in_bytes = False
        self.aborted = threading.Event()
        self._soap = _Soap(peer)

    @property
    def session_id(self) -> str | None:
        """The session's key as the vCenter set it in a cookie, None before a log-in."""
        found: str | None = self._soap.GetSessionId()
        return found

    def InvokeMethod(self, mo: Any, info: Any, args: Any) -> Any:  # noqa: N802 - pyVmomi's name
        """Make one call; never makes it twice."""
        soap = self._soap
        left = self.expires - self.clock.monotonic()
        if left <= 0 or self.aborted.is_set():
            raise DeadlineExceeded(f"{self.peer} did not answer in time")
        soap.call_timeout_s = left if self.call_limit_s is None else min(left, self.call_limit_s)
        soap.sent = False
        try:
            status, reply = (soap.fetch if self._in_bytes else soap.InvokeMethod)(mo, info, args, self)
        except vmodl.MethodFault as fault:  # raised while serialising: the version spoken lacks this method
            raise Refused(f"{self.peer} is too old for this request") from fault
        except (OSError, HTTPException) as error:
            raise self._transport_error(error, sent=soap.sent) from error
        except BROKEN_DOCUMENT as error:
            raise GarbledReply(f"{self.peer} answered what is not SOAP ({type(error).__name__})") from error
        if status == 200:  # noqa: PLR2004 - HTTP OK
            return reply
        if isinstance(reply, vmodl.MethodFault):
            raise reply
        raise GarbledReply(f"{self.peer} answered {status} without a fault")

    def _transport_error(self, error: Exception, *, sent: bool) -> TargetError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Untrusted(f"{self.peer} has a certificate that is not trusted: {error.verify_message}")
        if isinstance(error, TimeoutError):
            if sent:
                return DeadlineExceeded(f"{self.peer} did not answer in time")
            return Unreachable(f"{self.peer} did not accept a connection in time")
        why = in_words(error) if isinstance(error, OSError) else type(error).__name__
        if not sent:
            return Unreachable(f"{self.peer} cannot be reached: {why}")
        if isinstance(error, HTTPException) and not isinstance(error, OSError):
            return GarbledReply(f"{self.peer} answered what is not SOAP over HTTP ({error})")
        return SessionLost(f"{self.peer} broke the connection off: {why}")

    def in_bytes(self, call: Callable[[], Any]) -> bytes:
        """Make the one call that ``call`` makes of this line, and return its reply as it came, uncompressed."""
        self._in_bytes = True
        try:
            body: bytes = call()
        finally:
            self._in_bytes = False
        return body

    def send(self, mo: Any, method: str, written: str) -> bytes:
        """Call ``method`` (as pyVmomi names it) with ``written`` as the SOAP body's content; return the bytes."""
        info = mo._GetMethodInfo(method)  # noqa: SLF001 - what pyVmomi's own methods ask
        self._soap.written = written
        try:
            return self.in_bytes(lambda: self.InvokeMethod(mo, info, []))
        finally:
            self._soap.written = None

    def open(self) -> Any:
        """Read the service content, which needs no session, and speak the vCenter's own version from then on."""
        self.content = self.instance().RetrieveContent()
        if not isinstance(self.content, vim.ServiceInstanceContent):
            raise GarbledReply(f"{self.peer} did not say what it is")
        version = version_for(self.content.about.apiVersion)
        self._soap.ComputeVersionInfo(version)
        self.ComputeVersionInfo(version)
        return self.content

    def instance(self) -> Any:
        """Return the vCenter's root object."""
        return vim.ServiceInstance("ServiceInstance", self)

    def resume(self, session_id: str) -> None:
        """Carry on with a session that another line logged in."""
        self._soap.SetSessionId(session_id)

    def log_in(self) -> None:
        """Log in afresh. Raises Refused when user or password are wrong."""
        self._soap.SetSessionId(None)
        try:
            self.content.sessionManager.Login(self.peer.user, self.peer.password.reveal(), None)
        except vmodl.MethodFault as fault:
            raise meaning(fault, self.peer, "log-in") from fault

    def log_out(self) -> None:
        """End the session, and with it its views and filters; a session that is already gone is no error."""
        with contextlib.suppress(vmodl.MethodFault):
            self.content.sessionManager.Logout()

    def root(self) -> Any:
        """Return the folder or datacenter that limits what is looked at. Raises NotFound for a wrong name."""
        if not self.peer.datacenter:
            return self.content.rootFolder
        found = self.content.searchIndex.FindByInventoryPath(self.peer.datacenter)
        if found is None:
            raise NotFound(f"{self.peer} has no datacenter '{self.peer.datacenter}'")
        return found

    def abort(self) -> None:
        """Break off whatever this line is doing; from any thread."""
        self.aborted.set()
        self._soap.break_off()

    def hang_up(self) -> None:
        """Close the connection; the session at the vCenter stays."""
        self._soap.DropConnections()


def _enveloped(body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
    ).encode()


def _whole(response: HTTPResponse) -> bytes:
    """Read a body, uncompressed. Raises GarbledReply for one that is too large, however small it came."""
    body = response.read(MOST_BYTES + 1)
    if response.getheader("Content-Encoding", "identity").lower() == "gzip":
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
        body = unpacking.decompress(body, MOST_BYTES + 1)
        if len(body) <= MOST_BYTES and not unpacking.eof:
            raise GarbledReply("the vCenter's answer ends in the middle")
    if len(body) > MOST_BYTES:
        raise GarbledReply(f"the vCenter's answer is larger than {MOST_BYTES // 2**20} MiB")
    return body


def version_for(api_version: str) -> str:
    """Return the newest version both sides know, for the vCenter's ``apiVersion`` (``8.0.1.0``)."""
    theirs = _numbers(api_version)
    known = {_numbers(VmomiSupport.versionIdMap[name]): name for name in VmomiSupport.GetServiceVersions("vim25")}
    usable = [numbers for numbers in known if OLDEST_NUMBERS <= numbers <= theirs]
    return str(known[max(usable)]) if usable else OLDEST


def _numbers(version: str) -> tuple[int, ...]:
    """Return ``7.0`` as (7, 0, 0, 0), and () for a name that is not dotted numbers."""
    parts = version.split(".")
    if not all(part.isdecimal() for part in parts):
        return ()
    numbers = [int(part) for part in parts[:4]]
    return tuple(numbers + [0] * (4 - len(numbers)))


def meaning(fault: Exception, peer: Peer, what: str) -> TargetError:
    """Return the leaf of our error tree that a vCenter's ``fault`` on ``what`` (a noun) stands for."""
    name = type(fault).__name__.rpartition(".")[2]
    said = getattr(fault, "msg", None) or name
    if isinstance(fault, vim.fault.InvalidLogin):
        return Refused(f"{peer} does not accept user '{peer.user}' with this password")
    if isinstance(fault, SESSION_FAULTS):
        return SessionLost(f"{peer} has ended the session ({name})")
    if isinstance(fault, vim.fault.NoPermission):
        return Refused(f"{peer} does not allow user '{peer.user}' this {what} (privilege {fault.privilegeId or '?'})")
    if isinstance(fault, vmodl.fault.ManagedObjectNotFound):
        return NotFound(f"{peer} no longer has the object of this {what}")
    return Refused(f"{peer} refused the {what}: {said}")


def filter_spec(view: Any, paths: Mapping[Any, Sequence[str]]) -> Any:
    """Return the FilterSpec that reads ``paths`` (by managed type) of everything in a container ``view``."""
    collector = vmodl.query.PropertyCollector
    through = collector.TraversalSpec(name="through", path="view", skip=False, type=vim.view.ContainerView)
    return collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[through])],
        propSet=[collector.PropertySpec(type=kind, pathSet=list(some), all=False) for kind, some in paths.items()],
    )

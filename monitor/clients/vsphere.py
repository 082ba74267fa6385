"""A vCenter: its inventory followed by increments, and tasks on its VMs.

Leaves the wire to ``vsphere_soap``, the poll to ``vsphere_collector``, tasks to ``vsphere_errand``, performance to
``vsphere_survey``. Here are the threads: one for the poll, one for surveys and a few for errands, so that none waits
for another, and a vCenter that hangs costs its own threads and nobody else's. A call that is out of time has its
socket shut down, which gives the thread back. Source: vSphere Web Services API 8.0; measured traps in the design's
``libraries.md``.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from monitor.clients.vsphere_collector import Collector, StillReading
from monitor.clients.vsphere_errand import Desk, Errand
from monitor.clients.vsphere_inventory import Cluster, Datastore, Triggered, VcenterSnapshot, Vm, VmHost
from monitor.clients.vsphere_network import Nic, Wiring
from monitor.clients.vsphere_soap import Peer
from monitor.clients.vsphere_survey import Survey, Surveyor
from monitor.errors import CredentialError, DeadlineExceeded, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from monitor.clock import Clock
    from monitor.credential import Secret

__all__ = [
    "Cluster",
    "Datastore",
    "Nic",
    "StillReading",
    "Survey",
    "Surveys",
    "Triggered",
    "VcenterSession",
    "VcenterSnapshot",
    "Vm",
    "VmHost",
    "Wiring",
]

log = logging.getLogger(__name__)

T = TypeVar("T")
ERRAND_THREADS = 6
GRACE_S = 0.3  # the thread's own, better worded time-out comes first


@dataclass(frozen=True, slots=True)
class Surveys:
    """How often to look at what changes all the time, and which counters (names of ``vsphere_survey.COUNTERS``)."""

    interval_s: float
    counters: tuple[str, ...]


class _Abortable(Protocol):
    def abort(self) -> None: ...


class VcenterSession:
    """A vCenter under one user. Every method raises TargetError leaves; none of them outlasts its deadline.

    ``deadline_s`` bounds one ``refresh`` and one ``vm``; ``surveys`` (None: none are made) go on beside them, each
    over when the next is due. ``by_rule`` has folders and custom attributes read. Trust comes from ``ca_file`` (a PEM
    bundle; None: the system's), and the certificate must name ``address``. ``datacenter`` limits what is looked at.
    """

    def __init__(
        self,
        address: str,
        port: int,
        user: str,
        password: Secret,
        ca_file: Path | None,
        *,
        deadline_s: float,
        clock: Clock,
        datacenter: str = "",
        surveys: Surveys | None = None,
        by_rule: bool = False,
    ) -> None:
        """Prepare; nothing is sent before the first call. Raises CredentialError when ``ca_file`` cannot be used."""
        try:
            tls = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CredentialError(f"CA bundle {ca_file} cannot be used: {error}") from error
        self._peer = Peer(address, port, user, password, tls, datacenter)
        self._clock = clock
        self._deadline_s = deadline_s
        self._collector = Collector(self._peer, clock, by_rule=by_rule)
        self._surveys = surveys
        self._surveyor = Surveyor(self._peer, clock, surveys.counters if surveys is not None else ())
        self._desk = Desk(self._peer, clock)
        self._poll_thread = ThreadPoolExecutor(1, thread_name_prefix=f"vcenter-poll-{address}")
        self._survey_thread = ThreadPoolExecutor(1, thread_name_prefix=f"vcenter-survey-{address}")
        self._errand_threads = ThreadPoolExecutor(ERRAND_THREADS, thread_name_prefix=f"vcenter-errand-{address}")
        self._polling: asyncio.Future[VcenterSnapshot] | None = None
        self._errands: set[_Abortable] = set()
        self._surveying: asyncio.Task[None] | None = None
        self._survey_due = clock.monotonic()
        self.survey: Survey | None = None  # the newest that succeeded, however old
        self.survey_error = ""  # why the newest did not
        self._closed = False

    async def refresh(self) -> VcenterSnapshot:
        """Return the inventory as it is now: read in full the first time and after any trouble, else by increments.

        While an earlier poll still holds the thread, no other is begun: DeadlineExceeded at once.
        """
        if self._polling is not None and not self._polling.done():
            raise DeadlineExceeded(f"{self._peer} has not answered the poll before this one")
        expires = self._clock.monotonic() + self._deadline_s
        loop = asyncio.get_running_loop()
        self._polling = loop.run_in_executor(self._poll_thread, self._collector.poll, expires)
        snapshot = await self._bounded(self._polling, self._collector, self._deadline_s)
        self._survey_when_due(snapshot)
        return snapshot

    async def vm(self, name: str) -> Vm | None:
        """Ask for one VM afresh; None means that the vCenter has no VM of this name. Raises Refused for several."""
        return await self._errand("look-up", self._deadline_s, lambda errand: errand.look_up(name))

    async def power(self, name: str, on: bool, timeout_s: float) -> None:
        """Power a VM on or (hard) off and wait for it; does nothing when it already is.

        Raises NotFound, Refused (also for an ambiguous name), and DeadlineExceeded when the outcome is not known.
        """
        await self._errand("power change", timeout_s, lambda errand: errand.power(name, on=on))

    async def clone(self, name: str, new_name: str, timeout_s: float) -> None:
        """Copy a VM beside itself, in the same folder, pool and datastore; the copy is off. Raises as ``power``.

        Its network cards are plugged in where the original's are: ``plug`` it elsewhere before powering it on.
        """
        await self._errand("clone", timeout_s, lambda errand: errand.clone(name, new_name))

    async def plug(self, name: str, network: str, timeout_s: float) -> Wiring:
        """Bring every network card of a VM that is off onto ``network`` and return what was then read back.

        ``network`` is a port group, distributed or not. Does nothing when it is so already, also of a VM that is on.
        Raises as ``power``; NotFound names the networks there are; Refused when the VM is not off and plugged in
        elsewhere, and when what is read back is not ``network`` alone.
        """
        return await self._errand("change of networks", timeout_s, lambda errand: errand.plug(name, network))

    async def wirings(self, names: Sequence[str]) -> dict[str, Wiring | None]:
        """Ask afresh what each VM is plugged into; None where the vCenter has none of that name."""
        return await self._errand("look-up", self._deadline_s, lambda errand: errand.wirings(names))

    async def on_network(self, network: str) -> tuple[str, ...]:
        """Ask afresh for the names of all VMs on ``network``. Raises NotFound, with the networks there are."""
        return await self._errand("look-up", self._deadline_s, lambda errand: errand.on_network(network))

    async def destroy(self, name: str, timeout_s: float) -> None:
        """Delete a VM that is powered off, disks and all. Raises as ``power``."""
        await self._errand("deletion", timeout_s, lambda errand: errand.destroy(name))

    async def snapshot(self, name: str, snapshot_name: str, timeout_s: float) -> None:
        """Snapshot a VM's disks. Raises as ``power``."""
        await self._errand("snapshot", timeout_s, lambda errand: errand.snapshot(name, snapshot_name))

    async def snapshots(self, names: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
        """Ask afresh for the names of each VM's snapshots; None where the vCenter has no such VM."""
        return await self._errand("look-up", self._deadline_s, lambda errand: errand.snapshots(names))

    async def remove_snapshot(self, name: str, snapshot_name: str, timeout_s: float) -> None:
        """Remove the one snapshot of that name, and no other; done already when there is none.

        Raises as ``power``; Refused when two have that name.
        """
        await self._errand(
            "removal of a snapshot", timeout_s, lambda errand: errand.remove_snapshot(name, snapshot_name)
        )

    async def close(self) -> None:
        """Break off what runs, log out as far as the vCenter lets us, give the threads back."""
        if self._closed:
            return
        self._closed = True
        if self._polling is not None and not self._polling.done():
            self._collector.abort()
        if self._surveying is not None and not self._surveying.done():
            self._surveyor.abort()
        for errand in tuple(self._errands):
            errand.abort()
        expires = self._clock.monotonic() + self._deadline_s
        loop = asyncio.get_running_loop()
        farewells = [
            loop.run_in_executor(self._poll_thread, self._collector.log_out, expires),
            loop.run_in_executor(self._survey_thread, self._surveyor.log_out, expires),
            loop.run_in_executor(self._errand_threads, self._desk.log_out, expires),
        ]
        for farewell in farewells:  # a session that cannot be ended runs out at the vCenter
            farewell.add_done_callback(_heard)
        await asyncio.wait(farewells, timeout=self._deadline_s + GRACE_S)
        self._poll_thread.shutdown(wait=False, cancel_futures=True)
        self._survey_thread.shutdown(wait=False, cancel_futures=True)
        self._errand_threads.shutdown(wait=False, cancel_futures=True)

    def _survey_when_due(self, snapshot: VcenterSnapshot) -> None:
        """Begin a survey of what ``snapshot`` has; never two at once."""
        now = self._clock.monotonic()
        if self._surveys is None or self._closed or now < self._survey_due:
            return
        if self._surveying is not None and not self._surveying.done():
            return
        connected = [vm for vm in snapshot.vms.values() if vm.connection == "connected" and not vm.template]
        running = [vm.moref for vm in connected if vm.power == "on"]
        with_snapshots = [vm.moref for vm in connected if vm.snapshots]
        if not with_snapshots and not (running and self._surveys.counters):
            return
        self._survey_due = now + self._surveys.interval_s
        self._surveying = asyncio.get_running_loop().create_task(
            self._survey(running, with_snapshots, self._surveys.interval_s)
        )

    async def _survey(self, running: Sequence[str], with_snapshots: Sequence[str], timeout_s: float) -> None:
        expires = self._clock.monotonic() + timeout_s
        loop, surveyor = asyncio.get_running_loop(), self._surveyor
        future = loop.run_in_executor(self._survey_thread, surveyor.survey, running, with_snapshots, expires)
        try:
            self.survey = await self._bounded(future, surveyor, timeout_s)
        except TargetError as error:
            self.survey_error = str(error)
        except Exception as error:  # the border of a task that nobody awaits: the next survey is made all the same
            log.exception("a survey of %s failed", self._peer)
            self.survey_error = f"{self._peer}: the survey itself failed: {type(error).__name__}"
        else:
            self.survey_error = ""

    async def _errand(self, what: str, timeout_s: float, job: Callable[[Errand], T]) -> T:
        errand = Errand(self._desk, self._clock.monotonic() + timeout_s, what)
        self._errands.add(errand)
        try:
            future = asyncio.get_running_loop().run_in_executor(self._errand_threads, job, errand)
            return await self._bounded(future, errand, timeout_s)
        finally:
            self._errands.discard(errand)

    async def _bounded(self, future: asyncio.Future[T], job: _Abortable, timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                return await asyncio.shield(future)
        except TimeoutError:
            job.abort()
            raise DeadlineExceeded(f"{self._peer} did not answer in time") from None
        except asyncio.CancelledError:
            job.abort()
            raise
        finally:
            future.add_done_callback(_heard)


def _heard(future: asyncio.Future[T]) -> None:
    """Take note of an error that nobody waits for any more, so that asyncio does not complain of it."""
    if not future.cancelled():
        future.exception()

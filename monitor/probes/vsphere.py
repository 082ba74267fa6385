"""Is the vCenter there, and how is each of its VMs.

One target is a whole vCenter, subject ``vcenter/<key>``; its VMs come as ``vm/<key>/<name>``. VMs that the inventory
names must exist and be on; others are shown as they are, and an intentional power-off is no failure. A VM that was
there before and is gone is said once, unless the inventory names it: then every time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.vsphere import VcenterSession
from monitor.errors import CredentialError, Refused, TargetError
from monitor.probe import Answer, Observation, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from monitor.clients.vsphere import VcenterSnapshot, Vm
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.errors import KaraulaError
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

VANISHED = "vanished from the vCenter"
AFTER_REFUSAL_S = 60.0  # vCenter locks an account after five refused log-ins within three minutes
BAD_CONNECTIONS = ("inaccessible", "invalid", "orphaned")


@dataclass(frozen=True, slots=True)
class VsphereParams:
    """A vCenter. ``vms`` are the names that the inventory's systems give for it; ``datacenter`` limits it."""

    key: str
    address: str
    port: int
    user: str
    credential: str
    datacenter: str = ""
    vms: tuple[str, ...] = ()


class VsphereProbe:
    """Keeps one session a vCenter; a vCenter that hangs delays no other."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare; sessions are made when first asked for."""
        self._credentials = credentials
        self._trust = trust
        self._clock = clock
        self._sessions: dict[VsphereParams, VcenterSession] = {}
        self._seen: dict[str, frozenset[str]] = {}
        self._refused: dict[VsphereParams, tuple[float, str]] = {}

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield each vCenter's observations as soon as that vCenter has answered."""
        tasks = [asyncio.ensure_future(self._ask(target)) for target in targets]
        try:
            for done in asyncio.as_completed(tasks):
                for observation in await done:
                    yield observation
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Log out everywhere."""
        sessions = tuple(self._sessions.values())
        self._sessions.clear()
        await asyncio.gather(*(session.close() for session in sessions))

    async def _ask(self, target: Target) -> Sequence[Observation]:
        params: VsphereParams = target.params
        started = self._clock.monotonic()
        until, refusal = self._refused.get(params, (started, ""))
        if started < until:
            return self._unseen(target, params, Refused(refusal))
        try:
            snapshot = await self._session(params, target.deadline_s).refresh()
        except Refused as error:
            refusal = f"{error}; asked again once a minute"
            self._refused[params] = (self._clock.monotonic() + AFTER_REFUSAL_S, refusal)
            await self._sessions.pop(params).close()  # the next one reads the credential anew
            return self._unseen(target, params, Refused(refusal))
        except (TargetError, CredentialError) as error:
            return self._unseen(target, params, error)
        values = {
            "duration_seconds": self._clock.monotonic() - started,
            "changed_objects": float(snapshot.changed),
            "full_read": 1.0 if snapshot.full else 0.0,
            "vms": float(len(snapshot.vms)),
            "hosts": float(len(snapshot.hosts)),
        }
        facts = {"version": snapshot.api_version}
        itself = Observation(target.subject, target.probe, snapshot.at, Answer.OK, values=values, facts=facts)
        return itself, *self._vms(target, params, snapshot)

    def _unseen(self, target: Target, params: VsphereParams, error: KaraulaError) -> Sequence[Observation]:
        """Say that the vCenter failed, and of every VM of it that nothing is known."""
        now = self._clock.now()
        names = sorted(self._seen.get(params.key, frozenset()) | frozenset(params.vms))
        because = f"vCenter {params.key} does not answer"
        return (
            failed(target, now, error),
            *(Observation(_subject(params, name), target.probe, now, Answer.UNKNOWN, because) for name in names),
        )

    def _vms(self, target: Target, params: VsphereParams, snapshot: VcenterSnapshot) -> Iterator[Observation]:
        by_name: dict[str, list[Vm]] = {}
        for vm in snapshot.vms.values():
            by_name.setdefault(vm.name, []).append(vm)
        named = frozenset(params.vms)
        for name, vms in by_name.items():
            if len(vms) > 1:
                reason = f"{len(vms)} VMs of this name: " + ", ".join(sorted(vm.moref for vm in vms))
                yield Observation(_subject(params, name), target.probe, snapshot.at, Answer.UNKNOWN, reason)
                continue
            answer, reason = judge(vms[0], needed=name in named)
            yield _observation(target, params, snapshot, vms[0], answer, reason)
        seen = frozenset(by_name)
        for name in sorted((self._seen.get(params.key, frozenset()) | named) - seen):
            facts = {} if name in named else {"vanished": "yes"}
            reason = VANISHED if name in self._seen.get(params.key, frozenset()) else "not in the vCenter"
            yield Observation(_subject(params, name), target.probe, snapshot.at, Answer.FAILED, reason, facts=facts)
        self._seen[params.key] = seen

    def _session(self, params: VsphereParams, deadline_s: float) -> VcenterSession:
        session = self._sessions.get(params)
        if session is None:
            session = VcenterSession(
                params.address,
                params.port,
                params.user,
                self._credentials.secret(params.credential),
                self._credentials.path(self._trust.tls_ca),
                deadline_s=deadline_s,
                clock=self._clock,
                datacenter=params.datacenter,
            )
            self._sessions[params] = session
        return session


def judge(vm: Vm, *, needed: bool) -> tuple[Answer, str]:
    """Return how a VM is; ``needed`` VMs must be on."""
    if vm.connection in BAD_CONNECTIONS:
        return Answer.FAILED, f"the vCenter calls it {vm.connection}"
    if vm.connection == "disconnected":
        return Answer.UNKNOWN, "its host is disconnected from the vCenter"
    if vm.power != "on":
        return (Answer.FAILED, f"powered {vm.power}" if vm.power == "off" else vm.power) if needed else (Answer.OK, "")
    if vm.heartbeat == "red":
        return Answer.FAILED, "its guest has stopped giving heartbeats"
    return Answer.OK, ""


def _subject(params: VsphereParams, name: str) -> str:
    return f"vm/{params.key}/{name}"


def _observation(
    target: Target, params: VsphereParams, snapshot: VcenterSnapshot, vm: Vm, answer: Answer, reason: str
) -> Observation:
    host = snapshot.hosts.get(vm.host)
    facts = {
        "power": vm.power,
        "connection": vm.connection,
        "moref": vm.moref,
        "host": host.name if host else "",
        "heartbeat": vm.heartbeat,
        "tools": vm.tools,
        "ip": vm.ip,
    }
    values = {"powered_on": 1.0 if vm.power == "on" else 0.0}
    return Observation(
        _subject(params, vm.name),
        target.probe,
        snapshot.at,
        answer,
        reason,
        values,
        {name: fact for name, fact in facts.items() if fact},
    )

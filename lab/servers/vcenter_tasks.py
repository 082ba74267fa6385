"""vCenter's tasks: each takes a moment, then has its effect or its fault, once.

A power cut ends what is still running without its effect. Source: vSphere Web Services API 8.0, Task, TaskInfo.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from lab.machine_orders import MachineError
from lab.scenario import Estate
from lab.servers.vcenter_objects import Properties, gone
from lab.servers.vcenter_soap import Ref, Struct, Value, VimFault, Word, localized, stamp

KEPT = 200


@dataclass(slots=True)
class Task:
    """A task; ``result`` and ``error`` are set when it has ended."""

    number: int
    method: str
    entity: Ref
    entity_name: str
    user: str
    queued_at: float
    ended_at: float | None = None
    state: str = "running"
    result: Value = None
    error: VimFault | None = None

    @property
    def ref(self) -> Ref:
        """The task's managed object."""
        return Ref("Task", f"task-{self.number}")


class Tasks:
    """The tasks of one vCenter; ``changed`` is called when one ends."""

    def __init__(self, estate: Estate, key: str, changed: Callable[[], None]) -> None:
        self._estate = estate
        self._key = key
        self._changed = changed
        self._tasks: dict[str, Task] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._number = 0

    def begin(
        self, method: str, entity: tuple[Ref, str], user: str, duration_s: float, effect: Callable[[], Value]
    ) -> Ref:
        """Start a task whose ``effect`` comes after ``duration_s``; a MachineError of it becomes the task's error."""
        self._number += 1
        task = Task(self._number, method, entity[0], entity[1], user, self._estate.now())
        self._tasks[task.ref.id] = task
        while len(self._tasks) > KEPT:
            del self._tasks[next(iter(self._tasks))]
        running = asyncio.get_running_loop().create_task(self._run(task, duration_s, effect))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return task.ref

    def properties(self, ref: Ref) -> Properties:
        """Return a task's properties. Raises VimFault ManagedObjectNotFound."""
        task = self._tasks.get(ref.id)
        if task is None:
            raise gone(ref)
        info: dict[str, Value] = {
            "key": ref.id,
            "task": ref,
            "name": task.method,
            "descriptionId": f"VirtualMachine.{task.method.removesuffix('_Task')}",
            "entity": task.entity,
            "entityName": task.entity_name,
            "state": Word("TaskInfoState", task.state),
            "cancelled": False,
            "cancelable": False,
            "error": None if task.error is None else localized(task.error),
            "result": task.result,
            "progress": 50 if task.state == "running" else None,
            "reason": Struct("TaskReasonUser", {"userName": task.user}),
            "queueTime": stamp(task.queued_at),
            "startTime": stamp(task.queued_at),
            "completeTime": None if task.ended_at is None else stamp(task.ended_at),
            "eventChainId": task.number,
        }
        return {"info": Struct("TaskInfo", info)}

    def recent(self) -> tuple[Ref, ...]:
        """Return the newest tasks."""
        return tuple(task.ref for task in list(self._tasks.values())[-20:])

    async def stop(self) -> None:
        """End what runs, without its effect."""
        running = tuple(self._running)
        self.abandon()
        await asyncio.gather(*running, return_exceptions=True)

    def abandon(self) -> None:
        """Lose what runs, as a power cut does."""
        for running in self._running:
            running.cancel()
        for task in self._tasks.values():
            if task.state == "running":
                self._end(task, None, VimFault("SystemError", "The server was restarted.", {"reason": "restart"}))

    async def _run(self, task: Task, duration_s: float, effect: Callable[[], Value]) -> None:
        await asyncio.sleep(duration_s)
        try:
            self._failing()
            result = effect()
        except MachineError as error:
            self._end(task, None, meaning(error, task.entity))
        else:
            self._end(task, result, None)
        self._changed()

    def _failing(self) -> None:
        if self._estate.faults.active("fail-task", self._key):
            raise MachineError("SystemError", "A general system error occurred: the lab was told to fail tasks.")

    def _end(self, task: Task, result: Value, error: VimFault | None) -> None:
        task.state = "success" if error is None else "error"
        task.result, task.error, task.ended_at = result, error, self._estate.now()


def meaning(error: MachineError, entity: Ref) -> VimFault:
    """Return the vim25 fault of a failed order."""
    fields: dict[str, Value] = {}
    if error.fault == "InvalidPowerState":
        fields = {"existingState": Word("VirtualMachinePowerState", error.state)}
        if error.wanted:
            fields["requestedState"] = Word("VirtualMachinePowerState", error.wanted)
    elif error.fault == "InvalidDeviceSpec":
        fields = {"property": f"spec.deviceChange.device.key {error.state}", "deviceIndex": 0}
    elif error.fault == "DuplicateName":
        fields = {"name": error.state, "object": entity}
    elif error.fault == "ManagedObjectNotFound":
        fields = {"obj": entity}
    elif error.fault == "SystemError":
        fields = {"reason": str(error)}
    return VimFault(error.fault, str(error), fields)

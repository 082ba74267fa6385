"""A folder that a step restores into: new, marked with the step's key, and removed only by the step that made it.

The mark stands beside the folder, so that the tool's target is empty, and names who fills it and whether that is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dr.errors import StepFailed
from dr.estate.shell import Shell
from dr.estate.waiting import Deadline


async def filled_by(shell: Shell, target: str, key: str, deadline: Deadline) -> bool:
    """Tell whether ``key`` filled ``target`` to the end. Raises TargetError, StepFailed."""
    return await _mark(shell, target, deadline) == f"done {key}" and await shell.exists(target, deadline)


async def make_target(shell: Shell, target: str, key: str, deadline: Deadline) -> Callable[[], Awaitable[None]]:
    """Make ``target``, empty, for ``key``; call the result once it is filled.

    Raises TargetError, and StepFailed when something is there that this step did not make.
    """
    if await shell.exists(target, deadline):
        if await _mark(shell, target, deadline) != f"begun {key}":
            raise StepFailed(f"there is something at {target} of {shell.host.address}: restore into a new folder")
        await shell.must(["rm", "-rf", "--one-file-system", "--", target], deadline)
    await shell.put(_beside(target), f"begun {key}", deadline)
    await shell.must(["mkdir", "-m", "700", "--", target], deadline)

    async def done() -> None:
        await shell.put(_beside(target), f"done {key}", deadline)

    return done


async def remove_target(shell: Shell, target: str, key: str, deadline: Deadline) -> None:
    """Remove ``target`` if ``key`` made it; that there is none is well too. Raises TargetError, StepFailed."""
    if await _mark(shell, target, deadline) in {f"begun {key}", f"done {key}"}:
        await shell.must(["rm", "-rf", "--one-file-system", "--", target, _beside(target)], deadline)


async def _mark(shell: Shell, target: str, deadline: Deadline) -> str:
    if not await shell.exists(_beside(target), deadline):
        return ""
    return (await shell.must(["cat", "--", _beside(target)], deadline)).strip()


def _beside(target: str) -> str:
    return f"{target.rstrip('/')}.karaula"

"""Commands on hosts: filled in, run over SSH, their output told live and read by a strict model."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dr.errors import StepFailed
from dr.world import World
from monitor.clients.ssh import SshResult
from monitor.credential import Secret
from monitor.errors import GarbledReply
from monitor.inventory.equipment import SshHost

M = TypeVar("M", bound=BaseModel)
SHOWN_CHARS = 300
NO_SECRETS: Mapping[str, Secret] = MappingProxyType({})


def silent(line: str) -> None:
    """Say nothing: for what is asked over and over."""
    del line


def filled(command: Sequence[str], **values: str | int) -> list[str]:
    """Return ``command`` with ``{name}`` replaced by each value."""
    argv = list(command)
    for name, value in values.items():
        argv = [word.replace("{" + name + "}", str(value)) for word in argv]
    return argv


def sealed(argv: Sequence[str], secrets: Mapping[str, Secret]) -> tuple[list[str], bytes]:
    """Return a command that reads ``secrets`` from its input into its environment, and that input.

    So no secret ever stands on a command line, which every user of the host can read.
    """
    if not secrets:
        return list(argv), b""
    script = "".join(f"IFS= read -r {name} && export {name} && " for name in secrets) + 'exec "$@"'
    given = "".join(f"{secret.reveal()}\n" for secret in secrets.values())
    return ["sh", "-c", script, "sh", *argv], given.encode()


async def run(
    world: World,
    host: SshHost,
    argv: Sequence[str],
    timeout_s: float,
    say: Callable[[str], None] = silent,
    *,
    stdin: bytes = b"",
    secrets: Mapping[str, Secret] = NO_SECRETS,
) -> SshResult:
    """Run and return the result, whatever its exit status. Raises TargetError, CredentialError.

    ``secrets`` are in the command's environment by their names, and come before ``stdin`` on its input.
    """
    say(f"{host.address}$ {shlex.join(argv)}")
    command, given = sealed(argv, secrets)
    result = await world.ssh.run(
        host, command, timeout_s=timeout_s, stdin=given + stdin, on_line=lambda _stream, line: say(line)
    )
    if result.exit_status:
        say(f"exit status {result.exit_status}")
    return result


def checked(result: SshResult, host: SshHost, argv: Sequence[str]) -> SshResult:
    """Return ``result`` of a command that ended well. Raises StepFailed with what it said otherwise."""
    if result.exit_status == 0:
        return result
    said = " ".join((result.stderr.strip() or result.stdout.strip()).split())[:SHOWN_CHARS] or "it says nothing"
    raise StepFailed(f"'{shlex.join(argv)}' at {host.address} ended with exit status {result.exit_status}: {said}")


def read(model: type[M], result: SshResult, host: SshHost, argv: Sequence[str]) -> M:
    """Return what the command printed. Raises GarbledReply when it is not what it promises."""
    try:
        return model.model_validate_json(result.stdout)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise GarbledReply(f"'{shlex.join(argv)}' at {host.address} printed what it should not: {what}") from error

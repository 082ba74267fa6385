"""Run a playbook of Ansible's, for estates that have them.

What such a playbook does Karaula cannot see. So its effect is looked for before it is run and after: by a run that only
looks (``--check``: nothing would change), or by a playbook of the author's that says whether all is as it should be.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dr.action import HELD_BEFORE, Context, Done, Effect, Holds, Output, ProjectKey, Seen, StepArgs
from dr.errors import StepFailed
from dr.estate.waiting import Deadline
from dr.playbook.foreign import MODELLED
from monitor.clients import ansible
from monitor.clients.ansible import Play, Played
from monitor.errors import TargetError, Unreachable
from monitor.inventory.ansible import AnsibleProject, FileBelow, Variable

Declared = Literal["role", "power"]
PLAIN = r"^[A-Za-z0-9_.:,&!*\[\]@-]*$"
CHECK = ("--check", "-v")  # only so it tells why it leaves a task out
LOOK_LIMIT_S = 900.0


class AnsibleArgs(StepArgs):
    """``probe`` and ``undo`` are playbooks as well. Without ``probe`` the playbook itself is run with ``--check``.

    ``declares`` says what it makes of the system at the step's site, where that is something that guards and the
    checker know: ``{power: application-on}``. What it does not declare they do not see.
    """

    project: ProjectKey = Field(description="a key of the inventory's `ansible`")
    playbook: FileBelow = Field(description="what to run, below the project's folder")
    limit: Annotated[str, Field(pattern=PLAIN, max_length=500)] = Field(
        "", description="hosts; empty: all of the play's"
    )
    tags: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], ...] = Field((), description="only tasks with one")
    variables: dict[Variable, str | int | float | bool] = Field(default_factory=dict, description="extra variables")
    probe: FileBelow | None = Field(None, description="a playbook that tells whether it holds; left out: --check tells")
    undo: FileBelow | None = Field(None, description="a playbook that takes it back; left out: it cannot be")
    forks: Annotated[int, Field(ge=1, le=200)] = Field(5, description="hosts at a time")
    declares: dict[Declared, str] = Field(default_factory=dict, description="what it makes of the system at the site")

    @model_validator(mode="after")
    def _declares_what_is_known(self) -> Self:
        for field, value in self.declares.items():
            if value not in MODELLED[field]:
                raise ValueError(f"declares {field} = '{value}'; known: {', '.join(sorted(MODELLED[field]))}")
        return self

    @property
    def can_be_undone(self) -> bool:
        """Tell whether the author has said how."""
        return self.undo is not None


class Ansible:
    """One effect however often it is asked for: what holds already is not done again."""

    name: ClassVar[str] = "ansible"
    summary: ClassVar[str] = "run a playbook of Ansible's"
    outputs: ClassVar[tuple[str, ...]] = ("hosts", "ok", "changed", "unreachable", "failed", "results", HELD_BEFORE)
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = True
    Args: ClassVar[type[StepArgs]] = AnsibleArgs
    probe_limit_s: ClassVar[float] = LOOK_LIMIT_S

    def lacking(self) -> str:
        """Say what is not installed that it needs; empty: nothing."""
        return ansible.lacking()

    def effects(self, args: AnsibleArgs) -> tuple[Effect, ...]:
        """Declare that the playbook holds for its hosts, and what its author says that this means for the system."""
        plain = {name: value for name, value in args.variables.items() if "${" not in str(value)}
        given = f" with {json.dumps(plain, sort_keys=True)}" if plain else ""
        applied = f"holds for {args.limit or 'all its hosts'}{given}"
        mine = f"system/{args.system}/{args.site}"
        declared = (Effect(mine, field, value) for field, value in sorted(args.declares.items()))
        return Effect(f"ansible/{args.project}", f"playbook {args.playbook}", applied), *declared

    async def run(self, args: AnsibleArgs, context: Context) -> Done:
        """Look whether it holds; if it cannot be seen that it does, run it. Raises StepFailed, TargetError."""
        deadline = Deadline(context.world.clock, context.timeout_s)
        try:
            seen = await _look(args, context, deadline.left(context.timeout_s / 2))
        except (TargetError, StepFailed) as error:
            context.say(f"whether it holds already cannot be seen: {error}")
        else:
            context.say(f"before: {seen.evidence}")
            if seen.holds is Holds.YES:
                context.say("it holds already, and is not run again")
                return Done({**seen.outputs, HELD_BEFORE: context.attempt == 1})
        played = await _carried_out(args.playbook, args, context, deadline.left())
        return Done(_values(played))

    async def probe(self, args: AnsibleArgs, context: Context) -> Seen:
        """Look again."""
        try:
            return await _look(args, context, context.timeout_s)
        except (TargetError, StepFailed) as error:
            return Seen(Holds.CANNOT_TELL, str(error))

    async def undo(self, args: AnsibleArgs, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Run the playbook that takes it back, and look that it did. What held before the step is left.

        Raises StepFailed, TargetError.
        """
        if args.undo is None:
            raise StepFailed("the step names no playbook that takes it back (undo)")
        if outputs.get(HELD_BEFORE) is True:
            context.say("it held before the step, and is left")
            return Done()
        deadline = Deadline(context.world.clock, context.timeout_s)
        played = await _carried_out(args.undo, args, context, deadline.left())
        after = await _look(args, context, deadline.left())
        if after.holds is not Holds.NO:
            raise StepFailed(f"{args.undo} was run, but that its effect is gone is not seen: {after.evidence}")
        return Done(_values(played))


async def _look(args: AnsibleArgs, context: Context, timeout_s: float) -> Seen:
    """Ask whether the playbook's effect holds, and change nothing. Raises StepFailed, TargetError."""
    if args.probe is not None:
        played = await ansible.carry_out(_play(args.probe, args, context), timeout_s, context.say)
        return _said_by_probe(args.probe, played)
    played = await ansible.carry_out(_play(args.playbook, args, context, CHECK), timeout_s, context.say)
    return _said_by_check(args.playbook, played)


def _said_by_probe(name: str, played: Played) -> Seen:
    """Judge the author's own probe: it ends well where the effect holds, and fails where it does not."""
    changed, failed, unreachable = _where(played, "changed"), _where(played, "failed"), _where(played, "unreachable")
    if changed:
        return Seen(Holds.CANNOT_TELL, f"{name} is to look only, and has changed something at {changed}")
    if unreachable or not played.hosts:
        return Seen(Holds.CANNOT_TELL, _trouble(name, played))
    if failed:
        return Seen(Holds.NO, _trouble(name, played))
    if played.exit_status:
        return Seen(Holds.CANNOT_TELL, _trouble(name, played))
    return Seen(Holds.YES, f"{name} ends well at {', '.join(played.hosts)}", _values(played))


def _said_by_check(name: str, played: Played) -> Seen:
    """Judge a run that only looked. What it would change is missing; what it cannot look at it does not know."""
    if changed := _where(played, "changed"):
        return Seen(Holds.NO, f"{name} would change something at {changed}")
    if played.exit_status or not played.hosts:
        return Seen(Holds.CANNOT_TELL, _trouble(name, played))
    if played.blind:
        tasks = ", ".join(f"'{task}'" for task in played.blind)
        why = f"{name} has tasks that cannot say beforehand what they would change ({tasks})"
        return Seen(Holds.CANNOT_TELL, f"{why}; name a playbook that can tell (probe)")
    return Seen(Holds.YES, f"{name} would change nothing at {', '.join(played.hosts)}", _values(played))


async def _carried_out(name: str, args: AnsibleArgs, context: Context, timeout_s: float) -> Played:
    """Carry out a playbook that is to end well everywhere. Raises StepFailed, TargetError."""
    played = await ansible.carry_out(_play(name, args, context), timeout_s, context.say)
    if played.exit_status == 0 and played.hosts:
        return played
    touched = any(result.ok or result.changed or result.failed for result in played.hosts.values())
    if played.hosts and not touched:
        raise Unreachable(_trouble(name, played))
    raise StepFailed(_trouble(name, played), retry_helps=bool(played.hosts))


def _play(name: str, args: AnsibleArgs, context: Context, options: tuple[str, ...] = ()) -> Play:
    """Return what is carried out. Raises StepFailed, CredentialError."""
    world = context.world
    project = world.inventory.ansible.get(args.project)
    if project is None:
        raise StepFailed(f"the inventory has no ansible project '{args.project}'")
    own = {
        "karaula_run": context.run_id,
        "karaula_step": context.step,
        "karaula_key": context.key,
        "karaula_epoch": context.token,
        "karaula_system": args.system,
        "karaula_site": args.site,
    }
    secrets = {name: world.credentials.secret(reference).reveal() for name, reference in project.secrets.items()}
    return Play(
        folder=Path(project.folder),
        playbook=name,
        inventory=Path(project.folder) / project.inventory,
        variables={**args.variables, **secrets, **own},
        options=(*options, *_options(project, args, context)),
    )


def _options(project: AnsibleProject, args: AnsibleArgs, context: Context) -> Iterator[str]:
    credentials, trust = context.world.credentials, context.world.inventory.trust
    yield from ("--forks", str(args.forks))
    strict = (
        f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={shlex.quote(str(credentials.path(trust.known_hosts)))}"
    )
    yield f"--ssh-common-args={strict}"
    if args.limit:
        yield f"--limit={args.limit}"
    if args.tags:
        yield f"--tags={','.join(args.tags)}"
    if project.user is not None:
        yield f"--user={project.user}"
    if project.credential is not None:
        yield f"--private-key={credentials.path(project.credential)}"
    if project.vault_password is not None:
        yield f"--vault-password-file={credentials.path(project.vault_password)}"


def _where(played: Played, word: str) -> str:
    return ", ".join(host for host, result in played.hosts.items() if getattr(result, word))


def _values(played: Played) -> dict[str, Output]:
    """Return the step's values: at how many hosts, and at which it ended how; ``results`` has each one's counts."""
    troubled = {host for host, result in played.hosts.items() if result.unreachable or result.failed}
    counts: dict[str, Any] = {
        host: {word: getattr(result, word) for word in ("ok", "changed", "unreachable", "failed", "skipped")}
        for host, result in played.hosts.items()
    }
    return {
        "hosts": len(played.hosts),
        "ok": ", ".join(host for host in played.hosts if host not in troubled),
        **{word: _where(played, word) for word in ("changed", "unreachable", "failed")},
        "results": json.dumps(counts, sort_keys=True),
        HELD_BEFORE: False,
    }


def _trouble(name: str, played: Played) -> str:
    """Say in one sentence what went wrong."""
    if not played.hosts:
        said = played.last or "it says nothing"
        return f"{name} reached no host; ansible-playbook ended with exit status {played.exit_status}: {said}"
    parts = [f"{word} at {hosts}" for word in ("failed", "unreachable") if (hosts := _where(played, word))]
    away = tuple(f"{host}: " for host, result in played.hosts.items() if result.unreachable)
    complaints = sorted(played.complaints, key=lambda complaint: complaint.startswith(away))  # what failed goes before
    told = f" ({complaints[0]})" if complaints else ""
    return f"{name}: {'; '.join(parts) or f'exit status {played.exit_status}'}{told}"

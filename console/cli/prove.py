"""`karaula prove`: every course that a playbook's run can take, held against the invariants of recovery."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.cli.check import FILE, FOLDER
from console.cli.session import output_option
from console.cli.simulated.talk import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from console.terminal.screen import Cell, Screen
    from dr.checker.explore import Result
    from dr.playbook.model import Plan

MOST_FAULTS = 4
PLANTED = ("fence-removed", "fence-opened", "names-first", "promotion-ignored", "clones-left")
LAB_CREDENTIALS = ".karaula/lab/credentials"
LIMITS = (
    "What is proven holds for the effects that the actions declare, for the engine and guards of this version, and for "
    "at most {faults}; it says nothing of what an action does beyond its declaration."
)


@dataclass(frozen=True, slots=True)
class Found:
    """The plans of one shape, their systems, and what exploring one of them has found."""

    plans: list[Plan]
    systems: tuple[str, ...]
    result: Result


@click.command()
@click.argument("playbook", nargs=-1)
@click.option("--system", "systems", multiple=True, help="Only this system; may be given several times.")
@click.option(
    "--faults",
    type=click.IntRange(0, MOST_FAULTS),
    help="How many at most; if not given, as many as the inventory demands (proofs.faults, 2).",
)
@click.option("--most", type=click.IntRange(1), default=5_000_000, show_default=True, help="Moments a plan at most.")
@click.option("--inventory", type=FILE, default="inventory.yaml", show_default=True, help="The estate.")
@click.option("--playbooks", type=FOLDER, default="playbooks", show_default=True, help="The folder of playbooks.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=".karaula/state",
    show_default=True,
    help="The daemon's folder: where what was proven is written down.",
)
@click.option("--plant", type=click.Choice(PLANTED), help="Plant this mistake first, to see it found.")
@click.option("--replay", is_flag=True, help="Play the first counterexample again on the lab, and compare the endings.")
@click.option(
    "--lab", "lab_url", envvar="KARAULA_LAB", default=DEFAULT, show_default=True, help="The lab, for --replay."
)
@click.option(
    "--credentials",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="CREDENTIALS_DIRECTORY",
    default=LAB_CREDENTIALS,
    show_default=True,
    help="The lab's credentials, for --replay.",
)
@output_option
def prove(
    playbook: tuple[str, ...],
    systems: tuple[str, ...],
    faults: int | None,
    most: int,
    inventory: Path,
    playbooks: Path,
    state: Path,
    plant: str | None,
    replay: bool,
    lab_url: str,
    credentials: Path,
    output: str,
) -> None:
    """Explore every course that runs of PLAYBOOK (or of all) can take.

    Each step may fail, or give no answer and have happened or not; a look may not tell; a site may be cut off; the
    orchestrator may die at any moment; people may approve, refuse, retry, pass over, resume and cancel: in every
    combination of at most --faults such disturbances. Needs no daemon.

    What is proven is written into the daemon's state folder, where there is one: for this playbook as it stands, this
    part of the inventory and this version it is then VERIFIED, for as long as the inventory says (proofs).

    With --replay the first counterexample is played again on the lab, which it breaks: on any address that is not on
    loopback, and on anything but the lab of this inventory, that is refused.

    Exit code 0: proven (with --replay: the lab ended as the model did); 1: a course breaks an invariant, and is
    shown, or not everything could be explored (with --replay: the lab ended otherwise).

    \b
    Example:
      karaula prove
      karaula prove failover --system ncts --faults 3
      karaula prove --plant names-first --system ncts --replay
    """  # noqa: D301 - click's mark
    from console.terminal import exits
    from console.terminal.screen import Screen, table

    screen = Screen(as_json=output == "json")
    plans, faults = _plans(inventory, playbooks, playbook, systems, faults)
    if plant is not None:
        plans = _planted(plant, plans)
    began = time.perf_counter()
    found = list(_explored(plans, faults, most, screen))
    took_s = time.perf_counter() - began
    moments = sum(each.result.moments for each in found)
    screen.document(
        {"faults": faults, "seconds": round(took_s, 3), "moments": moments, "proofs": [_body(each) for each in found]}
    )
    headings = ("PLAYBOOK", "SYSTEMS", "STEPS", "MOMENTS", "RESULT", "COURSES END")
    screen.say(table(headings, [_row(each) for each in found]))
    bad = [each for each in found if not each.result.proved]
    for each in bad:
        _spoken(each, screen)
    screen.line("")
    if not plant:
        screen.line(_recorded(state, found))
    rate = moments / took_s if took_s else 0.0
    screen.line("")
    screen.line(f"{moments} moments in {took_s:.1f} s, {rate:.0f} a second")
    for line in _limits(found, faults):
        screen.line(line)
    if replay:
        click.get_current_context().exit(_replayed(found, inventory, playbooks, credentials, lab_url, screen))
    click.get_current_context().exit(exits.FAILED if bad else exits.DONE)


def _spoken(each: Found, screen: Screen) -> None:
    """Say which law is broken, and by which course; or that not everything was explored."""
    from dr.checker.laws import LAWS
    from dr.checker.story import numbered

    name, names, story = each.plans[0].playbook, each.systems, each.result.counterexample
    screen.line("")
    if story is None:
        screen.line(f"{name} was not explored to its end; allow more moments with --most")
        return
    screen.line(f"{name} of {', '.join(names)} breaks law {story.law} ({LAWS[story.law]}):")
    for line in numbered(story.course):
        screen.line(f"  {line}")
    screen.line(f"  Then: {story.wrong}")


def _planted(name: str, plans: list[Plan]) -> list[Plan]:
    """Return the plan of the planted playbook, spoiled. Raises UsageError when it is not among ``plans``."""
    from dr.checker.plant import PLANTS

    plant = PLANTS[name]
    found = [plan for plan in plans if plan.kind == plant.playbook]
    if not found:
        raise click.UsageError(f"'{name}' is planted in a {plant.playbook}, which is not among what is to be proven")
    return [plant.spoil(found[0])]


def _replayed(
    found: list[Found],
    inventory: Path,
    playbooks: Path,
    credentials: Path,
    lab_url: str,
    screen: Screen,
) -> int:
    """Play the first counterexample on the lab; return the exit code: the same ending is what was wanted."""
    from console.cli.prove_replay import play
    from console.terminal import exits

    for each in found:
        if each.result.counterexample is not None:
            story = each.result.counterexample
            same = play(each.result.plan, story, inventory, playbooks, credentials, lab_url, screen)
            return exits.DONE if same else exits.FAILED
    screen.line("There is no counterexample to play.")
    return exits.FAILED


def _plans(
    inventory: Path, playbooks: Path, wanted: tuple[str, ...], systems: tuple[str, ...], faults: int | None
) -> tuple[list[Plan], int]:
    """Return the plans to prove, and with how many faults. Raises InventoryError (every mistake), and UsageError."""
    from dr.extensions import installed
    from dr.playbook.read import check, plans_of, read_playbooks
    from monitor.errors import InventoryError
    from monitor.inventory.read import read
    from monitor.problem import did_you_mean

    estate, files = read(inventory), read_playbooks(playbooks)
    actions = installed().actions
    problems = check(files, estate, actions)
    if problems:
        raise InventoryError(sorted(problems))
    for what, names, known in (("playbook", wanted, files.keys()), ("system", systems, estate.systems.keys())):
        for name in names:
            if name not in known:
                raise click.UsageError(f"unknown {what} '{name}'; {did_you_mean(name, known) or 'see karaula check'}")
    plans = [
        plan
        for name in wanted or sorted(files)
        for plan in plans_of(files[name], estate, actions)
        if not systems or plan.system in systems
    ]
    return plans, estate.proofs.faults if faults is None else faults


def _recorded(state: Path, found: list[Found]) -> str:
    """Write down what was proven and take out what was refuted; say so. Raises StateError."""
    from console import proofs
    from console.version import VERSION
    from dr.proof import Proof, fingerprint
    from monitor.clock import RealClock

    if not state.is_dir():
        return f"not written down: there is no folder {state} (--state names the daemon's)"
    now = RealClock().now()
    good = [
        Proof(fingerprint(plan), plan.playbook, plan.system, each.result.faults, now, VERSION, each.result.moments)
        for each in found
        for plan in each.plans
        if each.result.proved
    ]
    bad = [fingerprint(plan) for each in found for plan in each.plans if each.result.counterexample is not None]
    return f"written down in {proofs.record(state, good, bad)}"


def _explored(plans: list[Plan], faults: int, most: int, screen: Screen) -> Iterator[Found]:
    """Yield what was found of each shape; plans that differ in names only are explored once."""
    from dr.checker.explore import explore, shape
    from dr.checker.moment import Engine
    from dr.guards import RUN_GUARDS, STEP_GUARDS

    groups: dict[str, list[Plan]] = {}
    for plan in plans:
        groups.setdefault(f"{plan.playbook} {shape(plan)}", []).append(plan)
    with _watched(screen) as progress:
        for group in groups.values():
            names = tuple(dict.fromkeys(plan.system for plan in group))
            told = progress(f"{group[0].playbook} of {', '.join(names)}")
            result = explore(group[0], faults, Engine(RUN_GUARDS, STEP_GUARDS), most=most, progress=told)
            yield Found(group, names, result)


class _watched:  # noqa: N801 - used as a context, like a function
    """Shows on a terminal how many moments were explored; elsewhere nothing."""

    def __init__(self, screen: Screen) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not screen.live)

    def __enter__(self) -> Callable[[str], Callable[[int], None]]:
        self._bar.start()
        return self._named

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _named(self, what: str) -> Callable[[int], None]:
        task = self._bar.add_task(what, total=None)
        return lambda moments: self._bar.update(task, description=f"{what}: {moments} moments")


def _limits(found: list[Found], faults: int) -> Iterator[str]:
    """Yield what was not proven."""
    yield from sorted({sentence for one in found for sentence in _on_trust(one.result.plan)})
    yield LIMITS.format(faults=f"{faults} disturbance{'' if faults == 1 else 's'} a run")


def _on_trust(plan: Plan) -> Iterator[str]:
    """Yield what the proof of ``plan`` takes from packages: their declarations, which their code may not keep to."""
    for step in plan.steps:
        if step.provider:
            what = "; ".join(f"{field} of {subject} becomes {value}" for subject, field, value in step.effects)
            said = f"declares that {what}" if what else "declares that it only reads"
            who = f"{step.action} by {step.provider}"
            yield f"Step '{step.id}' of {plan.playbook}: {who} {said}, and is taken at its word."


def _row(found: Found) -> tuple[Cell, ...]:
    from console.terminal.screen import cell
    from console.terminal.words import BAD, GOOD

    result = found.result
    if result.proved:
        verdict = cell("proven", GOOD)
    elif result.counterexample is None:
        verdict = cell("not explored to the end", BAD)
    else:
        verdict = cell(f"BREAKS law {result.counterexample.law}, see below", BAD)
    ends = ", ".join(f"{count} {state}" for state, count in sorted(result.ends.items()))
    name, systems = result.plan.playbook, ", ".join(found.systems)
    return name, systems, str(len(result.plan.steps)), str(result.moments), verdict, ends


def _body(found: Found) -> dict[str, Any]:
    result = found.result
    story = result.counterexample
    return {
        "playbook": result.plan.playbook,
        "systems": list(found.systems),
        "steps": len(result.plan.steps),
        "moments": result.moments,
        "ends": result.ends,
        "proved": result.proved,
        "complete": result.complete,
        "taken_on_trust": list(_on_trust(result.plan)),
        "counterexample": None
        if story is None
        else {"law": story.law, "wrong": story.wrong, "course": list(story.course)},
    }

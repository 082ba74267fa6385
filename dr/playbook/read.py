"""Reading ``playbooks/``: every mistake at once with its place, and what the inventory says of playbooks.

Shape is checked when a file is read; references and safety rules are checked against every system of the
inventory, so that a playbook that passes ``karaula check`` can be planned for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from dr.errors import PlaybookError
from dr.playbook.foreign import Foreign
from dr.playbook.model import ANY_RUN, ATTENDED, DIRECTION, Mistake, Plan, Playbook
from dr.playbook.parameters import Wish
from dr.playbook.plan import make_plan
from dr.playbook.subject import ActionShape, Subject
from monitor.errors import InventoryError
from monitor.inventory.behaviour import Schedule
from monitor.inventory.explain import explain
from monitor.inventory.model import Inventory
from monitor.problem import Problem, did_you_mean
from monitor.status.calendar import due_times, open_until
from monitor.yamlfile import Document, load

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
A_MONDAY = 1_704_067_200.0  # 2024-01-01: only asks how a line's times and windows lie to each other
SLOTS_TRIED = 400  # a daily line's year with both changes of the clocks
BY_ITSELF = "failover"
NEVER_SCHEDULED = frozenset({"failover", "switchover", "failback", "reprotect"})


@dataclass(frozen=True, slots=True)
class PlaybookFile:
    """A playbook with the file it was read from."""

    name: str
    playbook: Playbook
    document: Document
    sha256: str

    def problem(self, mistake: Mistake) -> Problem:
        """Return the mistake with its line and column."""
        path = mistake.path
        if len(path) == 2:  # noqa: PLR2004 - (steps, 3): a whole step is shown at its id
            path = (*path, "id")
        return self.document.problem(path, mistake.message, mistake.hint)


def read_playbooks(folder: Path) -> dict[str, PlaybookFile]:
    """Return every ``*.yaml`` of ``folder`` by its name. Raises PlaybookError with all mistakes of all files.

    A file that looks like a playbook and would not be read is a mistake: somebody counts on it.
    """
    if not folder.is_dir():
        raise PlaybookError([Problem(str(folder), 1, 1, "", "there is no such folder of playbooks")])
    problems: list[Problem] = []
    files: dict[str, PlaybookFile] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".yaml", ".yml"} or not path.is_file():
            continue
        if path.suffix == ".yml" or not NAME.fullmatch(path.stem):
            problems.append(_misnamed(path))
            continue
        try:
            document = load(path)
            playbook = Playbook.model_validate(document.data)
        except InventoryError as error:
            problems += error.problems
        except ValidationError as error:
            problems += explain(error, Playbook, document)
        else:
            files[path.stem] = PlaybookFile(path.stem, playbook, document, document.sha256)
    if problems:
        raise PlaybookError(sorted(problems))
    if not files:
        raise PlaybookError([Problem(str(folder), 1, 1, "", "holds no playbook (*.yaml)")])
    return files


def check(
    files: Mapping[str, PlaybookFile],
    inventory: Inventory,
    actions: Mapping[str, ActionShape],
    unplanned: Container[str] = (),
) -> list[Problem]:
    """Return every mistake of the playbooks against the inventory, and of the inventory against the playbooks.

    Those named in ``unplanned`` are taken as they are written.
    """
    found: set[Problem] = set()
    for file in files.values():
        for subject in _subjects(file, inventory) if file.name not in unplanned else ():
            _, mistakes = make_plan(file.name, file.playbook, subject, actions)
            found.update(file.problem(mistake) for mistake in mistakes)
    return sorted(found) + _named_in_inventory(files, inventory)


def withheld(files: Mapping[str, PlaybookFile], actions: Mapping[str, ActionShape]) -> dict[str, str]:
    """Return why playbooks cannot be run though nothing in them is wrong, by name: an action of theirs is unusable."""
    found: dict[str, str] = {}
    for name, file in files.items():
        for step in (*file.playbook.steps, *file.playbook.finally_steps):
            action = actions.get(step.action)
            if isinstance(action, Foreign) and action.unusable:
                found.setdefault(name, f"action '{step.action}' cannot be used: {action.unusable}")
    return found


def plans_of(file: PlaybookFile, inventory: Inventory, actions: Mapping[str, ActionShape]) -> list[Plan]:
    """Return the plan of every run that the playbook can lead to; what ``check`` finds mistakes in is left out."""
    made = (make_plan(file.name, file.playbook, subject, actions)[0] for subject in _subjects(file, inventory))
    found = [plan for plan in made if plan is not None]
    return found + ([] if file.playbook.kind != "failover" else list(_forced(file, inventory, actions)))


def _forced(file: PlaybookFile, inventory: Inventory, actions: Mapping[str, ActionShape]) -> Iterator[Plan]:
    """Yield the forced plans that differ: those that leave something of the lost site out."""
    for subject in _subjects(file, inventory):
        wished = replace(subject, wish=Wish(forced=True))
        plan = make_plan(file.name, file.playbook, wished, actions)[0]
        if plan is not None and plan.left_out:
            yield plan


def _subjects(file: PlaybookFile, inventory: Inventory) -> Iterator[Subject]:
    """Yield every system and direction that the playbook serves: a drill is also held after a failover."""
    for key, system in inventory.systems.items():
        sites = {"protected": system.protected_site, "recovery": system.recovery_site}
        way = tuple(sites[word] for word in DIRECTION[file.playbook.kind])
        for from_site, to_site in (way,) if file.playbook.kind in ATTENDED else (way, way[::-1]):
            yield Subject(inventory, "", key, from_site, to_site, ANY_RUN)


def _named_in_inventory(files: Mapping[str, PlaybookFile], inventory: Inventory) -> list[Problem]:
    """Return schedules and responses that name a playbook which does not exist or may not stand there."""
    problems = []
    for key, schedule in inventory.schedules.items():
        path = ("schedules", key, "playbook")
        file = files.get(schedule.playbook)
        if file is None:
            problems.append(_unknown(inventory, path, schedule.playbook, files))
        elif file.playbook.kind in NEVER_SCHEDULED:
            text = f"'{schedule.playbook}' is a {file.playbook.kind}; it cannot be put on a clock"
            problems.append(inventory.problem(path, text))
        elif missed := _outside(schedule, file.playbook.kind, inventory):
            hint = "move the schedule, or widen a window"
            problems.append(inventory.problem(("schedules", key, "cron"), missed, hint))
    for key, response in inventory.responses.items():
        path = ("responses", key, "playbook")
        answer = files.get(response.playbook)
        if answer is None:
            problems.append(_unknown(inventory, path, response.playbook, files))
        elif answer.playbook.kind not in ATTENDED:
            text = f"'{response.playbook}' is a {answer.playbook.kind}, which begins without an approval"
            problems.append(inventory.problem(path, text, "an alarm may only prepare a failover or another hand-over"))
        if response.mode == "automatic" and (against := _not_by_itself(answer, inventory)):
            hint = "use 'prepare': the run is made ready and a person approves it"
            problems.append(inventory.problem(("responses", key, "mode"), against, hint))
    return sorted(problems)


def _not_by_itself(file: PlaybookFile | None, inventory: Inventory) -> str:
    """Say why a response to an alarm may not start ``file`` without an approval; empty: it may."""
    if file is not None and file.playbook.kind != BY_ITSELF:
        return f"a {file.playbook.kind} is never 'automatic': only a failover is"
    if not inventory.vantage.points:
        return "'automatic' needs others that see the site down, and vantage.points names none"
    return ""


def _outside(schedule: Schedule, kind: str, inventory: Inventory) -> str:
    """Say when the schedule comes due outside the windows of its kind, where its run would be refused; else nothing."""
    windows = [one for one in inventory.windows.values() if one.covers(kind, schedule.system)]
    lines = tuple((one.cron, one.duration_s) for one in windows)
    zone = inventory.estate.timezone
    due = _uncovered(schedule.cron, zone, lines) if windows else None
    if due is None:
        return ""
    shown = datetime.fromtimestamp(due, UTC).astimezone(ZoneInfo(zone)).strftime("%A at %H:%M")
    return f"comes due outside the windows in which a {kind} may begin, for example on a {shown}"


@cache
def _uncovered(cron: str, zone: str, windows: tuple[tuple[str, float], ...]) -> float | None:
    """Return the first of the line's times at which none of the windows (cron, seconds) is open; None: none is."""
    for due in islice(due_times(cron, zone, A_MONDAY, float("inf")), SLOTS_TRIED):
        if all(open_until(opens, zone, lasts_s, due) is None for opens, lasts_s in windows):
            return due
    return None


def _misnamed(path: Path) -> Problem:
    name = re.sub(r"[^a-z0-9-]+", "-", path.stem.lower()).strip("-0123456789") or "playbook"
    message = "a playbook's file name has lower-case letters, digits and dashes, starts with a letter and ends in .yaml"
    return Problem(str(path), 1, 1, "", message, f"rename it to {name}.yaml")


def _unknown(inventory: Inventory, path: tuple[str, str, str], name: str, files: Mapping[str, PlaybookFile]) -> Problem:
    return inventory.problem(path, f"unknown playbook '{name}'", did_you_mean(name, files))

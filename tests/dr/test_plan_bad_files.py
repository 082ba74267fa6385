"""Each bad playbook with its exact message: tests/bad_files/playbooks, read beside the small good inventory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dr.actions import ACTIONS
from dr.errors import PlaybookError
from dr.playbook.model import DIRECTION
from dr.playbook.plan import make_plan
from dr.playbook.read import check, read_playbooks
from dr.playbook.subject import Subject
from monitor.inventory.read import read

BAD_FILES = Path(__file__).parents[1] / "bad_files" / "playbooks"
CASES = sorted(BAD_FILES.glob("*.txt"))
GOOD = sorted(BAD_FILES.glob("*.yaml"))
EDIT = re.compile(r"<<<<\n(.*?)====\n(.*?)>>>>\n", re.DOTALL)
INVENTORY = read(BAD_FILES.parent / "good.yaml")


def said_of(name: str, text: str, folder: Path) -> str:
    """Return what ``karaula check`` complains of in a folder that holds this playbook alone."""
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    try:
        problems = check(read_playbooks(folder), INVENTORY, ACTIONS)
    except PlaybookError as error:
        problems = list(error.problems)
    mine = [problem for problem in problems if problem.file.startswith(str(folder))]
    assert mine == sorted(mine)
    return "".join(f"{problem}\n" for problem in mine).replace(f"{folder}/", "")


@pytest.mark.parametrize("file", GOOD, ids=[file.stem for file in GOOD])
def test_the_good_files_are_good(file: Path, tmp_path: Path) -> None:
    assert said_of(file.stem, file.read_text(encoding="utf-8"), tmp_path) == ""


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_bad_file(case: Path, tmp_path: Path) -> None:
    """A case is edits of its good file (old lines, ====, new lines) followed by all that must be said of them."""
    name = case.stem.split("--")[0]
    text, told = (BAD_FILES / f"{name}.yaml").read_text(encoding="utf-8"), case.read_text(encoding="utf-8")
    for old, new in EDIT.findall(told):
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert said_of(name, text, tmp_path) == EDIT.sub("", told)


def test_there_are_many() -> None:
    assert len(CASES) >= 50


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_a_bad_playbook_is_planned_for_nobody(case: Path, tmp_path: Path) -> None:
    """What ``check`` refuses, the engine refuses too: there is no way around the rules by asking directly."""
    name = case.stem.split("--")[0]
    text = (BAD_FILES / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in EDIT.findall(case.read_text(encoding="utf-8")):
        text = text.replace(old, new)
    (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    try:
        file = read_playbooks(tmp_path)[name]
    except PlaybookError:
        return
    sites = {"protected": "main", "recovery": "dr"}
    from_site, to_site = (sites[word] for word in DIRECTION[file.playbook.kind])
    made, mistakes = make_plan(name, file.playbook, Subject(INVENTORY, "", "ncts", from_site, to_site, "run"), ACTIONS)
    assert made is None
    assert mistakes

"""Reading a folder of playbooks: whatever lies in it, there are playbooks or a list of mistakes with their places."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples_kit import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr.actions import ACTIONS
from dr.errors import PlaybookError
from dr.playbook.plan import make_plan
from dr.playbook.read import check, read_playbooks
from dr.playbook.schema import schema
from dr.playbook.subject import Subject
from monitor.errors import InventoryError
from monitor.inventory.behaviour import Schedule
from monitor.inventory.model import Inventory
from monitor.inventory.read import read
from monitor.inventory.recovery import Window
from monitor.inventory.vantage import ObserverPoint, Vantage
from monitor.problem import Problem

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "tests" / "bad_files" / "playbooks"
INVENTORY = read(ROOT / "tests" / "bad_files" / "good.yaml")
BACKUP = "kind: backup\nsummary: Write it\nsteps:\n  - { id: write, action: backup, site: from, timeout_s: 60 }\n"
FUZZ = settings(deadline=None, max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])


def mistakes_in(folder: Path, inventory: Inventory = INVENTORY) -> list[Problem]:
    try:
        return check(read_playbooks(folder), inventory, ACTIONS)
    except InventoryError as error:
        return list(error.problems)


def said(folder: Path, inventory: Inventory = INVENTORY) -> str:
    return "\n".join(map(str, mistakes_in(folder, inventory))).replace(f"{folder}/", "")


# -- the folder --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("backup.yml", "rename it to backup.yaml"),
        ("My Backup.yaml", "rename it to my-backup.yaml"),
        ("Резерва.yaml", "rename it to playbook.yaml"),
        ("-.yaml", "rename it to playbook.yaml"),
    ],
)
def test_a_file_that_somebody_counts_on_is_not_passed_over(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_text(BACKUP, encoding="utf-8")
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / "old.yaml").mkdir()
    assert said(tmp_path).startswith(f"{name}:1:1: a playbook's file name has lower-case letters")
    assert said(tmp_path).endswith(says)


def test_an_empty_or_missing_folder_is_a_mistake(tmp_path: Path) -> None:
    assert "holds no playbook" in said(tmp_path)
    assert "there is no such folder" in said(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"kind: [", b"- a\n- b\n", b"a: &x 1\nb: *x\n", b"%YAML 9\n---\n", b"\x00", b"kind: backup"],
)
def test_what_is_no_playbook_is_told_with_its_place(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "backup.yaml").write_bytes(body)
    problems = mistakes_in(tmp_path)
    assert problems
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems)


def test_the_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(BACKUP.replace("kind: backup", "kind: bakup"))
    (tmp_path / "two.yaml").write_text(BACKUP.replace("id: write", "id: Write"))
    with pytest.raises(PlaybookError) as error:
        read_playbooks(tmp_path)
    assert [Path(problem.file).name for problem in error.value.problems] == ["one.yaml", "two.yaml"]


# -- against the inventory ---------------------------------------------------------------------------------------------


def changed(section: str, key: str, **fields: Any) -> Inventory:
    entry = getattr(INVENTORY, section)[key].model_copy(update=fields)
    return INVENTORY.model_copy(update={section: {**getattr(INVENTORY, section), key: entry}})


DRAINED = """steps:
  - { id: drain, action: demote, site: from, timeout_s: 60 }
  - { id: all-there, action: wait_replica, needs: [drain], timeout_s: 120 }
"""


def planned(kind: str, before: str = DRAINED, needs: str = "all-there") -> str:
    """Return the failover as a playbook of ``kind`` that does something before it fences."""
    text = (GOOD / "failover.yaml").read_text().replace("kind: failover", f"kind: {kind}")
    fence = f"    needs: [{needs}]\n    site: from\n" if needs else "    site: from\n"
    return text.replace("steps:\n", before).replace("    site: from\n", fence)


@pytest.mark.parametrize("kind", ["switchover", "failback"])
def test_what_is_planned_promotes_only_what_has_everything(tmp_path: Path, kind: str) -> None:
    """Else whoever may ask for a switchover could have a failover done, and nobody would be asked about the loss."""
    path, alone = tmp_path / f"{kind}.yaml", INVENTORY.model_copy(update={"schedules": {}, "responses": {}})
    path.write_text(planned(kind))
    assert said(tmp_path, alone) == ""
    for before, needs in (
        ("steps:\n", ""),
        (DRAINED.replace("needs: [drain], ", ""), "drain, all-there"),  # it may have come when more was taken
        (DRAINED.replace("timeout_s: 120", "timeout_s: 120, on_failure: continue"), "all-there"),
        (DRAINED.replace("action: wait_replica", "site: from, action: wait_replica"), "all-there"),
        (
            DRAINED.replace("demote", "check_role").replace("site: from", "site: from, args: {expect: primary}"),
            "all-there",
        ),
        (DRAINED, "drain"),
    ):
        path.write_text(planned(kind, before, needs))
        assert "may promote" in said(tmp_path, alone), before
        assert "before it has everything; only a failover may lose some" in said(tmp_path, alone)
    off = "drain, action: vm_power, args: { tier: application, state: off }"
    path.write_text(planned(kind, DRAINED.replace("drain, action: demote", off)))
    assert said(tmp_path, alone) == "", "nothing takes declarations any more"


def test_a_reprotect_does_not_move_the_service(tmp_path: Path) -> None:
    (tmp_path / "reprotect.yaml").write_text(planned("reprotect"))
    found = said(tmp_path, INVENTORY.model_copy(update={"schedules": {}, "responses": {}}))
    for says in (
        "step 'drain' changes role at dr; a reprotect leaves the active side alone",
        "step 'fence-old' changes fence at dr; a reprotect leaves the active side alone",
        "a playbook of kind 'reprotect' must not promote anything",
        "step 'names' changes traffic at main; a reprotect leaves the active side alone",
    ):
        assert says in found


def test_schedules_and_responses_name_playbooks_that_fit(tmp_path: Path) -> None:
    for name in ("failover", "drill", "verify"):
        (tmp_path / f"{name}.yaml").write_text((GOOD / f"{name}.yaml").read_text())
    (tmp_path / "backup.yaml").write_text(BACKUP)
    (tmp_path / "failback.yaml").write_text(planned("failback"))
    assert said(tmp_path) == ""
    (job, *_), (answer, *_) = INVENTORY.schedules, INVENTORY.responses
    automatic = changed("responses", answer, mode="automatic")
    point = ObserverPoint(kind="observer", url="https://witness.example", credential="token")
    assert said(tmp_path, automatic.model_copy(update={"vantage": Vantage(points={"witness": point})})) == ""
    for inventory, says in (
        (changed("schedules", job, playbook="bakup"), "unknown playbook 'bakup'; did you mean 'backup'?"),
        (changed("schedules", job, playbook="failover"), "'failover' is a failover; it cannot be put on a clock"),
        (changed("responses", answer, playbook="failovr"), "unknown playbook 'failovr'"),
        (changed("responses", answer, playbook="drill"), "'drill' is a drill, which begins without an approval"),
        (automatic, "vantage.points names none"),
        (changed("responses", answer, mode="automatic", playbook="failback"), "a failback is never 'automatic'"),
    ):
        assert says in said(tmp_path, inventory)


def test_a_schedule_comes_due_in_a_window(tmp_path: Path) -> None:
    (tmp_path / "backup.yaml").write_text(BACKUP)
    schedule = Schedule(playbook="backup", system="ncts", cron="30 1 * * *")
    narrow = Window(kinds=("backup",), cron="0 1 * * *", duration_s=1800)
    wide = narrow.model_copy(update={"duration_s": 1801.0})
    other = narrow.model_copy(update={"systems": ("ite",)})
    for windows, says in (
        ({"a": narrow}, "comes due outside the windows in which a backup may begin, for example on a Monday at 01:30"),
        ({"a": narrow, "b": wide}, ""),
        ({"a": other}, ""),
        ({}, ""),
    ):
        only = {"schedules": {"nightly": schedule}, "responses": {}, "windows": windows}
        found = said(tmp_path, INVENTORY.model_copy(update=only))
        assert says in found
        assert bool(says) == bool(found)


def test_what_runs_at_night_is_checked_in_both_directions(tmp_path: Path) -> None:
    """After a failover a backup is taken at the other site: a mistake that shows there only is told beforehand."""
    deployments = dict(INVENTORY.systems["ncts"].sites)
    host = "${from.database_host}"
    text = BACKUP.replace("site: from,", "site: from, args: { scratch: x },")
    text = (
        "kind: verify\nsummary: Look\nsteps:\n"
        '  - { id: clean, action: discard, timeout_s: 60, args: { scratch: "s-' + host + '" } }\n'
    )
    (tmp_path / "verify.yaml").write_text(text)
    odd = deployments["dr"].model_copy(update={"database_host": "DB_DR"})
    inventory = INVENTORY.model_copy(
        update={
            "systems": {
                "ncts": INVENTORY.systems["ncts"].model_copy(update={"sites": {**deployments, "dr": odd}}),
            },
            "schedules": {},
            "responses": {},
        }
    )
    assert "steps[0].args.scratch" in said(tmp_path, inventory)


def test_a_reference_to_what_the_inventory_does_not_say_is_a_mistake(tmp_path: Path) -> None:
    text = BACKUP.replace("kind: backup", "kind: verify").replace("action: backup", "action: discard")
    text = text.replace("site: from,", 'site: from, args: { scratch: "s-${system.receipts}" },')
    (tmp_path / "verify.yaml").write_text(text)
    bare = changed("systems", "ncts", receipts=None)
    only = bare.model_copy(update={"systems": {"ncts": bare.systems["ncts"]}, "schedules": {}, "responses": {}})
    assert "the inventory does not say 'system.receipts' for ncts" in said(tmp_path, only)


# -- anything at all ---------------------------------------------------------------------------------------------------

WORDS = [
    *(
        "",
        "from",
        "to",
        "main",
        "stop",
        "undo",
        "continue",
        "fence",
        "promote",
        "ssh_run",
        "backup",
        "failover",
        "drill",
    ),
    *("${system.key}", "${steps.before.digest}", "${steps.x}", "${", "${}", "${from.vms}", "a${run.id}b", "x" * 300),
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 90_000)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "action", "args", "needs", "state", "command", "x", "1"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def spoilt(data: st.DataObject, whole: Any) -> Any:
    """Return ``whole`` with up to three of its parts replaced, dropped, doubled or added to."""
    whole = copy.deepcopy(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([place for place in places(whole) if place]))
        here = whole
        for part in path[:-1]:
            here = here[part]
        match data.draw(st.sampled_from(["replace", "replace", "drop", "double", "add"])):
            case "replace":
                here[path[-1]] = data.draw(ANYTHING)
            case "drop":
                del here[path[-1]]
            case "double" if isinstance(here, list):
                here.append(copy.deepcopy(here[path[-1]]))
            case _ if isinstance(here, dict):
                here[data.draw(st.sampled_from(["args", "needs", "finally", "on_failure", "extra"]))] = data.draw(
                    ANYTHING
                )
        if not places(whole)[1:]:
            break
    return whole


@pytest.mark.parametrize("name", ["failover", "drill", "verify"])
@given(data=st.data())
@FUZZ
def test_any_change_of_a_playbook_gives_a_plan_or_mistakes(name: str, data: st.DataObject, tmp_path: Path) -> None:
    body = spoilt(data, yaml.safe_load((GOOD / f"{name}.yaml").read_text()))
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(body, allow_unicode=True), encoding="utf-8")
    problems = mistakes_in(tmp_path)
    assert all(isinstance(problem, Problem) and problem.line >= 1 for problem in problems)
    mine = [problem for problem in problems if problem.file.startswith(str(tmp_path))]
    if not mine:
        file = read_playbooks(tmp_path)[name]
        plan, _ = make_plan(name, file.playbook, Subject(INVENTORY, "", "ncts", "main", "dr", "run"), ACTIONS)
        assert plan is not None
        assert json.loads(json.dumps(plan.to_json(), allow_nan=False)) == plan.to_json()


# -- the schema that editors use ---------------------------------------------------------------------------------------


def test_the_schema_knows_every_action_and_every_argument_and_can_be_printed() -> None:
    made = schema(ACTIONS, {name: action.summary for name, action in ACTIONS.items()})
    assert json.loads(json.dumps(made)) == made
    step = made["$defs"]["Step"]
    assert {one["const"]: one["description"] for one in step["properties"]["action"]["oneOf"]} == {
        name: action.summary for name, action in ACTIONS.items()
    }
    rules = {rule["if"]["properties"]["action"]["const"]: rule["then"] for rule in step["allOf"]}
    for name, action in ACTIONS.items():
        fields = {key: field for key, field in action.Args.model_fields.items() if key not in {"system", "site"}}
        args = rules[name]["properties"]["args"]
        assert set(args["properties"]) == set(fields), name
        assert set(args.get("required", ())) == {key for key, field in fields.items() if field.is_required()}, name


def test_every_key_of_the_schema_is_explained() -> None:
    made = schema(ACTIONS, {name: action.summary for name, action in ACTIONS.items()})
    for part in (made, made["$defs"]["Step"]):
        for name, rule in part["properties"].items():
            assert name == "args" or rule.get("description"), name

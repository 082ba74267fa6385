"""Actions of other packages: what is wrong with one is a sentence, never a trace, and never anybody else's trouble."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checker_kit import found as explored
from checker_kit import shipped
from extension_kit import GOOD, lay_out, points_in
from orchestrator_kit import INVENTORY, ROOT, house
from pydantic import model_validator

from dr.action import Action, Context, Holds
from dr.actions import ACTIONS
from dr.checker.plant import PLANTS
from dr.engine.orchestrator import Request
from dr.errors import StepFailed
from dr.evidence.render import to_html
from dr.evidence.report import report
from dr.extensions import Installed, gather
from dr.forecast import Past
from dr.journal.run import RunState, StepState
from dr.playbook.model import Plan, plan_from_json
from dr.playbook.plan import make_plan
from dr.playbook.read import check, plans_of, read_playbooks, withheld
from dr.playbook.schema import schema
from dr.playbook.subject import Subject
from dr.proof import fingerprint
from monitor.inventory.read import read

pytestmark = pytest.mark.anyio
FLAG = "kind: backup\nsummary: Hoist it\nsteps:\n  - { id: hoist, action: flag, timeout_s: 5 }\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, and none of whose modules stays."""
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def gathered(site: Path) -> Installed:
    return gather(points_in(site), ACTIONS)


def with_flag(site: Path, old: str = "", new: str = "", version: str = "1.2.0") -> Installed:
    assert old in GOOD
    lay_out(site, "flags", GOOD.replace(old, new, 1), version, flag="Flag")
    return gathered(site)


def books(folder: Path, text: str = FLAG) -> Path:
    (folder / "books").mkdir(exist_ok=True)
    (folder / "books" / "hoist.yaml").write_text(text)
    return folder / "books"


def planned(folder: Path, installed: Installed, text: str = FLAG) -> tuple[Plan | None, str]:
    file = read_playbooks(books(folder, text))["hoist"]
    subject = Subject(INVENTORY, "", "ncts", "main", "dr", "run")
    plan, mistakes = make_plan("hoist", file.playbook, subject, installed.actions)
    return plan, "; ".join(mistake.message for mistake in mistakes)


# -- what packages bring --------------------------------------------------------------------------------------------


def test_without_packages_there_is_what_is_shipped(site: Path) -> None:
    assert gathered(site) == Installed(ACTIONS, ())


def test_a_good_package_is_one_more_action(site: Path, tmp_path: Path) -> None:
    installed = with_flag(site)
    assert installed.problems == ()
    assert sorted(installed.actions.keys() - ACTIONS.keys()) == ["flag"]
    plan, wrong = planned(tmp_path, installed)
    assert (wrong, plan is not None) == ("", True)
    assert plan is not None
    (step,) = plan.steps
    assert (step.provider, step.effects) == ("flags 1.2.0", (("flag/dr", "colour", "red"),))
    assert "flag" in str(schema(installed.actions, {name: one.summary for name, one in installed.actions.items()}))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("UP = []", "import nowhere", "importing flags:Flag ended in ModuleNotFoundError: No module named 'nowhere'"),
        ("UP = []", "UP = [", "importing flags:Flag ended in SyntaxError"),
        ("UP = []", "raise SystemExit('no licence')", "importing flags:Flag ended in SystemExit: no licence"),
        ("class Flag(", "class Banner(", "importing flags:Flag ended in AttributeError"),
        ("    name =", "    def __init__(self, x): ...\n    name =", "importing flags:Flag ended in TypeError"),
        ('name = "flag"', 'name = "banner"', "its 'name' must be 'flag', as its entry point is called"),
        ('summary = "hoist a flag"', "", "it has no 'summary', which must be one line"),
        ('summary = "hoist a flag"', 'summary = "a\\nb"', "its 'summary' must be one line"),
        ('= ("colour",)', '= "colour"', "its 'outputs' must be a tuple of names"),
        ("    Args =", "    undoable = 1\n    Args =", "its 'undoable' must be True or False"),
        (
            "    Args =",
            "    reads_only = undoable = True\n    Args =",
            "it says that it only reads, and that it can be",
        ),
        ("    Args =", "    probe_limit_s = 0\n    Args =", "its 'probe_limit_s' must be a number of seconds above 0"),
        ("    Args = FlagArgs", "    Args = dict", "its 'Args' must be a dr.action.StepArgs"),
        ('[str, Field(description="of the flag")]', "[str, 1]", "its argument 'colour' has no description"),
        (
            "    colour: Ann",
            "    model_config = {'extra': 'allow'}\n    colour: Ann",
            "its 'Args' must refuse arguments",
        ),
        ("    async def probe", "    def probe", "its 'probe' must be an async method"),
        (
            "    colour: Ann",
            "    other: Annotated[type, Field(description='a class')]\n    colour: Ann",
            "its declaration cannot be read: PydanticInvalidForJsonSchema",
        ),
        ("Flag(Lasting)", "Flag", "it has no 'reads_only', which must be True or False"),
    ],
)
def test_what_is_wrong_with_a_package_is_one_sentence(
    site: Path, tmp_path: Path, old: str, new: str, says: str
) -> None:
    installed = with_flag(site, old, new)
    (sentence,) = installed.problems
    assert sentence.startswith(f"flags 1.2.0: action 'flag' cannot be used: {says}")
    assert "\n" not in sentence
    plan, wrong = planned(tmp_path, installed)
    assert plan is None
    assert wrong.startswith(f"action 'flag' cannot be used: {says}")


def test_a_shipped_name_stays_the_shipped_action(site: Path) -> None:
    lay_out(site, "fences", GOOD.replace('"flag"', '"fence"'), fence="Flag")
    installed = gathered(site)
    assert installed.actions["fence"] is ACTIONS["fence"]
    assert "action 'fence' is not taken: Karaula ships an action of that name" in installed.problems[0]


def test_a_name_that_two_packages_bring_is_neithers(site: Path) -> None:
    lay_out(site, "flags", GOOD, flag="Flag")
    lay_out(site, "banners", GOOD, "0.1", flag="Flag")
    (sentence,) = gathered(site).problems
    assert sentence == (
        "banners 0.1, flags 1.2.0: action 'flag' cannot be used: banners 0.1 and flags 1.2.0 both bring it"
    )


def test_a_name_that_no_playbook_could_write(site: Path) -> None:
    lay_out(site, "flags", GOOD, **{"Flag-Up": "Flag"})
    assert "'Flag-Up' is no name for an action" in gathered(site).problems[0]


# -- what they declare ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effects", "says"),
    [
        ("()", "declares no effect and does not say that it only reads; nothing could be proven of it"),
        ('(Effect(f"system/{args.system}/{args.site}", "Role", "primary"),)', "declares 'Role' of 'system/ncts/dr'"),
        ('(Effect(f"system/{args.system}/{args.site}", "role", "Primary"),)', "declares role = 'Primary'; known: "),
        ('(Effect(f"system/cdeps/{args.site}", "role", "primary"),)', "declares role of 'system/cdeps/dr'; of a run"),
        ('(Effect("ncts", "power", "off"),)', "declares power of 'ncts'; of a run for ncts it can be of "),
        ('(Effect(f"system/{args.system}/dr", "traffic", "moon"),)', "declares traffic = 'moon'; known: dr, main"),
        ('(Effect(f"system/{args.system}/dr", "fence", "on"),)', "declares a fence and yields no 'proof' that it hol"),
        ('(Effect("a", "b", ""),)', "of which a part is empty or not one line"),
    ],
)
def test_an_effect_that_nothing_could_be_proven_of_is_refused(
    site: Path, tmp_path: Path, effects: str, says: str
) -> None:
    installed = with_flag(site, '(Effect(f"flag/{args.site}", "colour", args.colour),)', effects)
    plan, wrong = planned(tmp_path, installed)
    assert plan is None
    assert wrong.startswith("action 'flag' of flags 1.2.0 ")
    assert says in wrong


def test_what_says_that_it_reads_declares_nothing(site: Path, tmp_path: Path) -> None:
    installed = with_flag(site, "    Args =", "    reads_only = True\n    Args =")
    assert "says that it only reads, and declares an effect" in planned(tmp_path, installed)[1]


@pytest.mark.parametrize("effects", ["1 / 0", '[("flag", "colour", "red")]', "None"])
def test_an_action_that_cannot_say_what_it_changes(site: Path, tmp_path: Path, effects: str) -> None:
    installed = with_flag(site, '(Effect(f"flag/{args.site}", "colour", args.colour),)', effects)
    assert planned(tmp_path, installed)[1].startswith("'flag' cannot say what it would change: ")


def test_the_checker_holds_a_packages_promotion_to_the_laws(site: Path, tmp_path: Path) -> None:
    """A third party promotes: proven where the fence stands before it, found out where it does not."""
    source = '(Effect(f"flag/{args.site}", "colour", args.colour),)'
    installed = with_flag(site, source, '(Effect(f"system/{args.system}/{args.site}", "role", "primary"),)')
    text = (ROOT / "playbooks" / "failover.yaml").read_text()
    assert "action: promote\n" in text
    files = read_playbooks(books(tmp_path, text.replace("action: promote\n", "action: flag\n")))
    plan = next(
        plan
        for plan in plans_of(files["hoist"], read(ROOT / "inventory.yaml"), installed.actions)
        if plan.system == "ncts"
    )
    assert plan.step("promote").provider == "flags 1.2.0"
    assert explored(plan, 1).proved
    for mistake in ("fence-opened", "names-first"):
        ours, theirs = (explored(PLANTS[mistake].spoil(one), 1).counterexample for one in (shipped("failover"), plan))
        assert ours is not None
        assert theirs is not None
        assert (theirs.law, theirs.wrong) == (ours.law, ours.wrong)
    unfenced = text.replace("action: promote\n", "action: flag\n").replace(
        "needs: [fence-old, machines, loss]", "needs: [machines, loss]"
    )
    unfenced = unfenced.replace("needs: [fence-old, machines]", "needs: [machines]")
    assert "does not wait for a fence" in planned(tmp_path, installed, unfenced)[1]


DEFECTS = {
    "a validator": "    @field_validator('colour')\n    @classmethod\n    def seen(cls, value): return {}[value]\n",
    "a property": "    @property\n    def can_be_undone(self): return 1 / 0\n",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_arguments_with_a_defect_are_a_mistake_and_no_trace(site: Path, tmp_path: Path, defect: str) -> None:
    source = GOOD.replace("from pydantic import Field", "from pydantic import Field, field_validator")
    source = source.replace("class FlagArgs(StepArgs):\n", f"class FlagArgs(StepArgs):\n{DEFECTS[defect]}")
    lay_out(site, "flags", source, flag="Flag")
    text = FLAG.replace("timeout_s: 5", "timeout_s: 5, args: { colour: red }")
    plan, wrong = planned(tmp_path, gathered(site), text)
    if defect == "a property":
        assert plan is not None
        assert not plan.steps[0].undoable
    else:
        assert wrong == "what takes these arguments is broken: KeyError('red')"


async def test_arguments_with_a_defect_do_not_end_the_run(site: Path, tmp_path: Path) -> None:
    """The plan was made by another version of the package."""
    good = with_flag(site)
    flag: Any = good.actions["flag"]
    async with house(tmp_path, {"flag": flag}, {"hoist": FLAG}) as home:
        made = home.orchestrator.plan("hoist", "ncts")

        class Broken(flag.Args):  # type: ignore[misc, name-defined]  # a class of a package's
            @model_validator(mode="before")
            @classmethod
            def seen(cls, _: object) -> object:
                raise RuntimeError("out of order")

        flag.Args = Broken
        run = await home.until(await home.orchestrator.submit(Request("hoist", "ncts", "ana"), made))
        assert (run.state, run.steps["hoist"].state) == (RunState.FAILED, StepState.FAILED)
        assert "RuntimeError" in run.steps["hoist"].reason


async def test_the_report_names_the_package_and_its_version(site: Path, tmp_path: Path) -> None:
    flag: Any = with_flag(site).actions["flag"]
    async with house(tmp_path, {"flag": flag}, {"hoist": FLAG}) as home:
        run = await home.until(await home.submit("hoist"))
        past = Past(home.orchestrator).forecast(run.plan)
        made = report(run, home.orchestrator.events(run.id), {}, INVENTORY, past, home.clock.now())
        (output,) = home.journal.outputs(run.id)
    assert run.state is RunState.SUCCEEDED
    assert made.steps[0].provider == "flags 1.2.0"
    assert "flag at dr, by flags 1.2.0" in to_html(made)
    assert output.text.startswith("by flags 1.2.0"), "and the output, which version did it"


# -- what becomes of them ---------------------------------------------------------------------------------------------


def test_playbooks_of_an_unusable_action_are_withheld_and_no_mistake(site: Path, tmp_path: Path) -> None:
    installed = with_flag(site, "UP = []", "import nowhere")
    files = read_playbooks(books(tmp_path))
    (why,) = withheld(files, installed.actions).values()
    assert why.startswith("action 'flag' cannot be used: importing flags:Flag ended in ModuleNotFoundError")
    assert "(flags 1.2.0)" in why
    of_books = [problem for problem in check(files, INVENTORY, installed.actions) if "hoist.yaml" in problem.file]
    assert len(of_books) == 1
    unplanned = check(files, INVENTORY, installed.actions, {"hoist"})
    assert not [problem for problem in unplanned if "hoist.yaml" in problem.file]


async def test_a_run_that_had_begun_waits_for_a_person(site: Path) -> None:
    action = with_flag(site, "UP = []", "import nowhere").actions["flag"]
    context: Context = None  # type: ignore[assignment]  # it is not looked at
    args = action.Args.model_validate({"system": "ncts", "site": "dr", "colour": "red"})
    seen = await action.probe(args, context)
    assert seen.holds is Holds.CANNOT_TELL
    assert "ModuleNotFoundError" in seen.evidence
    for work in (action.run(args, context), action.undo(args, context, {})):
        with pytest.raises(StepFailed, match="cannot be used: importing"):
            await work


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('return Done({"colour": args.colour})', "return None"),
        (
            'return Seen(Holds.YES if args.colour in UP else Holds.NO, f"flags: {UP}", {"colour": args.colour})',
            "return 1",
        ),
        ("Holds.YES if args.colour in UP else Holds.NO", '"yes"'),
    ],
)
async def test_what_hands_back_something_else_is_an_outcome_that_is_not_known(site: Path, old: str, new: str) -> None:
    action: Action = with_flag(site, old, new).actions["flag"]
    args = action.Args.model_validate({"system": "ncts", "site": "dr"})
    context = Context("r", "s", 1, "k", 1, 5.0, None, lambda _line: None)  # type: ignore[arg-type]  # no world is asked

    async def both() -> None:
        await action.run(args, context)
        await action.probe(args, context)

    with pytest.raises(TypeError, match=r"is a (NoneType|int|str), not a (Done|Seen|Holds)"):
        await both()


def test_a_plan_says_whose_action_it_is_and_another_version_is_another_plan(site: Path, tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, with_flag(site))
    assert plan is not None
    assert plan_from_json(plan.to_json()) == plan
    upgraded = replace(plan, steps=(replace(plan.steps[0], provider="flags 1.3.0"),))
    assert fingerprint(upgraded) != fingerprint(plan), "what was proven of one version says nothing of another"
    shipped = replace(plan, steps=(replace(plan.steps[0], provider=""),))
    assert "provider" not in str(shipped.to_json()), "what earlier versions wrote keeps its hash"

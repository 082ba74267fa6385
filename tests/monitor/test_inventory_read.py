"""Reading the inventory: each bad file with its exact message, and whatever else may be thrown at it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from examples_kit import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.credential import Credentials
from monitor.errors import InventoryError
from monitor.inventory.model import Inventory
from monitor.inventory.read import missing_credentials, read
from monitor.problem import Problem

BAD_FILES = Path(__file__).parent.parent / "bad_files"
GOOD = (BAD_FILES / "good.yaml").read_text(encoding="utf-8")
CASES = sorted(BAD_FILES.glob("*.txt"))
EDIT = re.compile(r"<<<<\n(.*?)====\n(.*?)>>>>\n", re.DOTALL)


def said_of(text: str | bytes, folder: Path) -> str:
    """Return what reading ``text`` complains of; nothing if it is accepted."""
    file = folder / "inventory.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(read(file), Inventory)
    except InventoryError as error:
        problems = error.problems
    assert problems == tuple(sorted(problems))
    return "\n".join(map(str, problems)).replace(f"{folder}/", "")


def test_the_good_file_is_good(tmp_path):
    assert said_of(GOOD, tmp_path) == ""


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_bad_file(case, tmp_path):
    """A case is edits of good.yaml (old lines, ====, new lines) followed by all that must be said of them."""
    text, told = GOOD, case.read_text(encoding="utf-8")
    for old, new in EDIT.findall(told):
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert said_of(text, tmp_path) + "\n" == EDIT.sub("", told)


def test_there_are_many_bad_files():
    assert len(CASES) >= 25


@pytest.mark.parametrize("case", ["secret-instead-of-reference", "password-in-url"])
def test_what_may_be_a_secret_is_not_repeated(case):
    told = (BAD_FILES / f"{case}.txt").read_text(encoding="utf-8")
    assert "hunter2" in told
    assert "hunter2" not in EDIT.sub("", told)


def test_a_broken_entry_does_not_hide_other_mistakes(tmp_path):
    text = GOOD.replace("operator: operator-b,", "operator: b, port: high,").replace("vault: vault", "vault: safe")
    assert len(said_of(text, tmp_path).splitlines()) == 4


def test_an_inventory_points_into_its_file(tmp_path):
    file = tmp_path / "inventory.yaml"
    file.write_text(GOOD, encoding="utf-8")
    problem = read(file).problem(("schedules", "nightly", "playbook"), "unknown playbook 'backup'")
    assert str(problem) == f"{file}:125:24: schedules.nightly.playbook: unknown playbook 'backup'"
    bare = Inventory.model_validate(yaml.safe_load(GOOD))
    assert str(bare.problem(("a", "b"), "m")) == "inventory:1:1: a.b: m"


def test_commands_are_joined_from_the_kind():
    inventory = Inventory.model_validate(yaml.safe_load(GOOD))
    assert inventory.systems["ncts"].database.commands.promote == ("db", "promote", "{epoch}")


def test_missing_credentials_are_told_once_each(tmp_path):
    file, secrets = tmp_path / "inventory.yaml", tmp_path / "credentials"
    file.write_text(GOOD, encoding="utf-8")
    secrets.mkdir()
    inventory = read(file)
    every = missing_credentials(inventory, Credentials(secrets))
    assert len(every) == 9  # ssh-key and tsig are each named more than once
    assert str(every[0]) == f"{file}:3:18: trust.tls_ca: credential 'ca.pem' is not in {secrets}"
    for name in ("ca.pem", "known_hosts", "vcenter-main", "vcenter-dr", "ssh-key", "pdu-main", "pdu-dr", "tsig"):
        (secrets / name).write_text("x")
    (last,) = missing_credentials(inventory, Credentials(secrets))
    assert last.path == "sensors.temperature.source.community"
    assert "no credentials directory" in str(missing_credentials(inventory, Credentials(None))[0])


# -- anything at all is an inventory or a list of mistakes ------------------------------------------------------------

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70000)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "main", "ncts", "x" * 3000, "127.9.0.1", "Main!", "0 0 * * *", "\u202e", "https://[", "a b"])
    | st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["main", "snmp", "", "x"]), inner),
    max_leaves=6,
)
FUZZ = settings(deadline=None, max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(data, path=()):
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


DATA = yaml.safe_load(GOOD)
PLACES = [path for path in places(DATA) if path]


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING, st.sampled_from(["set", "drop", "add"])), max_size=4))
def test_any_values_in_place_of_the_right_ones(tmp_path, changes):
    data = copy.deepcopy(DATA)
    for path, value, how in changes:
        here = data
        for part in path[:-1]:
            inside = part in here if isinstance(here, dict) else isinstance(here, list) and part in range(len(here))
            if not inside:
                break
            here = here[part]
        if isinstance(here, dict) and how == "drop":
            here.pop(path[-1], None)
        elif isinstance(here, dict):
            here[path[-1] if how == "set" else "extra"] = value
    said = said_of(json.dumps(data, ensure_ascii=False).replace("Infinity", ".inf"), tmp_path)
    assert "Input should" not in said  # pydantic's words never reach a person
    assert all(re.match(r"inventory\.yaml:\d+:\d+: .", line) for line in said.splitlines())


@FUZZ
@given(st.data())
def test_any_lines_moved_lost_and_doubled(tmp_path, data):
    lines = GOOD.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = data.draw(st.integers(0, len(line)))
        lines[at] = data.draw(st.sampled_from(["", line * 2, line[:cut] + "\n", " " + line, line.replace(":", "", 1)]))
    said_of("".join(lines), tmp_path)


@FUZZ
@given(st.binary())
def test_any_bytes(tmp_path, raw):
    assert said_of(raw, tmp_path) != ""


@pytest.mark.parametrize(
    "text",
    [
        "links: {" + ", ".join(f"l{n}: {{}}" for n in range(5000)) + "}\ncrossings: {}",
        "systems: {" + ", ".join(f"s{n}: {{depends_on: [s{n + 1}]}}" for n in range(5000)) + "}",
        "x" * 100_000 + ": 1",
        "sites: {" + "y" * 1000 + ": " + "z" * 1_000_000 + "}",
        "estate: " + "{a: " * 45 + "}" * 45,
    ],
    ids=["many-links", "many-systems", "long-key", "long-value", "deep"],
)
def test_large_files_are_refused_in_reasonable_time(text, tmp_path):
    assert said_of(text, tmp_path) != ""

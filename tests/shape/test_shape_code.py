"""The shape of the code: small files, small functions, a duty for each module, nothing hidden in packages."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("monitor", "dr", "console", "lab")
REGISTRIES = {"monitor/probes/__init__.py", "dr/actions/__init__.py", "dr/guards/__init__.py"}
FILE_CEILING_LINES = 400
TEST_FILE_CEILING_LINES = 450  # a table of cases may run on
FUNCTION_CEILING_LINES = 70
FOLDER_CEILING_FILES = 36  # plural folders of one file a thing (servers, commands, nouns) grow; mixed ones must not
MEDIAN_CEILING_LINES = 180


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


EVERYTHING = [ROOT / "do", *sources(*PACKAGES, "deploy", "bench", "tests")]
PRODUCT = sources(*PACKAGES)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def wrong() -> dict[str, list[str]]:
    """What is wrong, by kind: every file is parsed once, and no tree is kept (they are a million nodes)."""
    found: dict[str, list[str]] = {"long": [], "dutiless": [], "futures": []}
    for path in EVERYTHING:
        module = tree(path)
        found["long"] += [f"{name(path)}:{node.lineno} {node.name}" for node in ast.walk(module) if is_long(node)]
        futures = [
            alias.name
            for node in module.body
            if isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for alias in node.names
        ]
        if module.body and futures != ["annotations"]:
            found["futures"].append(name(path))
        if module.body and not ast.get_docstring(module):
            found["dutiless"].append(name(path))
    return found


def is_long(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return function and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_CEILING_LINES


def test_no_file_is_longer_than_the_ceiling() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in EVERYTHING}
    ceilings = {path: TEST_FILE_CEILING_LINES if path.startswith("tests/") else FILE_CEILING_LINES for path in lengths}
    assert {path: lines for path, lines in lengths.items() if lines > ceilings[path]} == {}


def test_the_median_file_can_be_held_in_the_head() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in PRODUCT if path.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= MEDIAN_CEILING_LINES


def test_no_function_is_longer_than_the_ceiling() -> None:
    assert wrong()["long"] == []


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in PRODUCT}
    counts = {name(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > FOLDER_CEILING_FILES} == {}


def test_packages_hold_nothing_but_registries() -> None:
    full = [name(path) for path in PRODUCT if path.name == "__init__.py" and tree(path).body]
    assert sorted(set(full) - REGISTRIES) == []


def test_a_registry_is_a_literal_mapping() -> None:
    for registry in REGISTRIES:
        body = tree(ROOT / registry).body
        mappings = [
            node
            for node in body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
            for part in ast.walk(node.value)
            if isinstance(part, ast.Dict)
        ]
        assert mappings, f"{registry} has no literal mapping"
        allowed = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.AnnAssign, ast.If)
        assert [ast.unparse(node)[:60] for node in body if not isinstance(node, allowed)] == []


def test_a_module_says_its_duty_and_postpones_annotations() -> None:
    assert wrong()["dutiless"] == []
    assert wrong()["futures"] == []


def test_each_silenced_warning_gives_its_reason() -> None:
    bare = [
        f"{name(path)}:{number}"
        for path in EVERYTHING
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*(noqa|type:\s*ignore)", line)
        and not re.search(r"#\s*(noqa(:[ A-Z0-9,]+)?|type:\s*ignore(\[[a-z, -]+\])?)\s*(#|-|:|\()\s*\S+", line)
    ]
    # A pattern that looks for the words is no silenced warning.
    assert [place for place in bare if not place.startswith("tests/shape/")] == []


def test_a_broad_except_says_why() -> None:
    bare = []
    for path in PRODUCT:
        lines = path.read_text().splitlines()
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            passed_on = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in node.body)
            around = "\n".join(lines[node.lineno - 2 : node.body[0].lineno])
            if broad and not passed_on and "#" not in around:
                bare.append(f"{name(path)}:{node.lineno}")
    assert bare == []


def test_only_the_clock_reads_the_time() -> None:
    readers = re.compile(r"\btime\.(time|monotonic|time_ns|monotonic_ns|sleep)\(|\bdatetime\.(now|utcnow|today)\(")
    found = [
        f"{name(path)}:{number}"
        for path in sources("monitor", "dr")
        if path.name != "clock.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if readers.search(line)
    ]
    assert found == []

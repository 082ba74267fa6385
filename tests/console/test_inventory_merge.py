"""Entries in an inventory that a person keeps: nothing of theirs moves; and the laws of reading and writing text."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from console.intake import csvtext, netbox
from console.intake.entry import Entry, key_of
from console.intake.merge import merge
from console.intake.yamltext import flow, scalar
from console.main import karaula
from monitor.errors import InventoryError
from monitor.problem import Problem
from monitor.yamlfile import Place, parse

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "inventory.yaml").read_bytes()
HOSTS = "key,site,address,port,user,credential\n"
HOST = "web-9,main,10.0.0.9,22,karaula,ssh-karaula\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory.yaml").write_bytes(SHIPPED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return tmp_path


def bring(*words: str) -> Result:
    return CliRunner().invoke(karaula, ["inventory", "import", *words], catch_exceptions=False)


def table(text: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


# -- the user's file -------------------------------------------------------------------------------------------------

HOST_ENTRY = Entry(
    "hosts",
    "web-9",
    {"site": "main", "address": "10.0.0.9", "port": 22, "user": "karaula", "credential": "ssh-karaula"},
    "t.csv",
    Place(2, 1),
)
CHECK_ENTRY = Entry("checks", "web-9", {"probe": "icmp", "site": "main", "address": "10.0.0.9"}, "t.csv", Place(2, 1))


def only_added(before: str, after: str, line: str) -> None:
    lines = after.splitlines(keepends=True)
    lines.remove(next(each for each in lines if each.strip() == line.strip()))
    assert "".join(lines).rstrip() == before.rstrip()


def without_checks() -> str:
    text = SHIPPED.decode()
    begun = text.index("\nchecks:") if "\nchecks:" in text else -1
    if begun < 0:
        return text
    following = parse(SHIPPED, "i")
    line = following.keys["checks",].line
    after = min(place.line for path, place in following.keys.items() if len(path) == 1 and place.line > line)
    lines = text.splitlines(keepends=True)
    return "".join(lines[: line - 1] + lines[after - 1 :])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_marks_stay(newline: str, mark: str) -> None:
    text = mark + SHIPPED.decode().replace("\n", newline)
    merged = merge(text.encode(), "i", [HOST_ENTRY])
    assert merged.text.count("\r\n") == (merged.text.count("\n") if newline == "\r\n" else 0)
    assert merged.text.startswith(mark)
    only_added(text, merged.text, "web-9: " + flow(HOST_ENTRY.data))


@pytest.mark.parametrize(
    "tail", ["", "\n", "\n\n# the end", "\nchecks: {}", "\nchecks: {} # none yet\n", "\nchecks: {  }\n\n"]
)
def test_a_section_that_is_empty_or_not_there(tail: str) -> None:
    text = without_checks().rstrip("\n") + tail
    merged = merge(text.encode(), "i", [CHECK_ENTRY])
    assert parse(merged.text.encode(), "i").data["checks"] == {"web-9": dict(CHECK_ENTRY.data)}
    for line in text.splitlines():
        assert re.sub(r" ?\{ *\}", "", line) in merged.text


def test_a_section_in_braces_is_refused_in_words() -> None:
    text = without_checks().rstrip("\n") + "\nchecks: { a: { probe: icmp, site: main, address: 10.0.0.1 } }\n"
    with pytest.raises(
        InventoryError, match=r"checks: is written as { … }, where nothing can be added; write its entries"
    ):
        merge(text.encode(), "i", [CHECK_ENTRY])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(["", "# a comment", "  # inside", "   "]), max_size=4), st.booleans())
def test_comments_and_blank_lines_around_a_section_stay_where_they_are(lines: list[str], wide: bool) -> None:
    text = SHIPPED.decode()
    at = text.index("\npower_controllers:") + 1
    text = text[:at] + "".join(f"{line}\n" for line in lines) + text[at:]
    if wide:
        text = text.replace("\n  vault-dr:", "\n\n  # a note on it\n  vault-dr:")
    merged = merge(text.encode(), "i", [HOST_ENTRY])
    only_added(text, merged.text, "web-9: " + flow(HOST_ENTRY.data))


def test_the_file_is_swapped_whole_with_its_permissions_through_a_link(folder: Path) -> None:
    (folder / "real").mkdir()
    real = folder / "real" / "estate.yaml"
    shutil.move(folder / "inventory.yaml", real)
    real.chmod(0o640)
    (folder / "inventory.yaml").symlink_to(real)
    assert bring("csv", table(HOSTS + HOST), "--section", "hosts", "--into", "inventory.yaml").exit_code == 0
    assert (folder / "inventory.yaml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert b"web-9" in real.read_bytes()
    assert sorted(path.name for path in real.parent.iterdir()) == ["estate.yaml", "estate.yaml.bak"]


def test_somebody_elses_edit_is_not_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import console.intake.merge as merging  # noqa: PLC0415 - to edit the file between reading and writing

    beside = merging._beside

    def edited(target: Path, content: bytes) -> Path:
        target.write_bytes(SHIPPED + b"# edited\n")
        return beside(target, content)

    monkeypatch.setattr(merging, "_beside", edited)
    result = bring("csv", table(HOSTS + HOST), "--section", "hosts", "--into", "inventory.yaml")
    assert result.exit_code == 3
    assert "was changed while it was being read; nothing is written, try again" in result.stderr
    assert (folder / "inventory.yaml").read_bytes() == SHIPPED + b"# edited\n"
    assert sorted(path.name for path in folder.iterdir()) == ["inventory.yaml", "t.csv"]


def test_a_folder_that_cannot_be_written_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The permissions are what stops an ordinary user; root, whom nothing stops, sits on a read-only file system."""
    name = table(HOSTS + HOST)
    words = (name, "--section", "hosts", "--into", "inventory.yaml")
    if os.geteuid():
        folder.chmod(0o500)
        result = bring("csv", *words)
        folder.chmod(0o700)
    else:
        sealed = folder / "sealed"
        sealed.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "karaula-test", sealed], check=True)
        try:
            for file in ("inventory.yaml", name):
                shutil.copy(file, sealed)
            subprocess.run(["mount", "-o", "remount,ro", sealed], check=True)
            monkeypatch.chdir(sealed)
            result = bring("csv", *words)
        finally:
            monkeypatch.chdir(folder)
            subprocess.run(["umount", sealed], check=True)
    assert result.exit_code == 3
    assert re.search("cannot be written: (Permission denied|Read-only file system)", result.stderr), result.stderr
    assert (folder / "inventory.yaml").read_bytes() == SHIPPED


# -- laws ------------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef-", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=examples(300))
@given(values)
def test_whatever_is_written_is_read_back_as_it_was(value: Any) -> None:
    text = f"top: {flow(value)}\n"
    assert parse(text.encode(), "t").data["top"] == value


@settings(deadline=None, max_examples=examples(200))
@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=40))
def test_any_text_is_one_line_of_yaml(text: str) -> None:
    assert len(scalar(text).splitlines()) <= 1
    assert parse(f"a: {scalar(text)}\n".encode(), "t").data == {"a": text}


cells = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)


@settings(deadline=None, max_examples=examples(200))
@given(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=6), st.sampled_from([",", ";", "\t"]))
def test_a_table_is_read_as_it_was_written_each_cell_at_its_place(rows: list[list[str]], separator: str) -> None:
    text = f"sep={separator}\n" + "".join(
        separator.join('"' + c.replace('"', '""') + '"' for c in row) + "\n" for row in rows
    )
    found, _ = csvtext.rows(text.encode(), "t")
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    assert [len(row) for row in found] == [len(row) for row in kept]
    lines = text.split("\n")
    for row in found:
        for cell in row:
            assert lines[cell.place.line - 1][cell.place.column - 1] == '"'


@settings(deadline=None, max_examples=examples(200))
@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_a_mistake_with_a_place(raw: bytes) -> None:
    for read in (lambda: csvtext.rows(raw, "t"), lambda: netbox.entries(raw, "t", netbox.Wish())):
        problems: tuple[Problem, ...] = ()
        with contextlib.suppress(InventoryError):
            try:
                read()
            except InventoryError as error:
                problems = error.problems
                raise
        assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


def test_names_become_keys_as_road_signs_write_them() -> None:
    names = {
        "Jažince (cesta)": "jazince-cesta",
        "Ѓоче Делчев": "gjoche-delchev",
        "Đorče Petrov": "dorce-petrov",
        "ÆØ 1": "aeo-1",
    }
    assert {name: key_of(name) for name in names} == names
    assert (key_of("12 monkeys"), key_of("???"), key_of("")) == ("", "", "")
    assert len(key_of("a" * 200)) == 63

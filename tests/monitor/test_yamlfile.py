"""YAML as Karaula reads it: YAML 1.2 scalars, places, and mistakes instead of surprises."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import InventoryError
from monitor.problem import Problem
from monitor.yamlfile import MAX_BYTES, MAX_DEPTH, MAX_VALUES, load, parse, resolve


def mistakes(text: str | bytes) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        parse(text.encode() if isinstance(text, str) else text, "f")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("22:30", "22:30"),
        ("1:20:30", "1:20:30"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("-12", -12),
        ("+3", 3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("2026-11-24", "2026-11-24"),
        ("127.80.1.5", "127.80.1.5"),
        ("1.3.6.1", "1.3.6.1"),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(plain, value):
    assert resolve(plain) == value
    assert type(resolve(plain)) is type(value)
    assert parse(f"a: {plain}\n".encode(), "f").data == {"a": value}


def test_not_a_number():
    assert math.isnan(float(str(resolve(".nan"))))


@pytest.mark.parametrize("quoted", ["'12'", '"12"', "|-\n  12", ">-\n  12"])
def test_what_is_quoted_or_a_block_is_text(quoted):
    assert parse(f"a: {quoted}\n".encode(), "f").data == {"a": "12"}


def test_every_key_and_value_has_its_place():
    document = parse(b"# top\nlinks:\n  blace:\n    backup: {operator: b}\n  list:\n    - x\n    - y: 1\n", "f")
    assert str(document.problem(("links", "blace", "backup", "operator"), "m")) == (
        "f:4:24: links.blace.backup.operator: m"
    )
    assert str(document.problem(("links", "blace", "backup", "operator"), "m", at="key")).startswith("f:4:14:")
    assert str(document.problem(("links", "list", 1, "y"), "m", "h")) == "f:7:10: links.list[1].y: m; h"
    assert str(document.problem((), "m")) == "f:2:1: m"


def test_what_is_not_written_is_placed_at_its_parent():
    document = parse(b"a:\n  b:\n    c: 1\n", "f")
    assert str(document.problem(("a", "b", "d", "e"), "missing")) == "f:2:3: a.b.d.e: missing"
    assert str(document.problem(("z",), "missing")) == "f:1:1: z: missing"


def test_a_byte_order_mark_and_a_document_start_are_accepted():
    assert parse(b"\xef\xbb\xbf---\na: 1\n", "f").data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\nb: {c: 1, c: 2}", ["f:2:1: a: this key stands here twice; it is first on line 1"]),
        ("a: &x 1\nb: *x", ["f:1:4: anchors (&x) are not allowed; remove it"]),
        ("a: !!python/object:os.system x", ["f:1:4: tags (tag:yaml.org,2002:python/object:os.system) are not allowed"]),
        ("a: !!int '3'", ["f:1:4: tags (tag:yaml.org,2002:int) are not allowed; write the plain value"]),
        ("a:\n\tb: 1", ["f:2:1: a tab stands here; indent with spaces"]),
        ("a: 1\n---\nb: 2", ["f:2:1: a second document starts here; write one document a file, without '---'"]),
        ("1: x", ["f:1:1: a key must be text, found 1; put it in quotes"]),
        ("true: x", ["f:1:1: a key must be text, found true; put it in quotes"]),
        ("[a]: x", ["f:1:1: a key must be text, found a list or a mapping"]),
        ("a: {? : 1}", ["f:1:7: a: a key must be text, found nothing before ':'"]),
        ("", ["f:1:1: expected keys and values at the top, found nothing: the file is empty"]),
        ("- a", ["f:1:1: expected keys and values at the top, found a list"]),
        ("just text", ["f:1:1: expected keys and values at the top, found 'just text'"]),
        ("a: 'x\nb: 1", ["f:1:4: the quote that opens here is not closed"]),
        ("a: [1, 2\nb: 3", ["f:1:4: the list that opens here with '[' lacks a ',' or its ']'"]),
        ("a: {x: 1\nb: 3\n", ["f:1:4: what opens here with '{' lacks a ',' or its '}'"]),
        ("a: `x`", ["f:1:4: a value cannot start with '`'; put it in quotes"]),
        ('a: "\\q"', ["f:1:5: this backslash means nothing; use single quotes, or write \\\\"]),
        ("a: ok\nž: \x07", ["f:2:4: a control character stands here; remove it"]),
        ("a: }", ["f:1:4: expected a value here"]),
        (b"a: ok\nb: \xff", ["f:2:4: this byte is not UTF-8; save the file as UTF-8"]),
        ("a: 1\n".encode("utf-16"), ["f:1:1: this byte is not UTF-8; save the file as UTF-8"]),
        ("a: " + "9" * 5000, ["f:1:4: a: a number of 5000 digits; put it in quotes if it is text"]),
    ],
)
def test_mistakes_have_a_place_and_plain_words(text, expected):
    found = mistakes(text)
    assert [message[: len(want)] for message, want in zip(found, expected, strict=False)] == expected


def test_all_mistakes_are_told_at_once():
    assert len(mistakes("a: &x 1\nb: *x\nb: 2\n3: !t y\n")) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("{a: " * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("- " * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("a:\n" + "- x\n" * (MAX_VALUES + 1), f"the file holds more than {MAX_VALUES} values"),
        ("a" * (MAX_BYTES + 1), "the file is larger than 4 MiB"),
    ],
)
def test_depth_and_size_are_bounded(text, expected):
    assert mistakes(text)[0].endswith(expected)


def test_an_alias_bomb_is_not_expanded():
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
    assert all("are not allowed" in message for message in mistakes(bomb))


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(InventoryError, match=r"nowhere\.yaml:1:1: cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(InventoryError, match="cannot be read: Is a directory"):
        load(tmp_path)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(TEXT, JSON))
def test_json_means_the_same(data):
    assert parse(json.dumps(data, ensure_ascii=False).encode(), "f").data == data


@settings(deadline=None, max_examples=examples(300))
@given(st.binary() | st.text(alphabet="ab:-[]{}&*!|>'\"%@`#?,~<= \n\t\\10\0\x85\u2028ž", max_size=60).map(str.encode))
def test_any_bytes_are_data_or_mistakes(raw):
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(parse(raw, "f").data, dict)
    except InventoryError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)

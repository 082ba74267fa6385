"""What an observer answers: a whole and sound opinion, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import GarbledReply
from monitor.probes.observer import LONGEST_REASON, WORDS, ObserverParams, read

PARAMS = ObserverParams("https://witness.example", "token", frozenset({("ncts", "main"), ("ncts", "dr")}))
DOWN = {"word": "down", "age_s": 1.5, "reason": "no route"}
NEVER = {"word": "unknown", "age_s": None, "reason": "it has not seen it yet"}
SOUND = {"schema_version": 1, "systems": {"ncts": {"main": DOWN, "dr": NEVER}, "ite": {}}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def body(main: Any = DOWN, dr: Any = NEVER) -> bytes:
    return json.dumps({"systems": {"ncts": {"main": main, "dr": dr}}}).encode()


def test_a_sound_opinion_is_read_word_by_word() -> None:
    values, facts = read(json.dumps(SOUND).encode(), PARAMS)
    assert values == {"ncts/main age_s": 1.5}
    assert facts == {
        "ncts/dr": "unknown",
        "ncts/dr reason": "it has not seen it yet",
        "ncts/main": "down",
        "ncts/main reason": "no route",
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b"[]",
        b'{"systems":[]}',
        b'{"systems":{"ncts":{"main":{}}}}',
        body(main={**DOWN, "word": "gone"}),
        body(main={**DOWN, "word": ["down"]}),
        body(main={**DOWN, "age_s": None}),
        body(main={**DOWN, "age_s": True}),
        body(main={**DOWN, "age_s": -1}),
        body(main={**DOWN, "age_s": float("nan")}),
        body(main={**DOWN, "age_s": 10**400}),
        body(main={**DOWN, "reason": 7}),
        body(dr=None),
        b'{"systems":{"ncts":{"main":{"word":"down","age_s":' + b"9" * 5000 + b',"reason":""}}}}',
    ],
)
def test_anything_else_is_no_opinion(answer: bytes) -> None:
    with pytest.raises(GarbledReply, match=r"https://witness\.example"):
        read(answer, PARAMS)


def test_what_it_says_stands_in_one_line() -> None:
    _, facts = read(body(main={**DOWN, "reason": "a\nb\x1b[31m" + "x" * 1000}), PARAMS)
    assert facts["ncts/main reason"].startswith("a\ufffdb\ufffd[31m")
    assert len(facts["ncts/main reason"]) == LONGEST_REASON


@given(JSON, JSON)
def test_whatever_it_answers_every_side_has_a_word_or_nothing_is_taken(main: Any, dr: Any) -> None:
    try:
        values, facts = read(body(main, dr), PARAMS)
    except GarbledReply:
        return
    assert {facts["ncts/main"], facts["ncts/dr"]} <= WORDS
    assert all(0 <= age < 1e9 for age in values.values())

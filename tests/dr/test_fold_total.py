"""Laws of the journal's words: what is written reads back the same, anything else is an IllegalEvent."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from engine_kit import FAILOVER, FENCE, accepted, plan, step
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.engine.transition import decide
from dr.errors import IllegalEvent
from dr.journal.event import WORDS, Event, RunAccepted, RunStarted, StepSucceeded, decode, encode
from dr.journal.fold import begin, fold, fold_all
from dr.journal.run import RunState, StepState
from dr.playbook.model import Plan, PlannedStep, plan_from_json

DRILL = plan(
    step("one", effects=(("a", "bubble", "present"),), undoable=True, retries=1),
    step("two", "one", on_failure="undo"),
    step("tidy", effects=(("a", "bubble", "absent"),), final=True),
    kind="drill",
)
SETTINGS = settings(deadline=None, max_examples=examples(200))
TEXT = st.text(max_size=20)
SCALAR = TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
JSON = st.recursive(
    st.none() | SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
NAMES = st.sampled_from(["one", "two", "tidy", "nobody"])
TIME = st.floats(0, 2e9)
# Words that a field may plausibly hold, so that sequences come far before they turn illegal.
LIKELY: dict[str, Any] = {
    "at": TIME,
    "expires_at": TIME,
    "step": NAMES,
    "attempt": st.integers(0, 3),
    "token": st.sampled_from([7, 7, 7, 8]),
    "holds": st.sampled_from(["yes", "no", "cannot-tell", "perhaps"]),
    "state": st.sampled_from([*RunState, "OVER"]).map(str),
    "ruling": st.sampled_from(["allow", "refuse", "wait"]),
    "plan_hash": st.sampled_from([DRILL.hash(), FAILOVER.hash(), "other"]),
    "outputs": st.dictionaries(TEXT, SCALAR, max_size=2),
    "plan": st.just(DRILL.to_json()),
}
VOTE = st.fixed_dictionaries(
    {
        "word": st.sampled_from(["down", "up", "unknown", "perhaps"]),
        "looks_at": TEXT,
        "age_s": st.floats(-1, 100),
        "reason": TEXT,
    }
)
LIKELY["votes"] = st.dictionaries(TEXT, VOTE, max_size=3)
LIKELY["site"] = st.sampled_from(["main", "dr"])
LIKELY["needed"] = st.integers(0, 3)
KINDS: dict[Any, Any] = {
    str: TEXT,
    float: TIME,
    int: st.integers(0, 9),
    bool: st.booleans(),
    dict[str, float]: st.dictionaries(TEXT, TIME, max_size=2),
    dict[str, str]: st.dictionaries(TEXT, TEXT, max_size=2),
}


def made(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(kind)
    parts = {field.name: LIKELY.get(field.name, KINDS.get(hints[field.name], TEXT)) for field in fields(kind)}
    return st.builds(kind, **parts)


EVENTS = st.one_of([made(kind) for kind in WORDS.values()])


# -- words -------------------------------------------------------------------------------------------------------------


@given(EVENTS)
@SETTINGS
def test_what_is_written_reads_back_the_same(event: Event) -> None:
    word, body = encode(event)
    body.encode()
    assert decode(word, body) == event
    assert encode(decode(word, body)) == (word, body)


@given(
    st.sampled_from([*WORDS, "Teleported"]), st.one_of(TEXT, JSON.map(json.dumps), EVENTS.map(lambda e: encode(e)[1]))
)
@SETTINGS
def test_anything_decodes_or_is_illegal(word: str, body: str) -> None:
    try:
        event = decode(word, body)
    except IllegalEvent:
        return
    assert decode(*encode(event)) == event


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"at":NaN}', '{"at":1e999}', '{"at":' + "9" * 5000 + "}", '{"at":true}']
)
def test_hostile_bodies_are_illegal(body: str) -> None:
    with pytest.raises(IllegalEvent):
        decode("Recovered", body)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, [1], {"a": 1}, b"x"])
def test_what_could_not_be_read_again_is_not_written(value: Any) -> None:
    with pytest.raises(IllegalEvent):
        encode(StepSucceeded(0.0, "s", 1, {"value": value}, "", ""))
    with pytest.raises(IllegalEvent):
        encode(StepSucceeded(value, "s", 1, {}, "", ""))


def test_half_a_character_is_written_as_its_escape() -> None:
    event = RunAccepted(0.0, DRILL.to_json(), "ana", "half \ud800 of it, Скопје", "person", "", 0.0, 0.0)
    word, body = encode(event)
    body.encode()
    assert decode(word, body) == event


# -- plans -------------------------------------------------------------------------------------------------------------

STEP_IDS = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), min_size=1, max_size=5, unique=True)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    ids = draw(STEP_IDS)
    steps = tuple(
        PlannedStep(
            id=name,
            action=draw(TEXT),
            site=draw(TEXT),
            description=draw(TEXT),
            args=draw(st.dictionaries(TEXT, JSON, max_size=3)),
            needs=tuple(draw(st.lists(st.sampled_from(ids[:index]), max_size=2))) if index else (),
            timeout_s=draw(st.floats(0.1, 1e5)),
            retries=draw(st.integers(0, 10)),
            retry_wait_s=draw(st.integers(0, 3600) | st.floats(0, 3600)),
            on_failure=draw(st.sampled_from(["stop", "continue", "undo"])),
            final=draw(st.booleans()),
            reads_only=draw(st.booleans()),
            undoable=draw(st.booleans()),
            effects=tuple(draw(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=2))),
        )
        for index, name in enumerate(ids)
    )
    kind = draw(st.sampled_from(["backup", "drill", "failover"]))
    return Plan(draw(TEXT), kind, draw(TEXT), draw(TEXT), "main", "dr", 900, 60.5, steps, draw(TEXT))


@given(plans())
@SETTINGS
def test_a_plan_survives_its_journal(one: Plan) -> None:
    again = plan_from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert again.hash() == one.hash()
    event = RunAccepted(0.0, one.to_json(), "ana", "", "person", "", 0.0, 0.0)
    assert begin("r", decode(*encode(event))).plan == one


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


@given(st.data())
@SETTINGS
def test_a_damaged_plan_is_illegal_or_harmless(data: st.DataObject) -> None:
    """Whatever stands in the place of any part: the run begins and can be folded and decided, or it is illegal."""
    body = json.loads(json.dumps(DRILL.to_json()))
    path = data.draw(st.sampled_from([place for place in places(body) if place]))
    here = body
    for part in path[:-1]:
        here = here[part]
    if data.draw(st.booleans()):
        here[path[-1]] = data.draw(JSON)
    elif isinstance(here, dict):
        del here[path[-1]]
    try:
        run = begin("r", RunAccepted(0.0, body, "ana", "", "person", "", 0.0, 0.0))
    except IllegalEvent:
        return
    for event in data.draw(st.lists(EVENTS, max_size=5)):
        try:
            run = fold(run, event)
        except IllegalEvent:
            break
        decide(run, 1.0)


# -- sequences ---------------------------------------------------------------------------------------------------------


@given(st.lists(EVENTS, max_size=40))
@settings(deadline=None, max_examples=examples(300))
def test_any_sequence_folds_or_is_illegal(events: list[Event]) -> None:
    """What is illegal is left out, so that the rest comes far; whatever results, ``decide`` has an answer to."""
    run, kept = accepted(DRILL)
    run = fold(run, RunStarted(1.0, 7))
    kept.append(RunStarted(1.0, 7))
    for event in events:
        try:
            run = fold(run, event)
        except IllegalEvent:
            continue
        kept.append(event)
        decide(run, 2.0)
        assert run.seq == len(kept)
    assert fold_all(run.id, kept) == run
    if run.state is RunState.SUCCEEDED:
        assert all(record.state is StepState.SUCCEEDED for record in run.steps.values())
    assert all(decode(*encode(event)) == event for event in kept)


@given(st.lists(EVENTS, max_size=6))
@SETTINGS
def test_any_journal_folds_or_is_illegal(events: list[Event]) -> None:
    with contextlib.suppress(IllegalEvent):
        fold_all("r", events)


def test_success_is_not_written_over_a_step_that_did_not_succeed() -> None:
    from dr.journal.event import RunEnded, StepFailed, StepIgnored, StepStarted  # noqa: PLC0415 - only here

    run, _ = accepted(plan(step("one", effects=(FENCE,)), kind="backup"))
    run = fold(fold(run, RunStarted(1.0, 7)), StepStarted(2.0, "one", 1, "k", 7))
    run = fold(run, StepFailed(3.0, "one", 1, "no", timed_out=False, retry_helps=False, output_sha256=""))
    for word in ("SUCCEEDED", "SUCCEEDED_WITH_WARNINGS"):
        with pytest.raises(IllegalEvent, match="did not succeed"):
            fold(run, RunEnded(4.0, word, ""))
    ignored = fold(run, StepIgnored(4.0, "one", "ana", "x"))
    assert fold(ignored, RunEnded(5.0, "SUCCEEDED_WITH_WARNINGS", "")).state is RunState.SUCCEEDED_WITH_WARNINGS
    with pytest.raises(IllegalEvent):
        fold(ignored, RunEnded(5.0, "SUCCEEDED", ""))

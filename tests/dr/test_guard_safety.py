"""Safety rules as data: what is not known satisfies nothing, a refusal names the rule, two people may override it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from engine_kit import FENCE, ROLE, plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import INVENTORY, House, house

from dr.engine.observed import fenced, observed
from dr.engine.standing import OverrideAsk
from dr.engine.transition import gate
from dr.errors import RunRefused
from dr.guard import Facts, Ruling, Verdict
from dr.guards.safety import safety
from dr.journal.event import CancelAsked, Event, Paused, RunAccepted
from dr.journal.fold import begin
from dr.journal.run import Run, RunState, StepState
from monitor.inventory.recovery import Condition, SafetyRule

UNFENCE = ("system/ncts/main", "fence", "off")
PLAN = plan(
    step("fence", effects=(FENCE,), site="main"),
    step("look", "fence"),
    step("promote", "look", effects=(ROLE,)),
    step("names", "promote", effects=(("system/ncts/dr", "traffic", "dr"),)),
)
ONE_WRITER = SafetyRule(
    reason="two would be too many",
    never_both=(
        Condition(subject="front/{system}/{from}", writable=True),
        Condition(subject="front/{system}/{to}", writable=True),
    ),
    before=("role=primary",),
)
SITE = SafetyRule(reason="the site", only_while=(Condition(subject="site/dr", status="ok"),))
NAMES = SafetyRule(
    reason="names",
    at_least_one_of=(Condition(subject="dns/a", status="up"), Condition(subject="dns/b", status="up")),
    before=("traffic",),
    kinds=("failover",),
)
RULES = {"one-writer": ONE_WRITER, "site": SITE, "names": NAMES}


def run_of(requester: str = "ana") -> Run:
    return begin("one", RunAccepted(0.0, PLAN.to_json(), requester, "", "person", "", 0.0, 0.0))


def ruled(verdict: Verdict) -> tuple[str, str]:
    assert verdict.sentence
    return verdict.ruling.value, verdict.reason


def facts(rules: dict[str, SafetyRule], **seen: dict[str, str]) -> Facts:
    named = {name.replace("_", "/"): value for name, value in seen.items()}
    return Facts((), (), {}, rules=rules, observed=named)


STATUS = st.sampled_from(["ok", "degraded", "down", "unknown", ""])


@given(st.lists(STATUS, min_size=1, max_size=4), st.sampled_from(["at_least_one_of", "never_both", "only_while"]))
def test_each_word_means_what_it_says_and_unknown_never_satisfies(found: list[str], word: str) -> None:
    if word == "never_both" and len(found) < 2:
        found = [*found, "ok"]
    conditions = tuple(Condition(subject=f"site/s{n}", status="up") for n in range(len(found)))
    rule = SafetyRule.model_validate({"reason": "x", word: conditions})
    seen = {f"site/s{n}": {"status": status} for n, status in enumerate(found)}
    verdict = safety(run_of(), Facts((), (), {}, rules={"rule": rule}, observed=seen), None, 0.0)
    up, down = sum(s in {"ok", "degraded"} for s in found), found.count("down")
    unknown = len(found) - up - down
    holds = {"at_least_one_of": up > 0, "never_both": up + unknown <= 1, "only_while": up == len(found)}[word]
    assert (verdict.ruling.value == "allow") == holds
    could = {"at_least_one_of": unknown > 0, "never_both": up <= 1, "only_while": down == 0}[word]
    assert verdict.again == (not holds and could)
    if not holds:
        assert "rule 'rule' (x)" in verdict.sentence
        assert all(f"site/s{n} status up (observed:" in verdict.sentence for n in range(len(found)))


def test_a_rule_is_asked_of_the_run_or_before_the_steps_that_it_is_about() -> None:
    seen = facts(RULES, site_dr={"status": "ok"})
    assert ruled(safety(run_of(), seen, None, 0.0)) == ("allow", "rules-hold")
    assert ruled(safety(run_of(), seen, "look", 0.0)) == ("allow", "no-rule")
    assert ruled(safety(run_of(), seen, "fence", 0.0)) == ("allow", "rules-hold")
    told = safety(run_of(), seen, "names", 0.0)
    assert ruled(told) == ("refuse", "rule-broken")
    assert "dns/a status up (observed: not known), dns/b status up (observed: not known)" in told.sentence
    assert "karaula override safety/names ncts --for 30m" in told.sentence
    assert ruled(safety(run_of(), facts({"names": NAMES}), None, 0.0)) == ("allow", "asked-later")
    assert ruled(safety(run_of(), facts({"n": NAMES.model_copy(update={"systems": ("ite",)})}), "names", 0.0)) == (
        "allow",
        "no-rule",
    )


def test_cleaning_up_is_held_up_only_by_a_rule_that_names_what_it_changes() -> None:
    clones = ("system/ncts/dr", "bubble", "absent")
    drill = plan(step("look"), step("remove", effects=(clones,), final=True), kind="drill")
    run = begin("one", RunAccepted(0.0, drill.to_json(), "ana", "", "person", "", 0.0, 0.0))
    failing = {"status": "degraded"}
    assert ruled(safety(run, facts({"site": SITE}, site_dr=failing), None, 0.0)) == ("refuse", "rule-broken")
    assert ruled(safety(run, facts({"site": SITE}, site_dr=failing), "remove", 0.0)) == ("allow", "no-rule")
    named = SITE.model_copy(update={"before": ("bubble",)})
    assert ruled(safety(run, facts({"site": named}, site_dr=failing), "remove", 0.0)) == ("refuse", "rule-broken")


@pytest.mark.parametrize(
    ("main", "dr", "expected"),
    [
        ({"role": "active"}, {"role": "standby"}, "allow"),
        ({"role": "active"}, {}, "refuse"),
        ({}, {"role": "standby"}, "allow"),
        ({}, {}, "refuse"),
        ({"role": "active"}, {"role": "active"}, "refuse"),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_two_writers(main: dict[str, str], dr: dict[str, str], expected: str, cut: bool) -> None:
    run = run_of()
    if cut:
        record = replace(run.steps["fence"], state=StepState.SUCCEEDED, attempt=1, started_at=1.0, ended_at=2.0)
        run = replace(run, steps={**run.steps, "fence": record})
    words = {"front/ncts/main": main, "front/ncts/dr": dr}
    seen = observed(RULES, run, (), lambda subject: words.get(subject, {}))
    verdict = safety(run, Facts((), (), {}, rules={"one-writer": ONE_WRITER}, observed=seen), "promote", 0.0)
    assert verdict.ruling.value == ("allow" if cut else expected), "what has no power takes no declarations"


def test_the_fence_is_what_the_newest_step_has_proven() -> None:
    on = run_of()
    steps = dict(on.steps)
    steps["fence"] = replace(steps["fence"], state=StepState.SUCCEEDED, attempt=1, started_at=1.0, ended_at=2.0)
    on = replace(on, steps=steps)
    assert fenced((on,), "ncts", "main") == ("on", 2.0)
    for runs, system, site in (((on,), "ncts", "dr"), ((on,), "ite", "main"), ((run_of(),), "ncts", "main")):
        assert fenced(runs, system, site)[0] == ""
    lost = replace(on, steps={**steps, "fence": replace(steps["fence"], state=StepState.UNKNOWN)})
    assert fenced((lost,), "ncts", "main") == ("", 2.0)
    opened = plan(step("open", effects=(UNFENCE,), site="main"))
    off = begin("two", RunAccepted(0.0, opened.to_json(), "ana", "", "person", "", 0.0, 0.0))
    done = replace(off.steps["open"], state=StepState.SUCCEEDED, attempt=1, started_at=3.0, ended_at=4.0)
    assert fenced((replace(off, steps={"open": done}), on), "ncts", "main") == ("off", 4.0)


@pytest.mark.parametrize(("read_at", "fence"), [("", "on"), ("1.5", "on"), ("2.0", "on"), ("2.5", "off")])
def test_a_fence_that_somebody_has_opened_since_is_open(read_at: str, fence: str) -> None:
    """Outlets that were read to be on after the proof: what is heard of the side counts again, as before any fence."""
    run = run_of()
    record = replace(run.steps["fence"], state=StepState.SUCCEEDED, attempt=1, started_at=1.0, ended_at=2.0)
    run = replace(run, steps={**run.steps, "fence": record})
    main = {"status": "ok", "role": "active", **({"powered_at": read_at} if read_at else {})}
    words = {"front/ncts/main": main, "front/ncts/dr": {"role": "active"}}
    seen = observed(RULES, run, (), lambda subject: words.get(subject, {}))
    writable = {"on": "no", "off": "yes"}[fence]
    told = seen["front/ncts/main"]
    assert (told["fence"], told["writable"], "powered_at" in told) == (fence, writable, False)
    verdict = safety(run, Facts((), (), {}, rules={"one-writer": ONE_WRITER}, observed=seen), "promote", 0.0)
    assert verdict.ruling.value == {"on": "allow", "off": "refuse"}[fence]


# -- a whole run -------------------------------------------------------------------------------------------------------


def seeing(at: House, seen: dict[str, dict[str, str]]) -> None:
    world = replace(at.orchestrator.world, observed=lambda subject: seen.get(subject, {}))
    at.orchestrator.reload(world, at.orchestrator.rules)


POWER = SafetyRule(reason="the site must be well", only_while=SITE.only_while, before=("power",))


@pytest.mark.anyio
async def test_a_step_waits_for_what_is_about_to_be_observed_then_pauses_and_two_people_may_go_on(
    tmp_path: Path,
) -> None:
    inventory = INVENTORY.model_copy(update={"safety": {"site": POWER}})
    async with house(tmp_path, inventory=inventory) as at:
        seen: dict[str, dict[str, str]] = {}
        seeing(at, seen)
        run = await at.until(await at.approve(await at.submit()), RunState.IN_PROGRESS)
        for _ in range(3):
            at.clock.advance(1.0)
        assert at.orchestrator.run(run.id).state is RunState.IN_PROGRESS, "nothing is known yet"
        while at.orchestrator.run(run.id).state is RunState.IN_PROGRESS:
            at.clock.advance(5.0)
            await asyncio.sleep(0.002)
        run = at.orchestrator.run(run.id)
        assert run.state is RunState.PAUSED
        assert (
            "rule 'site' (the site must be well): only_while site/dr status ok (observed: not known)"
            in run.pause_reason
        )
        assert not at.actions["power"].calls
        standing = at.orchestrator.standing
        assert "safety/site" in standing.rules()
        await standing.override(OverrideAsk("ncts", "safety/site", "vera", "I see it", 600.0))
        await standing.confirm("1", "boris", "")
        await at.orchestrator.command(run.id, by_vera)
        run = await at.until(run)
        assert run.state is RunState.SUCCEEDED
        (note,) = [note for note in run.guards if note.reason == "overridden"]
        assert (note.guard, note.step) == ("safety", "machines")
        assert "by vera, confirmed by boris: I see it" in note.sentence


@pytest.mark.anyio
async def test_what_nobody_attends_ends_when_a_rule_keeps_its_step_back_and_a_failover_is_not_kept_waiting(
    tmp_path: Path,
) -> None:
    rule = SITE.model_copy(update={"before": ("backup",), "kinds": ("backup",)})
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"safety": {"site": rule}})) as at:
        seeing(at, {"site/dr": {"status": "degraded"}})
        run = await at.until(await at.submit("backup"))
        assert run.state is RunState.CANCELED
        assert "canceled by karaula: step 'write' may not begin: guard 'safety': rule 'site'" in run.end_reason
        assert not at.actions["write"].calls
        assert (await at.moved()).state is RunState.SUCCEEDED


def test_what_cleans_up_and_is_kept_back_by_name_waits_for_a_person() -> None:
    clones = ("system/ncts/dr", "bubble", "absent")
    drill = plan(step("look"), step("remove", effects=(clones,), final=True), kind="drill")
    run = begin("one", RunAccepted(0.0, drill.to_json(), "ana", "", "person", "", 0.0, 0.0))
    run = replace(run, state=RunState.IN_PROGRESS)
    refusal = Verdict("safety", Ruling.REFUSE, "rule-broken", "rule 'site' is broken")
    assert isinstance(gate(run, [refusal], "remove", 1.0)[-1], Paused)
    assert isinstance(gate(run, [refusal], "look", 1.0)[-1], CancelAsked)
    other = replace(refusal, guard="lease")
    assert isinstance(gate(run, [refusal, other], "look", 1.0)[-1], Paused), "the lease is no rule of the inventory's"


def by_vera(run: Run, now: float) -> list[Event]:
    from dr.engine import commands  # noqa: PLC0415 - named like its test's helper

    return list(commands.resume(run, "vera", "", now))


@pytest.mark.anyio
async def test_what_is_observed_against_it_refuses_at_once(tmp_path: Path) -> None:
    rules = {"site": SITE.model_copy(update={"kinds": ("backup",)})}
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"safety": rules})) as at:
        seeing(at, {"site/dr": {"status": "down"}})
        with pytest.raises(
            RunRefused, match=r"rule 'site' \(the site\): only_while site/dr status ok \(observed: 'down'\)"
        ):
            await at.submit("backup")
        seeing(at, {"site/dr": {"status": "ok"}})
        assert (await at.until(await at.submit("backup"))).state is RunState.SUCCEEDED
        assert (await at.moved()).state is RunState.SUCCEEDED, "the rule is about backups"

"""The inventory's safety rules, held against what was observed: at least one of …, never both of …, only while ….

Asked before a run and again before each step that changes something; a rule with ``before`` at those steps alone. A
step under ``finally`` cleans up, and is held up only by a rule whose ``before`` names what it changes: one that asks
for a well site would else keep a drill's clones on a failing one. What is not known satisfies nothing: of
``never_both`` all but one must be known not to be so. Where only knowledge is missing the verdict says that it is worth
asking again.
"""

from __future__ import annotations

from dr.guard import Facts, Ruling, Verdict
from dr.journal.override import SAFETY
from dr.journal.run import Run
from dr.playbook.model import PlannedStep
from monitor.inventory.recovery import Condition, SafetyRule, filled

NAME = "safety"


def safety(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
    """Refuse while a rule is not satisfied, naming it and what was observed, unless two people have overridden it."""
    planned = None if step is None else run.steps[step].plan
    about = {key: rule for key, rule in facts.rules.items() if rule.concerns(run.plan.kind, run.system)}
    mine = {key: rule for key, rule in about.items() if (_touched(rule, planned) if planned else not rule.before)}
    if not mine and about and planned is None:
        return Verdict(NAME, Ruling.ALLOW, "asked-later", f"{_listed(about)}: asked before the steps that it is about")
    if not mine:
        return Verdict(NAME, Ruling.ALLOW, "no-rule", "no safety rule is about this")
    broken = {key: judged for key, rule in mine.items() if (judged := _judged(rule, run, facts)) is not None}
    passed = {key: made for key in broken if (made := facts.overridden(f"{SAFETY}{key}", run, now)) is not None}
    said = [f"rule '{key}' ({facts.rules[key].reason}): {words}" for key, (words, _) in broken.items()]
    if not broken:
        return Verdict(NAME, Ruling.ALLOW, "rules-hold", f"what was observed satisfies {_listed(mine)}")
    if passed.keys() == broken.keys():
        by = "; ".join(override.words() for override in passed.values())
        return Verdict(NAME, Ruling.ALLOW, "overridden", f"{'; '.join(said)}. {by}")
    left = next(key for key in broken if key not in passed)
    sentence = (
        f"{'; '.join(said)}. See to it, or let two people take it upon themselves: "
        f"'karaula override {SAFETY}{left} {run.system} --for 30m --reason …'"
        f"{facts.left_aside(f'{SAFETY}{left}', run, now)}"
    )
    again = all(unknown for _, unknown in broken.values())
    return Verdict(NAME, Ruling.REFUSE, "rule-broken", sentence, again=again)


def _touched(rule: SafetyRule, step: PlannedStep) -> bool:
    changes = {field for _, field, _ in step.effects} | {f"{field}={value}" for _, field, value in step.effects}
    return not changes.isdisjoint(rule.before) if rule.before else bool(changes) and not step.final


def _judged(rule: SafetyRule, run: Run, facts: Facts) -> tuple[str, bool] | None:
    """Return what was observed and whether only knowledge is missing; None when the rule is satisfied."""
    word, conditions = rule.conditions
    found = [_holds(each, run, facts) for each in conditions]
    if word == "at_least_one_of":
        satisfied, hopeless = True in found, None not in found
    elif word == "only_while":
        satisfied, hopeless = all(found), False in found
    else:
        satisfied, hopeless = sum(each is not False for each in found) <= 1, found.count(True) > 1
    if satisfied:
        return None
    return f"{word} " + ", ".join(_words(each, run, facts) for each in conditions), not hopeless


def _holds(condition: Condition, run: Run, facts: Facts) -> bool | None:
    """Tell whether the condition was observed to be so; None: it is not known."""
    name, wanted = condition.wanted
    value = facts.observed.get(_subject(condition, run), {}).get(name, "")
    if not value or value == "unknown":
        return None
    return value in {"ok", "degraded"} if wanted == "up" else value == wanted


def _words(condition: Condition, run: Run, facts: Facts) -> str:
    name, wanted = condition.wanted
    subject = _subject(condition, run)
    value = facts.observed.get(subject, {}).get(name, "")
    seen = "not known" if value in {"", "unknown"} else f"'{value}'"
    return f"{subject} {name} {wanted} (observed: {seen})"


def _subject(condition: Condition, run: Run) -> str:
    return filled(condition.subject, run.system, run.plan.from_site, run.plan.to_site)


def _listed(rules: dict[str, SafetyRule]) -> str:
    return ("rule " if len(rules) == 1 else "rules ") + ", ".join(f"'{key}'" for key in rules)

"""Self-check first: whether others are down, or the monitor itself cannot see.

A failure is believed only when, after it was seen, somebody beyond the uplink answered: enough of the inventory's
anchors, or more than a small share of everything else that is asked (``Rules.many_ratio``). While neither does, bad
news waits; when every newest ask says so, the monitor is isolated. So no order in which answers and time-outs come in
makes a cut of the own uplink look like the loss of a site, and a site that is really lost is never taken for isolation
by a monitor that still reaches its anchors. When so much is down that nobody else could speak for the uplink, one lost
answer makes no anchor silent: that takes ``patience`` of them in a row. Pure: observations and the time come in, and
nothing else is known.

What stands at the monitor's own site is near: it is judged as always for as long as anything there answers.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.probe import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from monitor.probe import Observation

ISOLATED = "isolated"  # the detail of a status that is UNKNOWN because of it
FEWEST = 5  # fewer targets than these, that do not answer, say nothing about the uplink
NEVER = -math.inf
FEW_NAMED = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """``monitor.inventory.vantage.Vantage``, as far as it matters here, and who is where.

    ``need`` anchors must answer, or more than ``1 - many_ratio`` of the ``far`` targets, which are those beyond the
    uplink that are asked every round; ``near`` is all that stands at the monitor's own site. Where only the anchors
    can tell, one is silent after ``patience`` asks without an answer, or after one when it never answered.
    """

    anchors: frozenset[str]
    need: int
    many_ratio: float
    near: frozenset[str]
    far: frozenset[str]
    patience: int = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of the newest ask of one target, when it last answered (Unix seconds), and how many asks ago."""

    answered: bool
    answered_at: float
    misses: int


class Lookout:
    """Remembers who answered when, and says what may be believed."""

    def __init__(self, rules: Rules) -> None:
        """Begin with nobody heard."""
        self.rules = rules
        self.reason = ""
        self._heard: dict[str, Heard] = {}
        self._evidence: tuple[float, float] | None = None
        self._latest = NEVER  # when the newest ask was over

    def change(self, rules: Rules) -> None:
        """Go by other rules from now on."""
        self.rules = rules
        self._evidence = None

    @property
    def isolated(self) -> bool:
        """Whether the monitor is isolated, as of the last ``look``."""
        return bool(self.reason)

    def hear(self, observation: Observation) -> None:
        """Take in what came of one ask."""
        self._latest = observation.at
        answered = observation.answer is Answer.OK
        before = self._heard.get(observation.subject)
        last = observation.at if answered else (NEVER if before is None else before.answered_at)
        if last > observation.at:  # the clock was set back since: when that was is not known
            last = NEVER
        misses = 0 if answered else 1 + (0 if before is None else before.misses)
        self._heard[observation.subject] = Heard(answered, last, misses)
        self._evidence = None

    def forget(self, subject: str) -> None:
        """Take note that ``subject`` is not asked any more."""
        self._heard.pop(subject, None)
        self._evidence = None

    def believable(self, subject: str, failed_at: float) -> bool:
        """Tell whether a failure that was seen at ``failed_at`` may be believed by now."""
        if not self._can_judge():
            return True
        if self._evidence is None:
            far = max(self._anchors_at(), self._others_at())
            near = max((self._last(each) for each in self.rules.near), default=NEVER)
            self._evidence = (far, max(far, near))
        return self._evidence[1 if subject in self.rules.near else 0] >= failed_at

    def look(self, lost: Callable[[str], bool]) -> None:
        """Judge anew; ``lost`` tells of a target whether its failure is believed already, so no answer is expected."""
        if not self._can_judge():
            self.reason = ""
            return
        rules = self.rules
        if rules.anchors and sum(self._answers(each) for each in rules.anchors) >= rules.need:
            self.reason = ""
            return
        up = [each for each in rules.far if self._answers(each) or not lost(each)]
        asked = [each for each in up if each in self._heard]
        answering = sum(self._answers(each) for each in asked)
        if asked and answering >= self._few(len(asked)):
            self.reason = ""
        elif len(up) < FEWEST:  # most is down already: what is left is too little to speak for the uplink
            silent = sum(self._silent(each) for each in rules.anchors)
            alone = rules.anchors and len(rules.anchors) - silent < rules.need
            self.reason = self._words(len(asked), answering) if alone else ""
        elif len(asked) >= rules.many_ratio * len(up):  # until then the verdict stays what it was
            self.reason = self._words(len(asked), answering)

    def knows(self) -> bool:
        """Tell whether there is a verdict: enough has been asked."""
        return self._can_judge()

    def out_of_sight(self, subject: str) -> bool:
        """Tell whether the monitor cannot see ``subject`` now; what is near it can, unless not even that answers."""
        if not self.isolated:
            return False
        return subject not in self.rules.near or not any(self._answers(each) for each in self.rules.near)

    def blind(self, target: str) -> bool:
        """Tell whether nothing can be said of ``target`` now: it is out of sight and does not answer all the same."""
        return self.isolated and not self._answers(target) and self.out_of_sight(target)

    def _can_judge(self) -> bool:
        """Tell whether enough was asked for any verdict: all anchors, or without any enough of the others."""
        if self.rules.anchors:
            return all(each in self._heard for each in self.rules.anchors)
        return sum(each in self._heard for each in self.rules.far) >= FEWEST

    def _anchors_at(self) -> float:
        """Return since when enough anchors have answered: the time of the last one of those needed."""
        newest = heapq.nlargest(self.rules.need, (self._last(each) for each in self.rules.anchors))
        return newest[-1] if len(newest) == self.rules.need else NEVER

    def _others_at(self) -> float:
        times = [self._last(each) for each in self.rules.far if each in self._heard]
        newest = heapq.nlargest(self._few(len(times)), times)
        return newest[-1] if newest else NEVER

    def _few(self, count: int) -> int:
        """Return how many of ``count`` must answer to show that the uplink works."""
        return max(1, math.ceil(round((1.0 - self.rules.many_ratio) * count, 6)))

    def _answers(self, subject: str) -> bool:
        heard = self._heard.get(subject)
        return heard is not None and heard.answered

    def _silent(self, anchor: str) -> bool:
        """Tell whether an anchor counts as silent where nobody else can tell."""
        heard = self._heard[anchor]
        return heard.misses >= self.rules.patience or (not heard.answered and heard.answered_at == NEVER)

    def _last(self, subject: str) -> float:
        """Return when ``subject`` last answered; never, where that is in the future: then the clock was set back."""
        heard = self._heard.get(subject)
        return NEVER if heard is None or heard.answered_at > self._latest else heard.answered_at

    def _words(self, asked: int, answering: int) -> str:
        others = f"{asked - answering} of {asked} targets beyond the own uplink do not answer"
        silent = sorted(each.partition("/")[2] for each in self.rules.anchors if not self._answers(each))
        if silent and not asked:
            return f"{_named(silent)}, and all else beyond the own uplink is down"
        return f"{_named(silent)}, and {others}" if silent else others


def _named(anchors: Iterable[str]) -> str:
    names = list(anchors)
    shown = ", ".join(names[:FEW_NAMED]) + (f" and {len(names) - FEW_NAMED} more" if len(names) > FEW_NAMED else "")
    return f"the anchor {shown} does not answer" if len(names) == 1 else f"the anchors {shown} do not answer"

"""What happens in a course beside the engine's own writing, so that the course can be played again elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Who does what."""

    ENGINE = "the engine goes on by itself"
    ACTS = "the step's action runs, and ends as the world lets it"
    FAILS = "the step fails and did not happen"
    SILENT = "no answer comes, and the step did not happen"
    REPLY_LOST = "no answer comes, and the step did happen"
    LOOKS = "the world is looked at"
    BLIND = "a look cannot tell"
    UNDOES = "the step is undone"
    UNDO_FAILS = "the step cannot be undone"
    UNDO_LOST = "the step is undone, and no answer comes"
    DIES = "the orchestrator dies and is started again"
    PERSON = "a person decides"
    TIME = "time passes"


@dataclass(frozen=True, slots=True)
class Deed:
    """One deed; ``word`` is a person's decision. Of a death: the steps under way, and those of them that happened."""

    kind: Kind
    step: str = ""
    word: str = ""


BY_ITSELF = Deed(Kind.ENGINE)

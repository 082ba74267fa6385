"""Ask a person, and go on by what they say. A time-out is a refusal, unless the playbook declares an answer for it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from dr.action import Context, Done, Reading, StepArgs
from dr.errors import StepFailed

Answer = Annotated[str, Field(min_length=1, max_length=60)]


class AskArgs(StepArgs):
    """The question, what may be answered, which answers let the run go on, and what counts when nobody answers."""

    question: Annotated[str, Field(min_length=1, max_length=500)]
    choices: Annotated[tuple[Answer, ...], Field(min_length=1, max_length=20)] = ("yes", "no")
    go_on: Annotated[tuple[Answer, ...], Field(min_length=1)] = ("yes",)
    on_timeout: str = ""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        strange = [answer for answer in (*self.go_on, self.on_timeout) if answer and answer not in self.choices]
        if strange:
            raise ValueError(f"'{strange[0]}' is not among the choices {', '.join(self.choices)}")
        return self


class Ask(Reading):
    """The engine asks, and journals who answered what: after a crash the question still stands, with the same end."""

    name: ClassVar[str] = "ask"
    at_once: ClassVar[bool] = False
    summary: ClassVar[str] = "ask a person and go on by the answer; the step's timeout is the time to answer"
    outputs: ClassVar[tuple[str, ...]] = ("answer", "answered_by")
    Args: ClassVar[type[StepArgs]] = AskArgs

    async def run(self, args: AskArgs, context: Context) -> Done:
        """Refuse: no machine answers for a person. Raises StepFailed."""
        del args
        raise StepFailed(f"step '{context.step}' is a question; it is answered by a person, not performed")

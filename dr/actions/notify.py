"""Tell people something in the middle of a run."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from dr.action import Context, Done, Reading, StepArgs


class NotifyArgs(StepArgs):
    """What to tell."""

    message: Annotated[str, Field(min_length=1, max_length=500)]


class Notify(Reading):
    """The message stands as an alarm of its own while the run lasts, and so reaches every channel that alarms do.

    It is told from the journal: a daemon that dies just after this step tells it when it is back.
    """

    name: ClassVar[str] = "notify"
    at_once: ClassVar[bool] = False
    summary: ClassVar[str] = "tell people over the channels that alarms go"
    outputs: ClassVar[tuple[str, ...]] = ("message",)
    Args: ClassVar[type[StepArgs]] = NotifyArgs

    async def run(self, args: NotifyArgs, context: Context) -> Done:
        """Yield the message; whoever watches runs tells it."""
        context.say(args.message)
        return Done({"message": args.message})

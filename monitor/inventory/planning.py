"""What is known beforehand: planned downtimes on the calendar, and what is redundant with what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.inventory.values import Cron, Model, Number, Subject, Text, Whole

DAY_S = 86400


class PlannedDowntime(Model):
    """A downtime that comes again and again. What it covers is measured and shown, but nobody is called for it."""

    subject: Subject = Field(examples=["site/main", "system/ncts", "link/tabanovce/backup"])
    cron: Cron = Field(examples=["0 2 * * 7"])
    duration_s: Annotated[Number, Field(gt=0, le=7 * DAY_S)] = Field(
        description="how long it lasts, whatever is done to the clocks on the wall meanwhile"
    )
    owner: Text = Field(description="who answers for it")
    reason: Text


class Group(Model):
    """Things that stand in for one another: while ``need`` of them are up the others may be down.

    The tiers of a system and the two links of a crossing are groups by themselves and need not stand here.
    """

    name: Text
    members: tuple[Subject, ...] = Field(min_length=1)
    need: Annotated[Whole, Field(ge=1)] = Field(1, description="how many must be up")
    needed_by: tuple[Subject, ...] = Field(
        (), description="what cannot work without it; its alarms are then explained by the group's"
    )

"""What happens by itself: schedules, responses to alarms, and who is told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.values import AlarmName, Cron, Endpoint, Key, Model, Number, Seconds, Text, Url


class Schedule(Model):
    """A playbook on the calendar. A failover cannot be put on a clock."""

    playbook: Key
    system: Key
    cron: Cron = Field(examples=["30 1 * * *"])
    missed: Literal["catch-up", "record"] = Field(
        "catch-up", description="a slot that passed while the daemon was down: run it late, or write it down as missed"
    )
    late_by_s: Seconds = Field(6 * 3600, description="how late a slot may still be caught up")


class Response(Model):
    """What the daemon prepares when an alarm is raised."""

    alarm: AlarmName
    system: Key
    playbook: Key
    mode: Literal["notify", "prepare", "automatic"] = "prepare"
    grace_s: Annotated[Number, Field(ge=0, le=86400)] = Field(
        30, description="how long the alarm must have stood before anything is prepared"
    )


class Notify(Model):
    """Where alarms and run events are sent."""

    mail_server: Endpoint | None = None
    mail_from: str = ""
    mail_to: tuple[Text, ...] = ()
    ticket_url: Url | None = None
    morning: Cron | None = Field(
        None, description="when one mail says what the night proved of the backups", examples=["0 7 * * *"]
    )

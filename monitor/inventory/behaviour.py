"""What happens by itself: schedules, responses to alarms, and who is told."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from monitor.inventory.values import AlarmName, Cron, Endpoint, Key, Model, Number, Reference, Seconds, Text, Url

Label = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=200)]
Labels = Annotated[dict[Label, Text], Field(min_length=1, max_length=64)]


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
    """What the daemon prepares when an alarm is raised: one of its own, or an alert of Alertmanager's."""

    alarm: AlarmName | None = None
    alert: Labels | None = Field(
        None,
        description="instead of alarm: labels that an alert must have, all of them, as it is sent to /api/alerts",
        examples=[{"alertname": "NctsDown", "site": "main"}],
    )
    system: Key
    playbook: Key
    mode: Literal["notify", "prepare", "automatic"] = Field(
        "prepare",
        description="automatic: begin without an approval when vantage points agree and the playbook is verified",
    )
    grace_s: Annotated[Number, Field(ge=0, le=86400)] = Field(
        30, description="how long the alarm must have stood before anything is prepared or begun"
    )

    @model_validator(mode="after")
    def _of_one_source(self) -> Self:
        if (self.alarm is None) == (self.alert is None):
            raise ValueError("a response is to an 'alarm' or to an 'alert'; name one of the two")
        return self


class Alertmanager(Model):
    """Takes alerts of a Prometheus Alertmanager at ``/api/alerts``, from whoever has the token."""

    credential: Reference = Field(description="the token, at least 16 characters")
    forget_after_s: Seconds = Field(
        6 * 3600, description="an alert that was not told again for so long is over; more than its repeat_interval"
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

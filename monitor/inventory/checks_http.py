"""Checks of pages: what must come back, and the log-in before it."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from monitor.inventory.values import Host, Key, Model, Port, Reference, Text, Url, Whole

FIELD = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
HTTPS = "https://"


class BasicLogin(Model):
    """User and password in a header (RFC 7617)."""

    kind: Literal["basic"]
    user: Annotated[str, Field(min_length=1, max_length=200, pattern="^[^:]+$")]
    credential: Reference = Field(description="the password")


class BearerLogin(Model):
    """A token in a header (RFC 6750)."""

    kind: Literal["bearer"]
    credential: Reference = Field(description="the token")


class FormLogin(Model):
    """The form of a log-in page, filled in as by a person; what the page hides in it goes along."""

    kind: Literal["form"]
    page: Url = Field(description="the page with the form, at the same site as url")
    user: Text
    credential: Reference = Field(description="the password")
    user_field: Text = "username"
    password_field: Text = "password"  # noqa: S105 - the name of a field


Login = Annotated[BasicLogin | BearerLogin | FormLogin, Field(discriminator="kind")]


class JsonField(Model):
    """A field that a JSON answer must have."""

    field: Annotated[str, Field(max_length=500, pattern=FIELD)] = Field(
        description="keys and places in lists, with dots between", examples=["status.database", "nodes.0.role"]
    )
    equals: StrictStr | StrictBool | StrictInt | StrictFloat | None = Field(
        None, description="what it must hold; left out: anything"
    )


class HttpCheck(Model):
    """A page must answer; with ``address`` the connection goes there, the certificate still being ``url``'s host's."""

    probe: Literal["http"]
    site: Key
    url: Url
    address: Host | None = None
    port: Port | None = Field(None, description="on address; that of the URL when left out")
    expect_status: Annotated[Whole, Field(ge=100, le=599)] = 200
    contains: Text | None = Field(None, description="text that must be in the answer")
    json_field: JsonField | None = None
    redirects: Annotated[Whole, Field(ge=0, le=10)] = Field(0, description="how many may be followed")
    login: Login | None = None

    @property
    def door(self) -> tuple[str, int]:
        """The address (or name) and port that it connects to."""
        _, host, port = _site(self.url)
        return self.address or host or "", self.port or port

    @model_validator(mode="after")
    def _log_in_safely(self) -> Self:
        if self.login is None:
            return self
        if not self.url.startswith(HTTPS):
            raise ValueError("a log-in needs https")
        if self.login.kind != "form":
            return self
        if not same_site(self.login.page, self.url):
            raise ValueError("the log-in page must be at the same site as url (https, host and port)")
        if self.contains is None and self.json_field is None:
            raise ValueError(
                "a log-in by a form needs 'contains' or 'json_field': a log-in page that comes again also answers 200"
            )
        return self


def same_site(one: str, other: str) -> bool:
    """Return whether two URLs have scheme, host and port in common."""
    return _site(one) == _site(other)


def _site(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)

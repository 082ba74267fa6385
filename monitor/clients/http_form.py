"""Finds the log-in form in a page, in time that grows with the page and no faster.

The standard library's ``HTMLParser`` begins anew at every ``<`` of a tag that never ends: half a minute of the event
loop for a page of 64 KiB, so that one hostile page would stop the monitor. This reads each character a fixed number
of times; a property test holds both to the same result on ordinary pages.
Source: HTML Living Standard, 13.2.5 (tokenization; a tag that the page's end cuts off is none) and form submission.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING

import httpx2

from monitor.errors import GarbledReply, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST_PAGE = 65_536  # characters
MOST_FIELDS = 100
LONGEST_FIELD = 8192
# Quantifiers that give nothing back (``*+``), so that nothing is read twice.
_NAME = re.compile(r"[a-zA-Z][^ \t\n\f\r/>]*+")
_BETWEEN = re.compile(r"[ \t\n\f\r/]*+")
_ATTRIBUTE = re.compile(r"[^ \t\n\f\r/>][^ \t\n\f\r/>=]*+")
_EQUALS = re.compile(r"[ \t\n\f\r]*+=[ \t\n\f\r]*+")
_BARE = re.compile(r"[^ \t\n\f\r>]*+")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,9}|#[xX][0-9a-fA-F]{1,8}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# What stands in these is text and no tags, until they end.
_TEXT_ENDS = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}


@dataclass(frozen=True, slots=True)
class Form:
    """A form that was found: where it is sent to, and what it holds besides what a person types."""

    action: str
    fields: Mapping[str, str]


def find_form(page: str, at: str, names: tuple[str, str]) -> Form:
    """Return the first form of ``page`` (found at the URL ``at``) that has fields of these names.

    Raises Refused, also for a page that is too large for a log-in, and GarbledReply for an action that is no URL.
    """
    if len(page) > LARGEST_PAGE:
        raise Refused(f"the log-in page is larger than {LARGEST_PAGE // 1024} KiB")
    for attributes, fields in _forms(page):
        if all(name in fields for name in names):
            if attributes.get("method", "get").lower() != "post":
                raise Refused("the log-in form would put the password into a URL (its method is not post)")
            try:
                action = str(httpx2.URL(at).join(attributes.get("action") or at))
            except (httpx2.InvalidURL, ValueError) as error:
                raise GarbledReply("the log-in form is sent to what is not a URL") from error
            return Form(action, {name: value for name, value in fields.items() if value is not None})
    shown = " and ".join(f"'{name}'" for name in names)
    raise Refused(f"the log-in page has no form with the fields {shown}")


def _forms(page: str) -> list[tuple[dict[str, str], dict[str, str | None]]]:
    """Return every form's attributes and inputs; what a browser would not send by itself has None for a value."""
    forms: list[tuple[dict[str, str], dict[str, str | None]]] = []
    inside = False
    for tag, found in tags(page):
        if tag == "/form":
            inside = False
        elif tag == "form" and len(forms) < MOST_FIELDS:
            forms.append((found, {}))
            inside = True
        elif tag == "input" and inside and found.get("name"):
            fields = forms[-1][1]
            kind = found.get("type", "text").lower()
            sends = kind == "hidden" or (kind in ("checkbox", "radio") and "checked" in found)
            if len(fields) < MOST_FIELDS and len(found.get("value", "")) <= LONGEST_FIELD:
                fields.setdefault(found["name"], found.get("value", "") if sends else None)
    return forms


def tags(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every tag's name in lower case (``/form`` for an end) with its attributes, the first of each name."""
    at = 0
    while (at := page.find("<", at)) >= 0:
        closes = page.startswith("/", at + 1)
        name = _NAME.match(page, at + 1 + closes)
        if name is None:
            at = _past_other(page, at)
            continue
        tag = name.group().lower()
        attributes, at = _attributes(page, name.end())
        if at < 0:
            return
        yield f"/{tag}" if closes else tag, attributes
        if not closes and tag in _TEXT_ENDS:
            end = _TEXT_ENDS[tag].search(page, at)
            if end is None:
                return
            at = end.start()


def _past_other(page: str, at: int) -> int:
    """Return where what begins with the ``<`` at ``at`` and is no tag ends: a comment, a declaration, or text."""
    if page.startswith("<!--", at):
        end = page.find("-->", at + 2)  # "<!-->" is a whole comment
        return len(page) if end < 0 else end + 3
    if page[at + 1 : at + 2] in ("!", "?", "/"):
        end = page.find(">", at + 2)
        return len(page) if end < 0 else end + 1
    return at + 1


def _attributes(page: str, at: int) -> tuple[dict[str, str], int]:
    """Return a tag's attributes and where it ends; -1 when the page ends before it."""
    found: dict[str, str] = {}
    while True:
        at = _end(_BETWEEN, page, at)
        if page.startswith(">", at):
            return found, at + 1
        name = _ATTRIBUTE.match(page, at)
        if name is None:
            return found, -1
        at, value = name.end(), ""
        equals = _EQUALS.match(page, at)
        if equals is not None:
            at = equals.end()
            quote = page[at : at + 1]
            if quote in ('"', "'") and quote:
                end = page.find(quote, at + 1)
                if end < 0:
                    return found, -1
                value, at = page[at + 1 : end], end + 1
            else:
                end = _end(_BARE, page, at)
                value, at = page[at:end], end
        found.setdefault(name.group().lower(), _REFERENCE.sub(lambda one: unescape(one.group()), value))


def _end(pattern: re.Pattern[str], page: str, at: int) -> int:
    found = pattern.match(page, at)
    return at if found is None else found.end()

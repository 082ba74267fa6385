"""Secrets by reference: the inventory names a secret, this file fetches it, and it never prints itself.

A reference is a bare file name below the credentials directory. systemd sets ``$CREDENTIALS_DIRECTORY``
(systemd.exec(5), LoadCredential=); elsewhere the daemon is given ``--credentials DIR``.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from monitor.errors import CredentialError

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TELLING = 8  # characters: a shorter line of a secret of several lines tells nothing, and may be any word
URL_SAFE = str.maketrans("+/", "-_")
FRAME = "-----"  # of PEM: no secret, and certificates have it, too


class Secret:
    """A secret's text. ``reveal()`` is the one way to it; repr, str and format show ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap ``text``."""
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        """Hide the text."""
        return "Secret('***')"

    def __str__(self) -> str:
        """Hide the text."""
        return "***"

    def __format__(self, spec: str) -> str:
        """Hide the text."""
        return format("***", spec)


class Credentials:
    """The credentials directory; remembers what it handed out so that output can be redacted."""

    def __init__(self, directory: Path | None) -> None:
        """Read from ``directory``; None means that no secret can be had."""
        self.directory = directory
        self._seen: set[str] = set()
        self._forms: tuple[str, ...] = ()  # longest first

    def path(self, reference: str) -> Path:
        """Return the file of ``reference``, which exists and is a plain file below the directory.

        Raises CredentialError otherwise.
        """
        if not REFERENCE.fullmatch(reference):
            msg = f"credential reference '{reference}' is not a plain file name"
            raise CredentialError(msg)
        if self.directory is None:
            msg = (
                f"credential '{reference}' cannot be read: no credentials directory; "
                "set $CREDENTIALS_DIRECTORY or give --credentials DIR"
            )
            raise CredentialError(msg)
        path = self.directory / reference
        if not path.is_file():
            msg = f"credential '{reference}' is not in {self.directory}"
            raise CredentialError(msg)
        return path

    def secret(self, reference: str) -> Secret:
        """Return the text of ``reference`` without its trailing newline. Raises CredentialError."""
        path = self.path(reference)
        try:
            with path.open("rb", buffering=0) as file:
                text = file.read().decode("utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"credential '{reference}' cannot be read: {type(error).__name__}"
            raise CredentialError(msg) from error
        self._remember(text)
        return Secret(text)

    def redact(self, text: str) -> str:
        """Return ``text`` with every secret handed out so far replaced by ``***``, in each form that is known of it.

        A secret that was renewed since is still one: what was begun with it may go on.
        """
        for form in self._forms:
            text = text.replace(form, "***")
        return text

    def _remember(self, text: str) -> None:
        if text in self._seen:
            return
        self._seen.add(text)
        self._forms = tuple(sorted({form for secret in self._seen for form in _forms(secret)}, key=len, reverse=True))


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may stand in a text: plain, inside JSON, inside a URL, and line by line as output comes."""
    lines = [line.strip() for line in secret.splitlines()]
    for form in {secret, *(line for line in lines if len(line) >= TELLING and not line.startswith(FRAME))}:
        if form:
            yield from (
                form,
                _quoted(form),
                _quoted(form, ascii_=True),
                quote(form, safe=""),
                quote(form),  # in a path
                quote_plus(form),
                *_in_base64(form.encode()),
            )


def _in_base64(secret: bytes) -> Iterator[str]:
    """Yield how ``secret`` stands inside base64, as in a header of basic authentication, whatever stands before it.

    Of the characters at both ends, which hold bits of what is beside it, nothing can be said.
    """
    for before in range(3):
        coded = base64.b64encode(bytes(before) + secret).rstrip(b"=").decode()
        inside = coded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        if len(inside) >= TELLING:
            yield inside
            yield inside.translate(URL_SAFE)


def _quoted(text: str, *, ascii_: bool = False) -> str:
    """Return ``text`` as it stands inside a JSON string: programs print their arguments so."""
    return json.dumps(text, ensure_ascii=ascii_)[1:-1]

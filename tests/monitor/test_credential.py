"""Secrets do not show: not by themselves, and not in what programs print that were given them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.credential import Credentials
from monitor.errors import CredentialError

KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hgSx0\nq7dCk3J5vQ==\n-----END PRIVATE KEY-----"


def holding(folder: Path, **secrets: str) -> Credentials:
    """Return credentials that have handed out ``secrets``."""
    made = Credentials(folder)
    for name, text in secrets.items():
        (folder / name).write_text(text + "\n", encoding="utf-8", newline="")
        assert made.secret(name).reveal() == text
    return made


def test_a_secret_never_prints_itself(tmp_path: Path) -> None:
    holding(tmp_path, one="hunter2")
    secret = Credentials(tmp_path).secret("one")
    assert not [said for said in (repr(secret), str(secret), f"{secret:>20}") if "hunter2" in said]


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=4, max_size=40),
    around=st.text(max_size=10),
)
def test_no_form_of_a_secret_is_left(tmp_path_factory: pytest.TempPathFactory, secret: str, around: str) -> None:
    made = holding(tmp_path_factory.mktemp("secrets"), one=secret)
    for form in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote(secret), quote_plus(secret)):
        said = made.redact(f"{around}={form};{around}")
        assert "***" in said
        assert form not in said or form in around or form in "***"


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=8, max_size=40),
    user=st.binary(max_size=12),
    more=st.binary(max_size=5),
    code=st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
)
def test_a_secret_is_known_inside_base64(
    tmp_path_factory: pytest.TempPathFactory, secret: str, user: bytes, more: bytes, code: Callable[[bytes], bytes]
) -> None:
    """A header of basic authentication, which a program may print: whatever name stands before it."""
    made = holding(tmp_path_factory.mktemp("secrets"), one=secret)
    coded = code(user + secret.encode() + more).decode()
    said = made.redact(f"Authorization: Basic {coded}")
    assert "***" in said
    left = sum(len(part) for part in said.removeprefix("Authorization: Basic ").split("***"))
    assert left <= len(coded) - (len(secret.encode()) * 8 // 6 - 1)


def test_a_secret_of_several_lines_is_known_by_each_line(tmp_path: Path) -> None:
    """Output comes line by line."""
    made = holding(tmp_path, key=KEY)
    said = [made.redact(line) for line in f"cat key\n{KEY}\ndone".splitlines()]
    assert said == ["cat key", "-----BEGIN PRIVATE KEY-----", "***", "***", "-----END PRIVATE KEY-----", "done"]
    assert made.redact(json.dumps({"key": KEY})) == '{"key": "***"}'


def test_a_secret_that_was_renewed_is_still_one(tmp_path: Path) -> None:
    made = holding(tmp_path, one="the-old-one")
    (tmp_path / "one").write_text("the-new-one\n")
    assert made.secret("one").reveal() == "the-new-one"
    assert made.redact("not the-old-one but the-new-one") == "not *** but ***"


def test_what_no_secret_was_asked_of_stays_as_it_is(tmp_path: Path) -> None:
    assert holding(tmp_path).redact("as it is") == "as it is"
    assert holding(tmp_path, empty="").redact("as it is") == "as it is"


@pytest.mark.parametrize("reference", ["../one", "/etc/passwd", "", "a/b", ".hidden", "one\n"])
def test_a_reference_leads_nowhere_else(tmp_path: Path, reference: str) -> None:
    holding(tmp_path, one="hunter2")
    with pytest.raises(CredentialError, match="is not a plain file name"):
        Credentials(tmp_path).secret(reference)


def test_what_cannot_be_read_is_named_without_its_text(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"hunter2 \xff")
    with pytest.raises(CredentialError, match="credential 'one' cannot be read: UnicodeDecodeError") as told:
        Credentials(tmp_path).secret("one")
    assert "hunter2" not in str(told.value)
    with pytest.raises(CredentialError, match="no credentials directory"):
        Credentials(None).secret("one")

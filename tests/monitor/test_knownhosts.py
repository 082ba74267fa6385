"""Which host keys a known_hosts file trusts, and which files trust nobody."""

from __future__ import annotations

import base64
import contextlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import Untrusted
from monitor.knownhosts import distrust, fingerprint, host_name, known_keys


def key(kind: str = "ssh-ed25519", body: bytes = b"k") -> str:
    wire = len(kind).to_bytes(4, "big") + kind.encode() + body
    return f"{kind} {base64.b64encode(wire).decode()}"


def hashed(name: str) -> str:
    salt = b"0123456789abcdef0123"
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def test_names_ports_lists_hashes_and_comments(file: Path) -> None:
    lines = [
        "# a comment",
        "",
        f"a.example,192.0.2.1 {key(body=b'1')} root@a",
        f"[192.0.2.1]:2222\t{key(body=b'2')}",
        f"{hashed('[192.0.2.1]:2222')} {key('ssh-rsa', b'3')}",
        f"192.0.2.1 {key(body=b'4')}",
        f"192.0.2.* {key(body=b'5')}",
    ]
    file.write_text("\n".join(lines))
    assert [found.blob[-1:] for found in known_keys(file, host_name("192.0.2.1", 22))] == [b"1", b"4"]
    assert [found.blob[-1:] for found in known_keys(file, host_name("192.0.2.1", 2222))] == [b"2", b"3"]
    assert known_keys(file, "192.0.2.2") == ()


@pytest.mark.parametrize(
    "line",
    [
        f"@revoked 192.0.2.1 {key()}",
        f"@cert-authority * {key()}",
        "192.0.2.1 ssh-ed25519",
        "192.0.2.1 ssh-ed25519 not*base64",
        f"192.0.2.1 ssh-rsa {key().split()[1]}",
        f"192.0.2.1 {base64.b64encode(b'short').decode()} AAAA",
    ],
)
def test_a_line_that_is_not_understood_trusts_nobody(file: Path, line: str) -> None:
    file.write_text(f"192.0.2.1 {key()}\n{line}\n")
    with pytest.raises(Untrusted, match="known_hosts:2: not a plain known_hosts line"):
        known_keys(file, "192.0.2.1")


def test_no_file_trusts_nobody(file: Path) -> None:
    with pytest.raises(Untrusted, match="cannot be read: FileNotFoundError"):
        known_keys(file, "192.0.2.1")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Untrusted, match="UnicodeDecodeError"):
        known_keys(file, "192.0.2.1")


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(tmp_path_factory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any_known_hosts"
    file.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(Untrusted):
        assert known_keys(file, "192.0.2.1") == ()


@pytest.mark.parametrize("pattern", ["|1|", "|1|a|b|c", "|1|AAAA", "|1|!|!", "|2|AAAA|AAAA"])
def test_a_broken_hash_matches_nothing(file: Path, pattern: str) -> None:
    file.write_text(f"{pattern} {key()}\n")
    assert known_keys(file, "192.0.2.1") == ()


def test_why_a_key_is_not_trusted(file: Path) -> None:
    file.write_text(f"192.0.2.1 {key(body=b'1')}\n192.0.2.1 {key(body=b'2')}\n")
    known = known_keys(file, "192.0.2.1")
    assert distrust("192.0.2.1", known, known[1].blob) == ""
    changed = distrust("192.0.2.1", known, b"other")
    assert all(one.fingerprint in changed for one in known)
    assert fingerprint(b"other") in changed
    assert distrust("192.0.2.9", (), b"other").startswith("192.0.2.9: no host key is known")

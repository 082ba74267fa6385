"""The version. A clone that `./do` set up has no metadata to ask, so it stands here too; a test compares both."""

from __future__ import annotations

VERSION = "0.1.0"

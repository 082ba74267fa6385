"""What pgBackRest says is read as it is meant, and the WAL between two segments is counted without a gap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import StepFailed
from dr.estate.database import Manifest
from dr.estate.method import Record, unpacked
from dr.estate.pgbackrest import damage, segments
from dr.estate.shell import below

LABEL = "20261126-143257F"
SOUND = """\
2026-11-26 14:33:31.238 P00   INFO: verify command begin 2.45: --config=/tmp/conf --exec-id=18597-2f3057ec
2026-11-26 14:33:31.653 P00   INFO: verify command end: completed successfully (418ms)
"""
FLIPPED = """\
2026-11-26 14:33:31.984 P01   INFO: invalid checksum '20261126-143257F/pg_data/base/5/2838.lz4'
2026-11-26 14:33:32.103 P00   INFO: stanza: main
                                    status: error
                                      backup: 20261126-143257F, status: invalid, total files checked: 970
                                        checksum invalid: 1
2026-11-26 14:33:32.103 P00   INFO: verify command end: completed successfully (401ms)
"""


def test_what_verify_finds_is_damage_although_it_ends_well() -> None:
    assert damage(SOUND, {LABEL}) == []
    assert damage(FLIPPED, {LABEL})[0] == f"invalid checksum '{LABEL}/pg_data/base/5/2838.lz4'"
    assert damage("2026-11-26 14:33:31.984 P01   ERROR: [041]: unable to open file", {LABEL})
    archive = (
        "2026-11-26 14:33:31.984 P01   INFO: invalid checksum '15-1/0000000100000000/000000010000000000000002-ab.lz4'"
    )
    assert damage(archive, {LABEL})


def test_a_damaged_older_backup_does_not_spoil_the_proof_of_a_newer_one() -> None:
    assert damage(FLIPPED, {"20261127-143257F"}) == []
    assert damage(FLIPPED, {"20261127-143257F_20261127-150000I", LABEL})  # one that is built on it


@given(st.sampled_from([1 << 20, 1 << 24, 1 << 30]), st.integers(0, 4000), st.integers(0, 600))
def test_segments_follow_one_another_without_a_gap(size: int, begin: int, count: int) -> None:
    per_file = (1 << 32) // size

    def name(number: int) -> str:
        return f"00000001{number // per_file:08X}{number % per_file:08X}"

    assert list(segments(name(begin), name(begin + count), size)) == [name(begin + one) for one in range(count + 1)]


def test_segments_of_two_timelines_or_of_none_are_refused() -> None:
    with pytest.raises(StepFailed, match="two timelines"):
        list(segments("000000010000000000000002", "000000020000000000000003", 1 << 24))
    with pytest.raises(StepFailed, match="does not say"):
        list(segments("", "000000020000000000000003", 1 << 24))


@given(st.text(max_size=60), st.integers(0, 2**62))
def test_a_record_survives_as_one_plain_word(newest_id: str, count: int) -> None:
    clean = newest_id.encode("utf-8", "replace").decode()
    record = Record(
        backup="b", system="ncts", records=count, position=count, newest_id=clean, sha256="a" * 64, bytes=count,
        taken_at=1.0, target="karaula_1",
    )  # fmt: skip
    word = record.packed()
    assert word.isascii()
    assert not set(word) & set(", '\"\n")
    assert unpacked(word) == record
    assert isinstance(record, Manifest)


@pytest.mark.parametrize("word", ["", "x", "e30=", "bm90IGpzb24="])
def test_a_record_that_cannot_be_read_is_said(word: str) -> None:
    with pytest.raises(StepFailed, match="cannot be read"):
        unpacked(word)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\0b"])
def test_a_name_never_leads_out_of_its_folder(name: str) -> None:
    with pytest.raises(StepFailed):
        below("/srv/scratch", name)

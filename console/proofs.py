"""The record of proofs in the state folder: `karaula prove` writes it, the daemon reads it; a file replaced whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from console.version import VERSION
from dr.proof import Proof
from monitor.errors import StateError

log = logging.getLogger(__name__)
NAME = "proofs.json"
SCHEMA = 1
KEPT = 5000
LARGEST_BYTES = 16 * 2**20


def read(path: Path) -> dict[str, Proof]:
    """Return the proofs by fingerprint. Raises StateError for what no Karaula has written."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise StateError(f"{path} is too large for a record of proofs; remove it and prove again")
        body = json.loads(path.read_bytes())
        proofs = [Proof(**entry) for entry in body["proofs"]]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StateError(f"{path} is not a record of proofs; remove it and prove again") from error
    if not all(_sound(proof) for proof in proofs):
        raise StateError(f"{path} is not a record of proofs; remove it and prove again")
    return {proof.fingerprint: proof for proof in proofs}


def record(folder: Path, proven: Iterable[Proof], refuted: Iterable[str]) -> Path:
    """Add what was proven, and take out what was refuted (fingerprints). Raises StateError."""
    path = folder / NAME
    proofs = read(path)
    for fingerprint in refuted:
        proofs.pop(fingerprint, None)
    proofs |= {proof.fingerprint: proof for proof in proven}
    newest = sorted(proofs.values(), key=lambda proof: proof.at)[-KEPT:]
    text = json.dumps({"schema": SCHEMA, "proofs": [asdict(proof) for proof in newest]}, indent=1)
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
    return path


class Proofs:
    """The proofs that count for this version, read anew whenever the file has changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._stamp: tuple[int, int] | None = None
        self._proofs: dict[str, Proof] = {}
        self.error = ""

    def find(self, fingerprint: str) -> Proof | None:
        """Return the proof of that fingerprint; None when there is none, or none can be read (see ``error``)."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
        except OSError:
            stamp = None
        if stamp != self._stamp or stamp is None:
            self._stamp = stamp
            try:
                self._proofs, self.error = read(self._path), ""
            except StateError as error:
                self._proofs, self.error = {}, str(error)
                log.error("no proof counts: %s", error)  # noqa: TRY400 - foreseen
        proof = self._proofs.get(fingerprint)
        return proof if proof is not None and proof.version == VERSION else None


def _sound(proof: Proof) -> bool:
    texts = (proof.fingerprint, proof.playbook, proof.system, proof.version)
    numbers = (proof.faults, proof.moments)
    whole = all(type(number) is int for number in numbers) and type(proof.at) in {int, float}
    return whole and all(isinstance(text, str) for text in texts)

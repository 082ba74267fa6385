"""An observer at another place in the fault matrix: the real ``karaula vantage``, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from matrix_kit import NotApplicable, Said
from tls_kit import ThrowawayCa

from monitor.probes.observer import ObserverParams
from stands.links import OneProcess

GOOD = Path(__file__).parents[2] / "bad_files" / "good.yaml"
REPOSITORY = GOOD.parents[2]
POINT = "vantage:\n  points:\n    witness: {{ kind: observer, url: 'https://{address}:{port}', credential: good }}\n"


class Witness(OneProcess):
    source = "observer"
    probe_name = "observer"
    transport = "tcp"
    address = "127.94.0.40"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("did not answer in time|did not accept a connection in time"),
        "hung": Said("in time"),
        "garbage": Said("cannot be reached|broke|not HTTP|not trusted"),
        "half-open": Said("in time"),
        "wrong credentials": Said("does not take the token 'bad'"),
        "restarted": Said("cannot be reached|broke"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        certificate, key = ThrowawayCa(folder).server(self.address)
        (folder / "witness.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        (folder / "good").write_text("a token that is long enough")
        (folder / "bad").write_text("another one, as long as that")
        point = POINT.format(address=self.address, port=self.port)
        (folder / "inventory.yaml").write_text(GOOD.read_text() + point)

    async def start(self) -> None:
        places = ("--inventory", self.folder / "inventory.yaml", "--credentials", self.folder)
        await self.launch(
            *("/usr/bin/env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "console.main", "vantage", "witness"),
            *(*places, "--certificate", self.folder / "witness.pem"),
        )

    def params(self, port: int) -> ObserverParams:
        return self._params(port, "good")

    def wrong_params(self, port: int) -> ObserverParams:
        return self._params(port, "bad")

    def _params(self, port: int, credential: str) -> ObserverParams:
        sides = frozenset({("ncts", "main"), ("ncts", "dr")})
        return ObserverParams(f"https://{self.address}:{port}", credential, sides)

"""Debian's BIND 9, one of its own for each test: a primary zone that takes signed updates of A records."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

NAMED = """
options {{
  directory "{folder}"; pid-file "{folder}/named.pid"; session-keyfile "{folder}/session.key";
  listen-on port {port} {{ {host}; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; allow-transfer {{ none; }}; managed-keys-directory "{folder}";
}};
controls {{ }};
key "karaula" {{ algorithm hmac-sha256; secret "{key}"; }};
zone "customs.example" {{ type primary; file "{folder}/zone"; update-policy {{ grant karaula zonesub A; }}; }};
zone "lost.example" {{ type secondary; file "{folder}/lost"; primaries {{ {host} port 1; }}; }};
"""


class Bind:
    """One named; ``start`` returns when it serves."""

    def __init__(self, binary, folder, port):
        self.binary, self.folder, self.port, self.process = binary, folder, port, None

    def start(self):
        self.process = subprocess.Popen(
            [self.binary, "-g", "-4", "-n", "1", "-c", self.folder / "named.conf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if line.rstrip().endswith("running"):
                self.reader = threading.Thread(target=self.process.stderr.read, daemon=True)  # or a full pipe stops it
                self.reader.start()
                return
        pytest.fail("named did not start:\n" + "".join(lines))

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()

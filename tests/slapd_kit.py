"""Debian's slapd with a small directory, over ldaps and StartTLS, in a folder of its own."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from real_kit import free_port, need, tell
from tls_kit import ThrowawayCa

ADDRESS = "127.94.0.89"
LONG_S = 60.0
SUFFIX = "dc=customs,dc=example"
ADMIN, PASSWORD = f"cn=admin,{SUFFIX}", "throwaway"
ENTRIES = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: Customs
dc: customs

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

""" + "\n".join(
    f"dn: uid={uid},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {cn}\nsn: {cn}\n"
    "userPassword: person\n"
    for uid, cn in (("ana", "Ana"), ("boris", "Boris (night)"), ("vesna", "Vesna*"))
)


class Slapd:
    """One server: ``port`` for ldap with StartTLS, ``tls_port`` for ldaps.

    ``schema`` goes before its database, ``database`` into it; without ``entries`` it begins empty.
    """

    def __init__(
        self,
        ca: ThrowawayCa,
        address: str = ADDRESS,
        tls_port: int | None = None,
        *,
        port: int | None = None,
        schema: str = "",
        database: str = "",
        entries: str = ENTRIES,
    ) -> None:
        self.binary = need("slapd", "slapd")
        self.address = address
        self.folder = Path(tempfile.mkdtemp(prefix="karaula-slapd-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.port, self.tls_port = port or free_port(address), tls_port or free_port(address)
        self.process: subprocess.Popen[bytes] | None = None
        certificate, key = ca.server(address, "ldap.customs.example")
        (self.folder / "db").mkdir()
        (self.folder / "slapd.conf").write_text(
            f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
{schema}pidfile {self.folder}/pid
TLSCACertificateFile {ca.bundle}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
security simple_bind=64
database mdb
suffix "{SUFFIX}"
rootdn "{ADMIN}"
rootpw {PASSWORD}
directory {self.folder}/db
dbnosync
access to attrs=userPassword by anonymous auth
access to dn.base="" by * read
access to * by users read by anonymous auth
{database}"""
        )
        if not entries:
            return
        (self.folder / "entries.ldif").write_text(entries)
        load = ["slapadd", "-f", self.folder / "slapd.conf", "-l", self.folder / "entries.ldif"]
        subprocess.run([need("slapadd", "slapd"), *load[1:]], check=True, capture_output=True)

    def start(self) -> None:
        listen = f"ldap://{self.address}:{self.port} ldaps://{self.address}:{self.tls_port}"
        with (self.folder / "log").open("ab") as log:
            command = [self.binary, "-f", self.folder / "slapd.conf", "-h", listen, "-d", "0"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        search = [
            need("ldapsearch", "ldap-utils"),
            "-x",
            "-H",
            f"ldap://{self.address}:{self.port}",
            "-s",
            "base",
            "-b",
            "",
        ]
        give_up = time.monotonic() + LONG_S
        while subprocess.run(search, check=False, capture_output=True).returncode == 255:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        assert self.process is not None
        tell(number, self.process.pid)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

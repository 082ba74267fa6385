"""Throwaway identities: a certificate authority, server certificates, SSH keys, passwords, the TSIG key.

What clients need is written to ``STATE/credentials`` under the names that the inventory uses; what servers need is kept
in ``STATE/identity``. Both outlive a restart of the lab, so that a running daemon keeps its trust. All files have mode
0600.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import os
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.plan import Plan

DAYS = dt.timedelta(days=1)


class Identity:
    """The estate's identities below ``state``; creates what is missing. Raises OSError."""

    def __init__(self, plan: Plan, state: Path) -> None:
        """Create or read everything that ``plan`` names."""
        self.credentials = state / "credentials"
        self._own = state / "identity"
        for directory in (self.credentials, self._own):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._contexts: dict[str, ssl.SSLContext] = {}
        # A front's certificate is also good for the name that clients come by.
        self._names = {one.front_address: plan.systems[one.system].fqdn for one in plan.deployments}
        self._ca_key = _ec_key(_kept(self._own / "ca.key", _new_ec_key))
        self._ca = x509.load_pem_x509_certificate(_kept(self._own / "ca.pem", lambda: _authority(self._ca_key)))
        _write(self.credentials / plan.tls_ca, self._ca.public_bytes(Encoding.PEM))
        self._host_keys = {key: _kept(self._own / f"host-{key}", _new_ssh_key) for key in plan.hosts}
        self._other_host_keys = {key: _kept(self._own / f"other-host-{key}", _new_ssh_key) for key in plan.hosts}
        known = [f"[{one.address}]:{one.port} {_public(self._host_keys[key])}" for key, one in plan.hosts.items()]
        _write(self.credentials / plan.known_hosts, ("\n".join(known) + "\n").encode())
        references = sorted({one.credential for one in plan.hosts.values()})
        users = {reference: _kept(self.credentials / reference, _new_ssh_key) for reference in references}
        self._authorized = {key: _public(users[one.credential]) for key, one in plan.hosts.items()}
        self._secrets: dict[str, str] = {}
        if plan.signing_key:
            self._secret(plan.signing_key, _new_signing_key)
        passwords = [one.credential for one in plan.vcenters.values()]
        passwords += [one.credential for one in plan.power_controllers.values()]
        for credential in (*passwords, *plan.portal_users.values(), *plan.tokens):
            self._secret(credential, _password)
        for server in plan.dns_servers.values():
            self._secret(server.tsig_credential, lambda: base64.b64encode(secrets.token_bytes(32)))
        for sensor in plan.sensors.values():
            for reference in ("community", "credential"):
                if reference in sensor.source:
                    self._secret(sensor.source[reference], _password)
        for router in plan.routers.values():
            self._secret(router.community, _password)

    def secret(self, reference: str) -> str:
        """Return a password, SNMP community or TSIG key (base64) by its reference. Raises KeyError."""
        return self._secrets[reference]

    def host_key(self, host: str) -> bytes:
        """Return the SSH host's private key (OpenSSH PEM), whose public half stands in known_hosts."""
        return self._host_keys[host]

    def other_host_key(self, host: str) -> bytes:
        """Return the key that the host has while the fault ``change-host-key`` is in force."""
        return self._other_host_keys[host]

    def authorized_key(self, host: str) -> str:
        """Return the one public key (``ssh-ed25519 AAAA…``) that may log in to ``host``."""
        return self._authorized[host]

    def tls(self, address: str) -> ssl.SSLContext:
        """Return the server side TLS context for ``address`` (an IP address): TLS 1.2 or later."""
        if address not in self._contexts:
            key = ec.generate_private_key(ec.SECP256R1())
            path = self._own / f"server-{address}.pem"
            _write(path, _key_pem(key) + _certificate(self._ca, self._ca_key, key, address, self._names.get(address)))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(path)
            self._contexts[address] = context
        return self._contexts[address]

    def client_tls(self) -> ssl.SSLContext:
        """Return a client side TLS context that trusts the lab's CA alone."""
        return ssl.create_default_context(cadata=self._ca.public_bytes(Encoding.PEM).decode())

    def _secret(self, reference: str, make: Callable[[], bytes]) -> None:
        self._secrets[reference] = _kept(self.credentials / reference, make).decode().strip()


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return what ``path`` holds, after writing what ``make`` gives when there is no such file."""
    if not path.exists():
        _write(path, make())
    return path.read_bytes()


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    part.replace(path)


def _password() -> bytes:
    return secrets.token_urlsafe(18).encode()


def _new_ec_key() -> bytes:
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def _ec_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the lab's CA key is not an elliptic curve key; remove the lab's state directory")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_ssh_key() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _new_signing_key() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public(private: bytes) -> str:
    return (
        load_ssh_private_key(private, None).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _authority(key: ec.EllipticCurvePrivateKey) -> bytes:
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name("Lab throwaway CA"))
        .issuer_name(_name("Lab throwaway CA"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAYS)
        .not_valid_after(now + 365 * DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


def _certificate(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    address: str,
    name: str | None,
) -> bytes:
    now = dt.datetime.now(dt.UTC)
    alternatives: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address))]
    if name is not None:
        alternatives.append(x509.DNSName(name))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(address))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAYS)
        .not_valid_after(now + 365 * DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )

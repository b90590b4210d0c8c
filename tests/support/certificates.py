"""Certificates made while the tests run, in files as a configuration names them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from tunnel.domain.configuration import ClientTlsSettings, ListenerTlsSettings

__all__ = ["Authority", "PrivateKey", "self_signed"]

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)

DAY = timedelta(days=1)


class Authority:
    """A certificate authority that writes what it issues into a directory.

    Args:
        directory: Where.
        name: Begins the names of its files.
    """

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self.file = str(directory / f"{name}.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(
        self, name: str, *hosts: str, common_name: str | None = None, from_day: int = -1, to_day: int = 1
    ) -> tuple[str, str]:
        """Files of a certificate for ``hosts`` and of its key; written over when there are some of this name."""
        now = datetime.now(UTC)
        pair = self._ca.issue_cert(
            *hosts, common_name=common_name, not_before=now + from_day * DAY, not_after=now + to_day * DAY
        )
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(b"".join(each.bytes() for each in pair.cert_chain_pems))
        pair.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)

    def listener(
        self, name: str = "server", *hosts: str, client_ca: str | None = None, from_day: int = -1, to_day: int = 1
    ) -> ListenerTlsSettings:
        """Settings of a listener with a certificate for ``hosts``; loopback when none is given."""
        hosts = hosts or ("127.0.0.1", "::1", "localhost")
        certificate, key = self.issue(name, *hosts, from_day=from_day, to_day=to_day)
        return ListenerTlsSettings(certificate=certificate, key=key, client_ca=client_ca)

    def client(self, name: str | None = None, *, ca: str | None = None) -> ClientTlsSettings:
        """Settings of a client that trusts this authority, or ``ca``; with a certificate of its own when named."""
        if name is None:
            return ClientTlsSettings(ca=ca or self.file)
        certificate, key = self.issue(name, f"{name}.test", common_name=name)
        return ClientTlsSettings(ca=ca or self.file, certificate=certificate, key=key)


def self_signed(key: PrivateKey) -> x509.Certificate:
    """A certificate of ``localhost`` with this key, whatever its kind."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    hashed = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashed)
    )

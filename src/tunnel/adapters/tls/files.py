"""Reads the files that TLS needs, and says which of them is wrong and why. Nothing of a key is ever in an error."""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from tunnel.domain.certificate import Certificate, parse_certificate
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.domain.tls_material import TlsMaterial

__all__ = ["add_authorities", "leaf_of", "load_pair", "read_at_rest"]

_MAX_BYTES: Final = 4 * 1024 * 1024
"""The certificates of a whole system take a quarter of a mebibyte."""

_ATTEMPTS: Final = 3

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type:.*ENCRYPTED", re.MULTILINE)

T = TypeVar("T")


def read_at_rest(
    files: Mapping[str, tuple[str, str | None]], where: str, use: Callable[[TlsMaterial], T]
) -> tuple[TlsMaterial, T]:
    """Read files and use them, so that both saw the same.

    A certificate and its key are replaced one after the other, and OpenSSL reads them from the files again. So they are
    read before and after, until nothing has changed in between.

    Args:
        files: Keys and names by field of ``TlsMaterial``.
        where: Key path of the table that names them.
        use: Called with their contents.

    Raises:
        ConfigurationError: Some cannot be read, ``use`` raises it, or they keep changing.
    """
    error: ConfigurationError | None = None
    for _ in range(_ATTEMPTS):
        before = _read(files, where)
        try:
            used = use(before)
            error = None
        except ConfigurationError as exc:
            error = exc
        if _read(files, where) != before:
            continue
        if error is not None:
            raise error
        return before, used
    raise ConfigurationError("expected files that are at rest; these change while they are read", key_path=where)


def _read(files: Mapping[str, tuple[str, str | None]], where: str) -> TlsMaterial:
    found = Findings()
    contents: dict[str, bytes] = {}
    for field, (key, name) in files.items():
        with found:
            if name is not None:
                contents[field] = _contents(name, f"{where}.{key}")
    found.tell()
    return TlsMaterial(**contents)


def _contents(name: str, key_path: str) -> bytes:
    try:
        with open(name, "rb", opener=_opened) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                # It is read more than once, which pipes and devices do not bear, or bear without end.
                raise ConfigurationError(f"expected {name} to be a regular file", key_path=key_path)
            contents = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not the name of a file"
        raise ConfigurationError(f"{name} cannot be read: {reason}", key_path=key_path) from error
    if len(contents) > _MAX_BYTES:
        raise ConfigurationError(f"expected {name} to hold PEM only; it is too large", key_path=key_path)
    return contents


def _opened(name: str, flags: int) -> int:
    # A pipe that nobody writes to is not waited for.
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def load_pair(context: ssl.SSLContext, material: TlsMaterial, *, certificate: str, key: str, where: str) -> None:
    """Have ``context`` prove itself with a certificate and its key.

    Args:
        context: Fresh: after an error it is half loaded.
        material: What the two files held.
        certificate: File with the certificate.
        key: File with the key.
        where: Key path of the table that names them.

    Raises:
        ConfigurationError: They are no PEM, encrypted, or not of each other.
    """
    leaf_of(material.certificate, certificate, f"{where}.certificate")
    if not _KEY.search(material.key):
        raise ConfigurationError(f"expected {key} to hold a private key in PEM", key_path=f"{where}.key")
    if _ENCRYPTED.search(material.key):
        raise ConfigurationError(f"expected the key in {key} not to be encrypted", key_path=f"{where}.key")
    try:
        # With a passphrase given, however wrong, OpenSSL does not ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            expected = f"expected the key of the certificate in {certificate}; that in {key} is another's"
            raise ConfigurationError(expected, key_path=f"{where}.key") from error
        expected = f"expected a certificate chain in {certificate} and its private key in {key}"
        raise ConfigurationError(f"{expected}: {_reason(error)}", key_path=where) from error


def leaf_of(pem: bytes, name: str, key_path: str) -> Certificate:
    """The first certificate of a file.

    Raises:
        ConfigurationError: There is none.
    """
    found = _CERTIFICATE.search(pem)
    try:
        if found is not None:
            return parse_certificate(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")))
    except ValueError as error:
        raise ConfigurationError(f"expected {name} to hold a certificate in PEM", key_path=key_path) from error
    raise ConfigurationError(f"expected {name} to hold a certificate in PEM", key_path=key_path)


def add_authorities(context: ssl.SSLContext, pem: bytes, name: str, key_path: str) -> None:
    """Have ``context`` trust the certificates of a file.

    Raises:
        ConfigurationError: It holds none, or a broken one.
    """
    blocks = b"\n".join(_CERTIFICATE.findall(pem))
    try:
        context.load_verify_locations(cadata=blocks.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"expected {name} to hold certificates in PEM", key_path=key_path) from error


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or "OpenSSL refuses them"

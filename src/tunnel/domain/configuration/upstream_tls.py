"""What TLS requires of the targets of an upstream."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from tunnel.domain.configuration.mistakes import mistake
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings

__all__ = ["UpstreamTlsSettings", "accepts_any_certificate", "check_upstream_tls"]

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|[0-9A-Fa-f:.]+")


class UpstreamTlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[groups.NAME.upstreams.NAME.tls]``: for targets that begin with ``https:`` or ``grpcs:``.

    Args:
        ca: Certificates in PEM, one after another, the text itself: it is shipped to the clients. Whoever signed the
            target's certificate must be among them. None: those of the client's system.
        server_name: The name that is asked for (SNI) and that the certificate must be for. None: the target's host.
        verify: Whether the certificate and its name are verified at all; of ``grpcs:`` targets they always are.
    """

    ca: str | None = None
    server_name: str | None = None
    verify: bool = True


def accepts_any_certificate(targets: Iterable[str], tls: UpstreamTlsSettings) -> bool:
    """Whether somebody is dialled with TLS who need not prove anything: a mistake unless it is meant, so it is told."""
    return not tls.verify and any(target.startswith("https:") for target in targets)


def check_upstream_tls(tls: UpstreamTlsSettings, path: str, found: Findings) -> None:
    """Refuse what the types let pass.

    Args:
        tls: The table.
        path: Its key path.
        found: Takes the mistakes.
    """
    with found:
        if tls.ca is not None:
            _check_ca(tls.ca, f"{path}.ca")
    if tls.server_name is not None and not _NAME.fullmatch(tls.server_name):
        raise mistake(f"{path}.server_name", 'a host name such as "app.example.test"', got=tls.server_name)


def _check_ca(ca: str, path: str) -> None:
    expected = "certificates in PEM, the text from BEGIN CERTIFICATE to END CERTIFICATE"
    found = _CERTIFICATE.findall(ca)
    if not found:
        raise ConfigurationError(f"expected {expected}", key_path=path)
    for body in found:
        try:
            binascii.a2b_base64("".join(body.split()), strict_mode=True)
        except ValueError as error:
            raise ConfigurationError(f"expected {expected}: {error}", key_path=path) from error

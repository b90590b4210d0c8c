"""What TLS towards an upstream requires of it."""

from __future__ import annotations

import ssl
from functools import lru_cache

from tunnel.domain.configuration import UpstreamTlsSettings
from tunnel.domain.errors import ConfigurationError

__all__ = ["tls_context"]


@lru_cache(maxsize=64)
def tls_context(settings: UpstreamTlsSettings) -> ssl.SSLContext:
    """A context that verifies certificate and host name, as ``settings`` say, and offers HTTP/1.1 only.

    Equal settings share one: each takes about a megabyte, and some milliseconds to read the system's certificates.

    Raises:
        ConfigurationError: ``ca`` holds no certificate.

    Source: RFC 7301 (ALPN), RFC 9110 section 4.3.4 (verification).
    """
    try:
        context = ssl.create_default_context(cadata=settings.ca)
    except (ssl.SSLError, ValueError) as exc:
        expected = "expected certificates in PEM, as between BEGIN CERTIFICATE and END CERTIFICATE"
        raise ConfigurationError(f"{expected}: {exc}", key_path="tls.ca") from exc
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context

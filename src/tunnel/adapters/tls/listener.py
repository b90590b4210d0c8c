"""TLS of a listener, with certificates that can be replaced while it listens."""

from __future__ import annotations

import ssl
import time
from functools import partial
from typing import Final, Self

from tunnel.adapters.tls.context import FollowingContext
from tunnel.adapters.tls.files import add_authorities, leaf_of, load_pair, read_at_rest
from tunnel.domain.configuration import ListenerTlsSettings
from tunnel.domain.tls_material import TlsMaterial
from tunnel.ports.tls import ListenerTls

__all__ = ["OpensslListenerTls"]


class OpensslListenerTls(ListenerTls):
    """TLS 1.2 and later, with the files of ``settings`` as they are now; HTTP/1.1 is what its context speaks.

    Args:
        settings: Names of files.
        where: Key path of ``settings``, for errors.

    Raises:
        ConfigurationError: A file is missing, no PEM, or the key is not the certificate's.

    Source: RFC 7301 (ALPN).
    """

    def __init__(self, settings: ListenerTlsSettings, where: str) -> None:
        files = {
            "certificate": ("certificate", settings.certificate),
            "key": ("key", settings.key),
            "authorities": ("client_ca", settings.client_ca),
        }
        self._material, context = read_at_rest(files, where, partial(_server_context, settings, where))
        self._leaf = leaf_of(self._material.certificate, settings.certificate, f"{where}.certificate")
        self._context: Final = FollowingContext(context)

    @property
    def material(self) -> TlsMaterial:
        return self._material

    @property
    def context(self) -> ssl.SSLContext:
        return self._context

    @property
    def out_of_date(self) -> str:
        return self._leaf.out_of_date(time.time())

    @property
    def key(self) -> str:
        return self._leaf.key

    def follow(self, successor: Self) -> None:
        self._material, self._leaf = successor._material, successor._leaf
        self._context.follow(successor._context)


def _server_context(settings: ListenerTlsSettings, where: str, material: TlsMaterial) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Renegotiating costs the server much and the client little.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load_pair(context, material, certificate=settings.certificate, key=settings.key, where=where)
    if settings.client_ca is not None:
        add_authorities(context, material.authorities, settings.client_ca, f"{where}.client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context

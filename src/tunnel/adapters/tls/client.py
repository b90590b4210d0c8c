"""TLS of a client towards its servers."""

from __future__ import annotations

import ssl
import time
from functools import partial
from typing import Final

from tunnel.adapters.tls.files import add_authorities, leaf_of, load_pair, read_at_rest
from tunnel.adapters.tls.system import system_authorities
from tunnel.domain.configuration import ClientTlsSettings
from tunnel.domain.tls_material import TlsMaterial

__all__ = ["OpensslClientTls"]


class OpensslClientTls:
    """TLS 1.2 and later, with the files of ``settings`` as they are now. Certificate and name are always verified.

    Args:
        settings: Names of files; None: the system's trust, and no certificate.
        where: Key path of ``settings``, for errors.

    Raises:
        ConfigurationError: A file is missing, no PEM, or the key is not the certificate's.
    """

    def __init__(self, settings: ClientTlsSettings | None = None, where: str = "tls") -> None:
        settings = settings or ClientTlsSettings()
        files = {
            "certificate": ("certificate", settings.certificate),
            "key": ("key", settings.key),
            "authorities": ("ca", settings.ca),
        }
        self._material, self.context = read_at_rest(files, where, partial(_client_context, settings, where))
        self.server_name: Final = settings.server_name
        self._leaf = None
        if settings.certificate is not None:
            self._leaf = leaf_of(self._material.certificate, settings.certificate, f"{where}.certificate")

    @property
    def material(self) -> TlsMaterial:
        """As it is in the files; without authorities when the system's are trusted."""
        return self._material

    @property
    def complete_material(self) -> TlsMaterial:
        """With the system's authorities, where no others are named."""
        if self._material.authorities:
            return self._material
        mine = self._material
        return TlsMaterial(certificate=mine.certificate, key=mine.key, authorities=system_authorities())

    @property
    def out_of_date(self) -> str:
        """Why this client's certificate is not valid now, as a phrase; empty when it is, or when there is none."""
        return self._leaf.out_of_date(time.time()) if self._leaf is not None else ""


def _client_context(settings: ClientTlsSettings, where: str, material: TlsMaterial) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        add_authorities(context, material.authorities, settings.ca, f"{where}.ca")
    if settings.certificate is not None and settings.key is not None:
        load_pair(context, material, certificate=settings.certificate, key=settings.key, where=where)
    return context

"""What one end of TLS proves itself with, and whom it trusts, in PEM."""

from __future__ import annotations

import msgspec

__all__ = ["TlsMaterial"]


class TlsMaterial(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of the files that TLS needs. Its ``repr`` shows none of them.

    Args:
        certificate: The certificate and those that lead to a trusted one, in that order; empty: this end has none.
        key: The certificate's private key, not encrypted.
        authorities: Certificates of whom this end trusts. Empty: a client trusts those of its system, a listener asks
            for no certificate.
    """

    certificate: bytes = b""
    key: bytes = b""
    authorities: bytes = b""

    def __repr__(self) -> str:
        return "TlsMaterial(...)"

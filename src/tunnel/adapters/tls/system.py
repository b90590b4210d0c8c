"""The certificates that the system trusts, as text, for who cannot read them itself."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

__all__ = ["system_authorities"]

_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""Names in a directory of certificates, as OpenSSL looks them up."""


def system_authorities() -> bytes:
    """All of them in PEM, as OpenSSL finds them (``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` included); empty when none is.

    gRPC would trust the ones that it ships, and neither those an administrator has added nor the absence of those
    one has removed.
    """
    context = ssl.create_default_context()
    found = {ssl.DER_cert_to_PEM_cert(each) for each in context.get_ca_certs(binary_form=True)}
    directory = ssl.get_default_verify_paths().capath
    if not found and directory is not None:
        # These OpenSSL reads one by one, when it meets their names.
        names = (each for each in Path(directory).iterdir() if _HASHED.fullmatch(each.name))
        found = {each.read_text("ascii", errors="replace") for each in names if each.is_file()}
    return "".join(sorted(found)).encode("ascii", "replace")

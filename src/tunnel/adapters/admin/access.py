"""Who may look.

1. Health and readiness are for everybody who reaches the port, since probes hold no token.
2. With a token configured, all else asks for it. Its hash is compared in constant time.
3. Without one, the port listens on a loopback address only; so everybody on this machine may look, and nobody else. A
   page in a browser there must not: it can have a name of its own resolve to this address, but then its requests name
   that host. So a Host field with any name but ``localhost`` is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from tunnel.adapters.admin.answer import ProblemAnswer
from tunnel.domain.configuration import AdminSettings

__all__ = ["check_access"]

_AUTHORITY: Final = re.compile(rb"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:]*)(?::[0-9]*)?")
_CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)


def check_access(settings: AdminSettings, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse those who may not look.

    Args:
        settings: In force.
        headers: Of the request, names in lower case.

    Raises:
        ProblemAnswer: 401 or 421.
    """
    if settings.token_sha256 is None:
        hosts = [value for name, value in headers if name == b"host"]
        if not all(map(_is_own, hosts)):
            raise ProblemAnswer(421, "misdirected", "expected an IP address or localhost as Host")
        return
    given = [value for name, value in headers if name == b"authorization"]
    scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    digest = hashlib.sha256(token.strip()).hexdigest()
    known = hmac.compare_digest(digest, settings.token_sha256.lower())
    if not known or scheme.lower() != b"bearer":
        raise ProblemAnswer(401, "unauthenticated", "expected Authorization: Bearer TOKEN", headers=_CHALLENGE)


def _is_own(host: bytes) -> bool:
    found = _AUTHORITY.fullmatch(host)
    if found is None:
        return False
    name = found[1].decode("latin-1").removeprefix("[").removesuffix("]")
    try:
        ip_address(name)
    except ValueError:
        return name.lower() in ("", "localhost")
    return True

"""What a credential may claim: deny by default.

1. A credential claims the hosts it names: exact ones, and below ``*.suffix`` every host of one or more labels more, but
   never ``suffix`` itself. One that names none may claim nothing.
2. Without a host it is given a random label under the first wildcard it names.
3. A claim, which is one host and prefix, has one principal. Others are refused it.
4. Different prefixes of one host may have different principals only where the credential of each names that host
   exactly. Under a wildcard a host is all of whoever came first: else anybody who may claim below ``*.suffix`` could
   put pages of their own beneath somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.label import random_label
from tunnel.domain.claims.normal_form import normal_claim
from tunnel.domain.errors import ConfigurationError, ErrorCode, RegistrationRefused
from tunnel.domain.identity import Principal
from tunnel.domain.random_source import RandomSource
from tunnel.domain.rules.hosts import MAX_HOST_CHARACTERS

__all__ = ["Grant", "check_covered", "covers", "granted", "names_exactly", "public_url"]


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a server lets a client serve.

    Args:
        host: In lower case.
        path_prefix: ``/`` for all paths, else whole segments without a trailing slash.
        url: Where visitors find it; None: the server cannot tell, being mounted in another application.
    """

    host: str
    path_prefix: str = "/"
    url: str | None = None


def covers(hosts: Iterable[str], host: str) -> bool:
    """Whether one of ``hosts``, exact or ``*.suffix``, is or covers ``host``, which is in lower case."""
    for pattern in hosts:
        known = pattern.lower()
        if known == host or (known.startswith("*.") and host.endswith(known[1:]) and len(host) >= len(known)):
            return True
    return False


def names_exactly(hosts: Iterable[str], host: str) -> bool:
    """Whether ``host``, in lower case, is one of ``hosts`` itself."""
    return any(known.lower() == host for known in hosts)


def check_covered(principal: Principal, claim: Claim) -> None:
    """Refuse a claim that the credential does not cover.

    Raises:
        RegistrationRefused: ``forbidden``.
    """
    if not covers(principal.hosts, claim.host):
        raise RegistrationRefused(ErrorCode.FORBIDDEN, f'this credential may not claim the host "{claim.host}"')


def granted(principal: Principal, asked: Claim, random: RandomSource) -> Claim:
    """What ``principal`` gets that asks for ``asked``, as far as its credential has a say.

    Args:
        principal: Freshly authenticated.
        asked: As the client sent it.
        random: Unpredictable; for a host that is left to the server.

    Raises:
        RegistrationRefused: ``forbidden``: it is malformed, or not the credential's to claim.
    """
    try:
        claim = normal_claim(asked.host or None, asked.path_prefix or "/", "claim")
    except ConfigurationError as error:
        raise RegistrationRefused(ErrorCode.FORBIDDEN, str(error)) from error
    if not claim.host:
        claim = msgspec.structs.replace(claim, host=_chosen(principal, random))
    check_covered(principal, claim)
    return claim


def _chosen(principal: Principal, random: RandomSource) -> str:
    for pattern in principal.hosts:
        if pattern.startswith("*."):
            host = f"{random_label(random)}{pattern[1:].lower()}"
            if len(host) <= MAX_HOST_CHARACTERS:
                return host
    if principal.hosts:
        why = f"this credential has no wildcard host; claim one that it names, such as {principal.hosts[0]}"
    else:
        why = "this credential may not claim any host"
    raise RegistrationRefused(ErrorCode.FORBIDDEN, why)


def public_url(base: str | None, claim: Claim) -> str | None:
    """Where visitors find a claim.

    Args:
        base: ``http(s)://HOST[:PORT]`` of the ingress; None: there is no listener.
        claim: Granted.

    Returns:
        The same with the claim's host and prefix.
    """
    if base is None:
        return None
    parts = urlsplit(base)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{claim.host}{port}{claim.path_prefix}"

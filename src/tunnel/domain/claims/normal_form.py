"""The normal form of claims, in which they are compared, and what has none."""

from __future__ import annotations

import re
from typing import Final

from tunnel.domain.claims.claim import Claim
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.hosts import MAX_HOST_CHARACTERS
from tunnel.domain.rules.rule import Rule
from tunnel.domain.rules.validation import validate_rule

__all__ = ["MAX_PREFIX_CHARACTERS", "normal_claim"]

MAX_PREFIX_CHARACTERS: Final = 256
"""Characters of a prefix: it is part of a name that logs and status pages repeat."""

_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?")
"""What stands in a URL as it is, so that the URL of a claim is its host and prefix, letter for letter."""


def normal_claim(host: str | None, path_prefix: str, key_path: str = "") -> Claim:
    """A claim in normal form.

    Args:
        host: ASCII, in any case; None: the server is to choose.
        path_prefix: ``/`` or whole segments, with or without a slash behind them.
        key_path: Of the table that holds both, for errors.

    Raises:
        ConfigurationError: Either is malformed; names the key.
    """
    prefix = f"{key_path}." if key_path else ""
    if host is not None and (host.startswith(("*", "[")) or len(host) > MAX_HOST_CHARACTERS):
        raise ConfigurationError("expected a host name, without wildcard and no IPv6 address", key_path=f"{prefix}host")
    # Nothing is looked at closely whose length a stranger chose.
    short = len(path_prefix) <= MAX_PREFIX_CHARACTERS
    if short:
        validate_rule(Rule(host=host, path_prefix=path_prefix), key_path)
    if not short or not _PREFIX.fullmatch(path_prefix):
        raise ConfigurationError(
            f"expected at most {MAX_PREFIX_CHARACTERS} characters that stand in a URL as they are",
            key_path=f"{prefix}path_prefix",
        )
    return Claim("" if host is None else host.lower(), path_prefix.rstrip("/"))

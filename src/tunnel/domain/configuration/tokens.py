"""The ``[auth]`` table: which credentials are known, and what they allow."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from tunnel.domain.configuration.mistakes import check_name, key_path, mistake, unknown_name
from tunnel.domain.findings import Findings
from tunnel.domain.rules.hosts import is_host_name

__all__ = ["AuthSettings", "TokenSettings"]

_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth.tokens.NAME]``: one token; ``NAME`` is the principal it proves.

    Args:
        sha256: SHA-256 of the token, 64 hexadecimal digits, as ``tunnel token new`` prints it.
        groups: Groups its bearer may join; none listed: none.
        hosts: Hosts its bearer may claim, exact or ``*.suffix``; none listed: none.
    """

    sha256: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth]``. Without a token no client may register."""

    tokens: Mapping[str, TokenSettings] = {}

    def check(self, groups: Collection[str], found: Findings) -> None:
        """Refuse malformed hashes and hosts, and groups that are not configured. A hash is never repeated in an error.

        Args:
            groups: Names of the configured groups.
            found: Takes the mistakes.
        """
        owners: dict[str, str] = {}
        for name, token in self.tokens.items():
            path = key_path("auth", "tokens", name)
            with found:
                check_name(name, path, what="a name")
            with found:
                _check_hash(token.sha256, owners, path)
            with found:
                _check_groups(token.groups, groups, f"{path}.groups", found)
            with found:
                _check_hosts(token.hosts, f"{path}.hosts", found)


def _check_hash(sha256: str, owners: dict[str, str], path: str) -> None:
    if not _SHA256.fullmatch(sha256):
        # Whoever puts the token itself here must not find it in a log.
        raise mistake(f"{path}.sha256", "64 hexadecimal digits, as `tunnel token new` prints them")
    first = owners.setdefault(sha256.lower(), path)
    if first != path:
        raise mistake(f"{path}.sha256", f"a token of its own; {first} has the same")


def _check_groups(named: tuple[str, ...], configured: Collection[str], path: str, found: Findings) -> None:
    for index, group in enumerate(named):
        with found:
            if group not in configured:
                raise unknown_name(group, configured, f"{path}[{index}]", kind="group", add="[groups.NAME]")


def _check_hosts(hosts: tuple[str, ...], path: str, found: Findings) -> None:
    for index, host in enumerate(hosts):
        with found:
            if not is_host_name(host.removeprefix("*.")):
                raise mistake(f"{path}[{index}]", 'a host such as "app.example.test" or "*.example.test"', got=host)

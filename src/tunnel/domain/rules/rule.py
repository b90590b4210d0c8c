"""One routing rule, as configuration writes it, and what makes it valid."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tunnel.domain.errors import ConfigurationError, SessionError
from tunnel.domain.rules.hosts import MAX_HOST_CHARACTERS, is_host_name, normal_ipv6
from tunnel.domain.rules.paths import split_path

__all__ = ["Rule", "validate_rule"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PROTOCOLS: Final = frozenset({"http"})


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says which requests go to a group (on the server) or to an upstream (within a group).

    Whatever is None does not restrict. Decoding checks types only; ``validate_rule`` checks the rest.

    Args:
        host: ``app.example.test``, ``*.example.test`` (one or more labels, never the bare domain) or ``[::1]``;
            ASCII, compared without case and without port.
        path: The whole path, exactly.
        path_prefix: Leading whole segments of the path; one trailing slash is ignored, so ``/`` matches every path.
        group: Which group serves it (rules of the server).
        upstream: Which upstream serves it (rules of a group, and forward rules).
        priority: Decides between rules that match equally closely: the higher number first. None counts as 0.
        protocol: Only sessions of this protocol; ``http``. None: any.

    Source: Gateway API, HTTPRoute: ``hostnames`` and ``HTTPPathMatch``.
    """

    host: str | None = None
    path: str | None = None
    path_prefix: str | None = None
    group: str | None = None
    upstream: str | None = None
    priority: int | None = None
    protocol: str | None = None


def validate_rule(rule: Rule, key_path: str) -> None:
    """Check what types cannot say.

    Whether ``group`` and ``upstream`` are given, and name something that exists, depends on where the rule stands; its
    owner checks that.

    Args:
        rule: The rule.
        key_path: Where it stands, ``rules[0]``; the errors name the key below it.

    Raises:
        ConfigurationError: A value is malformed, or two values exclude each other.
    """
    prefix = f"{key_path}." if key_path else ""
    if rule.host is not None:
        _validate_host(rule.host, f"{prefix}host")
    if rule.path is not None and rule.path_prefix is not None:
        raise ConfigurationError("expected either path or path_prefix, not both", key_path=f"{prefix}path_prefix")
    if rule.path is not None:
        _validate_path(rule.path, f"{prefix}path")
    if rule.path_prefix is not None:
        _validate_path(rule.path_prefix, f"{prefix}path_prefix")
    if rule.protocol is not None and rule.protocol not in _PROTOCOLS:
        raise ConfigurationError('expected "http", the only protocol built yet', key_path=f"{prefix}protocol")


def _validate_host(host: str, key_path: str) -> None:
    if problem := _host_problem(host):
        raise ConfigurationError(problem, key_path=key_path)


def _host_problem(host: str) -> str | None:
    if not host.isascii():
        return "expected an ASCII host name; write an international one in its xn-- form"
    if host.startswith("["):
        return None if normal_ipv6(host) else "expected an IPv6 address in brackets without port or zone, like [::1]"
    if host == "*":
        return "expected a host name or *.suffix; leave host out to match every host"
    if ":" in host:
        return "expected a host without port; an IPv6 address stands in brackets, like [::1]"
    name = host.removeprefix("*.")
    if "*" in name:
        return "expected a wildcard only as the whole first label, like *.example.test"
    if len(host) > MAX_HOST_CHARACTERS or not is_host_name(name):
        return "expected labels of letters, digits, - and _, at most 63 each and 253 in all, joined by single dots"
    return None


def _validate_path(path: str, key_path: str) -> None:
    if problem := _path_problem(path):
        raise ConfigurationError(problem, key_path=key_path)


def _path_problem(path: str) -> str | None:
    if not path.startswith("/"):
        return "expected a path that starts with /"
    if "?" in path or "#" in path:
        return "expected a path without ? and #"
    if "//" in path:
        return "expected a path without empty segments (//)"
    if _CONTROL.search(path):
        return "expected a path without control characters"
    try:
        split_path(path.encode())
    except UnicodeEncodeError:
        return "expected a path of valid Unicode"
    except SessionError as error:
        return f"expected a path without dot segments and with whole percent escapes ({error.message})"
    return None

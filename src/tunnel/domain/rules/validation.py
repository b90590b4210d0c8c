"""What makes a rule valid, beyond the types of its fields."""

from __future__ import annotations

import json
import re
from typing import Final

from tunnel.domain.errors import ConfigurationError, SessionError
from tunnel.domain.findings import Findings
from tunnel.domain.kinds import PROTOCOLS
from tunnel.domain.rules.hosts import MAX_HOST_CHARACTERS, is_host_name, normal_ipv6
from tunnel.domain.rules.paths import normal_path
from tunnel.domain.rules.patterns import compile_pattern
from tunnel.domain.rules.rule import Rule, ValueMatch, ValueMatches

__all__ = ["check_rule", "validate_rule"]

_PATH_KEYS: Final = ("path", "path_prefix", "path_regex")

# What most hosts and paths look like, told right in one step; what does not look so is looked at closely.
_PLAIN_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_PLAIN_PATH: Final = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*(?:/|\Z))*")

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_SERVICE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_METHOD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def validate_rule(rule: Rule, key_path: str) -> None:
    """Check what types cannot say.

    Whether ``group`` and ``upstream`` are given, and name something that exists, depends on where the rule stands; its
    owner checks that.

    Args:
        rule: The rule.
        key_path: Where it stands, ``rules[0]``; the errors name the key below it.

    Raises:
        ConfigurationError: Values are malformed, or exclude each other.
    """
    found = Findings()
    check_rule(rule, key_path, found)
    found.tell()


def check_rule(rule: Rule, key_path: str, found: Findings) -> None:
    """As ``validate_rule``, each predicate by itself.

    Args:
        rule: The rule.
        key_path: Where it stands.
        found: Takes the mistakes.
    """
    prefix = f"{key_path}." if key_path else ""
    if rule.host is not None:
        with found:
            if problem := _host_problem(rule.host):
                raise ConfigurationError(problem, key_path=f"{prefix}host")
    with found:
        _validate_paths(rule, prefix)
    if rule.protocol is not None:
        with found:
            if rule.protocol not in PROTOCOLS:
                expected = ", ".join(f'"{protocol}"' for protocol in PROTOCOLS)
                raise ConfigurationError(f"expected one of {expected}", key_path=f"{prefix}protocol")
    if rule.service is not None or rule.method is not None:
        with found:
            _validate_call(rule, prefix)
    if rule.methods is not None:
        with found:
            _validate_methods(rule.methods, f"{prefix}methods", found)
    if rule.headers is not None:
        with found:
            _validate_headers(rule.headers, f"{prefix}headers", found)
    if rule.query is not None:
        with found:
            _validate_query(rule.query, f"{prefix}query", found)


def _validate_paths(rule: Rule, prefix: str) -> None:
    given = [key for key in _PATH_KEYS if getattr(rule, key) is not None]
    if len(given) > 1:
        raise ConfigurationError(f"expected either {given[0]} or {given[1]}, not both", key_path=prefix + given[1])
    if rule.path is not None and (problem := _path_problem(rule.path)):
        raise ConfigurationError(problem, key_path=f"{prefix}path")
    if rule.path_prefix is not None and (problem := _path_problem(rule.path_prefix)):
        raise ConfigurationError(problem, key_path=f"{prefix}path_prefix")
    if rule.path_regex is not None:
        _validate_pattern(rule.path_regex, f"{prefix}path_regex")


def _host_problem(host: str) -> str | None:
    if len(host) <= MAX_HOST_CHARACTERS and _PLAIN_HOST.fullmatch(host):
        return None
    if not host.isascii():
        return "expected an ASCII host name; write an international one in its xn-- form"
    if host.startswith("["):
        return None if normal_ipv6(host) else "expected an IPv6 address in brackets without port or zone, like [::1]"
    if host == "*":
        return "expected a host name or *.suffix; leave host out to match every host"
    if "://" in host:
        return "expected a host alone, like app.example.test, and no URL"
    if ":" in host:
        return "expected a host without port; an IPv6 address stands in brackets, like [::1]"
    name = host.removeprefix("*.")
    if "*" in name:
        return "expected a wildcard only as the whole first label, like *.example.test"
    if len(host) > MAX_HOST_CHARACTERS or not is_host_name(name):
        return "expected labels of letters, digits, - and _, at most 63 each and 253 in all, joined by single dots"
    return None


def _path_problem(path: str) -> str | None:
    if _PLAIN_PATH.fullmatch(path):
        return None
    if not path.startswith("/"):
        return "expected a path that starts with /"
    if "?" in path or "#" in path:
        return "expected a path without ? and #"
    if "//" in path:
        return "expected a path without empty segments (//)"
    if _CONTROL.search(path):
        return "expected a path without control characters"
    try:
        normal_path(path.encode())
    except UnicodeEncodeError:
        return "expected a path of valid Unicode"
    except SessionError as error:
        return f"expected a path without dot segments and with whole percent escapes ({error.message})"
    return None


def _validate_call(rule: Rule, prefix: str) -> None:
    key = "method" if rule.service is None else "service"
    for path_key in _PATH_KEYS:
        if getattr(rule, path_key) is not None:
            raise ConfigurationError(f"expected either {path_key} or {key}, not both", key_path=prefix + key)
    if rule.protocol not in (None, "grpc"):
        raise ConfigurationError(f'expected "grpc" or nothing, since {key} is given', key_path=f"{prefix}protocol")
    if rule.service is not None and not _SERVICE.fullmatch(rule.service):
        raise ConfigurationError(
            "expected a service with its package, like shop.v1.Orders", key_path=f"{prefix}service"
        )
    if rule.method is not None and not _METHOD.fullmatch(rule.method):
        raise ConfigurationError("expected a method of a gRPC service, like GetOrder", key_path=f"{prefix}method")


def _validate_methods(methods: tuple[str, ...], key_path: str, found: Findings) -> None:
    if not methods:
        raise ConfigurationError('expected at least one method, like "GET"', key_path=key_path)
    for index, method in enumerate(methods):
        with found:
            if not _TOKEN.fullmatch(method):
                raise ConfigurationError('expected a request method, like "GET"', key_path=f"{key_path}[{index}]")


def _validate_headers(headers: ValueMatches, key_path: str, found: Findings) -> None:
    seen: set[str] = set()
    for name, match in headers.items():
        with found:
            if not _TOKEN.fullmatch(name):
                raise ConfigurationError(f"expected names of header fields, got {name[:60]!a}", key_path=key_path)
            if name.lower() in seen:
                raise ConfigurationError("given twice; letter case does not count", key_path=_below(key_path, name))
            seen.add(name.lower())
            _validate_match(match, _below(key_path, name))
            if isinstance(match, str) and (match.strip(" \t") != match or _CONTROL.search(match.replace("\t", ""))):
                expected = "expected a value without control characters, and without blanks around it"
                raise ConfigurationError(expected, key_path=_below(key_path, name))


def _validate_query(query: ValueMatches, key_path: str, found: Findings) -> None:
    for name, match in query.items():
        with found:
            if not name:
                raise ConfigurationError("expected names of parameters, got an empty one", key_path=key_path)
            _validate_match(match, _below(key_path, name))


def _validate_match(match: str | ValueMatch, key_path: str) -> None:
    if isinstance(match, str):
        try:
            match.encode()
        except UnicodeEncodeError as error:
            raise ConfigurationError("expected a value of valid Unicode", key_path=key_path) from error
        return
    if (match.regex is None) == (match.present is None):
        raise ConfigurationError("expected either regex or present", key_path=key_path)
    if match.present is False:
        raise ConfigurationError(
            "expected true; write a rule for what is there, and a wider one for the rest",
            key_path=f"{key_path}.present",
        )
    if match.regex is not None:
        _validate_pattern(match.regex, f"{key_path}.regex")


def _below(key_path: str, name: str) -> str:
    return f"{key_path}.{name if _BARE_KEY.fullmatch(name) else json.dumps(name)}"


def _validate_pattern(pattern: str, key_path: str) -> None:
    try:
        compile_pattern(pattern)
    except ConfigurationError as error:
        raise ConfigurationError(error.expected, key_path=key_path) from error

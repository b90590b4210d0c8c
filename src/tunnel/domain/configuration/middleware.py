"""The ``[middleware.NAME]`` tables, and the rules that name them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tunnel.domain.configuration.mistakes import check_name, key_path, mistake, unknown_name
from tunnel.domain.findings import Findings
from tunnel.domain.rules.rule import Rule

__all__ = [
    "MiddlewareSettings",
    "check_middleware",
    "check_rule_middleware",
    "check_rules_middleware",
    "in_use",
    "middleware_settings",
    "with_proxies",
]

_MAX_DEPTH: Final = 16
"""Tables and lists inside an option; what is deeper could not be read by every client."""

_BY_ADDRESS: Final = frozenset({"ip_filter", "rate_limit"})
"""Kinds that ask for the visitor's address, and so have the option ``trusted_proxies``."""


class MiddlewareSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``. ``repr`` leaves the values of options out.

    Args:
        use: Of which kind: ``headers``, or the name under which a package brings one.
        options: What else stands in the table, as it is written. The kind judges it where the middleware is made.
    """

    use: str
    options: Mapping[str, object] = {}

    @property
    def table(self) -> dict[str, object]:
        """As it is written in a configuration file."""
        return {"use": self.use, **self.options}

    def __repr__(self) -> str:
        return f"MiddlewareSettings(use={self.use!r}, options={sorted(self.options)})"


def middleware_settings(table: Mapping[str, object], path: str) -> MiddlewareSettings:
    """Read a ``[middleware.NAME]`` table.

    Args:
        table: As it is written.
        path: Its key path.

    Raises:
        ConfigurationError: ``use`` is missing, or a value could not be sent to a client.
    """
    if "use" not in table:
        raise mistake(path, 'the key "use", the kind of middleware, such as "headers"')
    use = table["use"]
    if not isinstance(use, str):
        raise mistake(f"{path}.use", "a string", got=use)
    for name, value in table.items():
        _check_value(value, f"{path}.{key_path(name)}", _MAX_DEPTH)
    return MiddlewareSettings(use, {name: value for name, value in table.items() if name != "use"})


def check_middleware(tables: Mapping[str, MiddlewareSettings], found: Findings) -> None:
    """Refuse names that would break a log line."""
    for name in tables:
        with found:
            check_name(name, key_path("middleware", name), what="a name")


def check_rules_middleware(
    rules: Sequence[Rule], tables: Mapping[str, MiddlewareSettings], path: str, found: Findings
) -> None:
    """Refuse rules that name middleware which is not there, or the same twice.

    Args:
        rules: The rules.
        tables: By name.
        path: Key path of the rules.
        found: Takes the mistakes.
    """
    for index, rule in enumerate(rules):
        with found:
            check_rule_middleware(rule, tables, f"{path}[{index}]")


def check_rule_middleware(rule: Rule, tables: Mapping[str, MiddlewareSettings], path: str) -> None:
    """Refuse a rule that names middleware which is not there, or the same twice.

    Args:
        rule: The rule.
        tables: By name.
        path: Key path of the rule.

    Raises:
        ConfigurationError: Naming the key.
    """
    names = rule.middleware or ()
    for index, name in enumerate(names):
        where = f"{path}.middleware[{index}]"
        if name not in tables:
            raise unknown_name(name, tables, where, kind="middleware", add="[middleware.NAME]")
        if name in names[:index]:
            raise mistake(where, "a name not given before in this rule", got=name)


def in_use(rules: Sequence[Rule], tables: Mapping[str, MiddlewareSettings]) -> dict[str, MiddlewareSettings]:
    """Of ``tables`` those that ``rules`` name."""
    return {name: tables[name] for rule in rules for name in rule.middleware or ()}


def with_proxies(
    tables: Mapping[str, MiddlewareSettings], trusted_proxies: Sequence[str]
) -> dict[str, MiddlewareSettings]:
    """``tables``, in which those that go by the visitor's address trust the proxies that the ingress trusts.

    Args:
        tables: By name; those that say whom they trust stay as they are.
        trusted_proxies: Of the ingress.
    """
    if not trusted_proxies:
        return dict(tables)
    added = {"trusted_proxies": list(trusted_proxies)}
    return {
        name: MiddlewareSettings(each.use, {**added, **each.options}) if each.use in _BY_ADDRESS else each
        for name, each in tables.items()
    }


def _check_value(value: object, path: str, depth: int) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case float() if math.isfinite(value):
            return
        case list() | tuple() if depth:
            for index, each in enumerate(value):
                _check_value(each, f"{path}[{index}]", depth - 1)
        case dict() if depth:
            for key, each in value.items():
                if not isinstance(key, str):
                    raise mistake(path, "keys that are strings")
                _check_value(each, f"{path}.{key_path(key)}", depth - 1)
        case _:
            raise mistake(path, "a string, a number, true or false, or a list or a table of these")

"""Settings and rules as they may be shown: without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tunnel.domain.configuration import MiddlewareSettings, Secret
from tunnel.domain.rules.rule import Rule

__all__ = ["REDACTED", "redacted", "redacted_rule"]

REDACTED: Final = "***"

_HASHES: Final = frozenset({"sha256", "token_sha256"})
"""Not secrets of 256 bits, which nobody guesses from their hash; but nobody needs to see them either."""

_TELLING: Final = re.compile(r"auth|cookie|credential|key|passw|secret|session|signature|token", re.IGNORECASE)
"""Names of header fields and parameters whose values may be secrets."""


def redacted(settings: msgspec.Struct) -> dict[str, object]:
    """Settings of JSON types, in the shape of a configuration file; what is not given is null.

    Each ``Secret`` and each hash of a token is ``***``, and so is the value that a rule asks of a header field or a
    parameter whose name suggests a secret. Of the options of middleware only numbers and truth values are shown.
    """
    shown: dict[str, object] = _shown(settings)
    return shown


def redacted_rule(rule: Rule) -> dict[str, object]:
    """A rule likewise, what is not given left out."""
    return {name: value for name, value in redacted(rule).items() if value is not None}


def _shown(value: object, *, name: str = "") -> Any:
    match value:
        case Secret():
            return REDACTED
        case Rule():
            predicates = {"headers": _predicates(value.headers), "query": _predicates(value.query)}
            return {field: predicates.get(field, _shown(getattr(value, field))) for field in value.__struct_fields__}
        case MiddlewareSettings():
            return {"use": value.use, **{name: _plain(each) for name, each in value.options.items()}}
        case msgspec.Struct():
            return {field: _shown(getattr(value, field), name=field) for field in value.__struct_fields__}
        case Mapping():
            return {key: _shown(each) for key, each in value.items()}
        case list() | tuple():
            return [_shown(each) for each in value]
        case str() if name in _HASHES:
            return REDACTED
        case _:
            return value


def _plain(value: object) -> object:
    """An option of middleware: anybody's, so that nothing but a number is known to be no secret."""
    return value if value is None or isinstance(value, bool | int | float) else REDACTED


def _predicates(predicates: Mapping[str, object] | None) -> dict[str, object] | None:
    if predicates is None:
        return None
    return {name: REDACTED if _TELLING.search(name) else _shown(each) for name, each in predicates.items()}

"""What a rule asks of a request beyond host, path and path prefix, compiled: each condition holds or does not."""

from __future__ import annotations

from typing import Protocol

import msgspec

from tunnel.domain.rules.patterns import Pattern, compile_pattern
from tunnel.domain.rules.request import RoutedRequest
from tunnel.domain.rules.rule import Rule, ValueMatch

__all__ = ["Candidate", "Condition", "ProtocolCondition", "conditions_of", "first_match"]


class Condition(Protocol):
    """One predicate of a rule."""

    @property
    def label(self) -> str:
        """What it asks about, as explanations name it: ``method``, ``header x-env``."""

    def holds(self, request: RoutedRequest, /) -> bool:
        """Whether ``request`` meets it."""


class ProtocolCondition(msgspec.Struct, frozen=True, gc=False):
    """The session is of this protocol; without one, of any but TCP."""

    protocol: str | None
    label: str = "protocol"

    def holds(self, request: RoutedRequest) -> bool:
        return request.protocol != "tcp" if self.protocol is None else request.protocol == self.protocol


class _MethodsCondition(msgspec.Struct, frozen=True, gc=False):
    methods: frozenset[str]
    label: str = "method"

    def holds(self, request: RoutedRequest) -> bool:
        return request.method in self.methods


class _CallCondition(msgspec.Struct, frozen=True, gc=False):
    """The path is ``/service/method``, with both, or one of them, as given."""

    label: str
    service: bytes | None = None
    method: bytes | None = None

    def holds(self, request: RoutedRequest) -> bool:
        _, *segments = request.path.split(b"/", 3)
        return len(segments) == 2 and self.service in (None, segments[0]) and self.method in (None, segments[1])


class _PathCondition(msgspec.Struct, frozen=True, gc=False):
    pattern: Pattern
    label: str = "path"

    def holds(self, request: RoutedRequest) -> bool:
        return self.pattern.fullmatch(request.path) is not None


class _HeaderCondition(msgspec.Struct, frozen=True, gc=False):
    label: str
    name: bytes
    value: bytes | Pattern | None

    def holds(self, request: RoutedRequest) -> bool:
        return _value_matches(request.fields.get(self.name), self.value)


class _ParameterCondition(msgspec.Struct, frozen=True, gc=False):
    label: str
    name: bytes
    value: bytes | Pattern | None

    def holds(self, request: RoutedRequest) -> bool:
        return _value_matches(request.parameters.get(self.name), self.value)


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A rule, and what is left to ask once its host and path were found."""

    rule: Rule
    conditions: tuple[Condition, ...]


def first_match(candidates: tuple[Candidate, ...], request: RoutedRequest) -> Rule | None:
    """The first rule all of whose conditions hold."""
    for candidate in candidates:
        for condition in candidate.conditions:
            if not condition.holds(request):
                break
        else:
            return candidate.rule
    return None


def conditions_of(rule: Rule) -> tuple[Condition, ...]:
    """All predicates of a valid rule but host, path and path prefix, the cheaper ones first.

    That a rule without ``protocol`` does not match TCP is left to the caller, for whom it is the same for all rules.
    """
    conditions: list[Condition] = []
    if rule.protocol is not None:
        conditions.append(ProtocolCondition(rule.protocol))
    elif rule.service is not None or rule.method is not None:
        conditions.append(ProtocolCondition("grpc"))
    if rule.methods is not None:
        conditions.append(_MethodsCondition(frozenset(rule.methods)))
    if rule.service is not None:
        conditions.append(_CallCondition("service", service=rule.service.encode()))
    if rule.method is not None:
        conditions.append(_CallCondition("grpc method", method=rule.method.encode()))
    if rule.path_regex is not None:
        conditions.append(_PathCondition(compile_pattern(rule.path_regex)))
    headers, query = rule.headers or {}, rule.query or {}
    for name, match in headers.items():
        conditions.append(_HeaderCondition(f"header {name}", name.lower().encode(), _wanted(match)))
    for name, match in query.items():
        conditions.append(_ParameterCondition(f"query {name}", name.encode(), _wanted(match)))
    return tuple(conditions)


def _wanted(match: str | ValueMatch) -> bytes | Pattern | None:
    if isinstance(match, str):
        return match.encode()
    return None if match.regex is None else compile_pattern(match.regex)


def _value_matches(value: bytes | None, wanted: bytes | Pattern | None) -> bool:
    if value is None:
        return False
    if isinstance(wanted, bytes):
        return value == wanted
    return wanted is None or wanted.fullmatch(value) is not None

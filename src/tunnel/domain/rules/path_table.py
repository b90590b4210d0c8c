"""The rules of one host, compiled for lookup by path.

Lookup is by whole normal paths in flat dictionaries, never by walking a tree: from the exact path to ever shorter
prefixes, as many as the deepest rule of this host has segments, and then through the patterns. What it costs does not
depend on how many rules there are. Among very many rules it is cache misses that cost, so what most hosts need is kept
small and close together: a host with one rule has no dictionary, and a rule that asks for nothing but host and path is
its own leaf (ADR 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

import msgspec

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.conditions import Candidate, conditions_of, first_match
from tunnel.domain.rules.paths import normal_path, normal_prefix
from tunnel.domain.rules.precedence import condition_rank
from tunnel.domain.rules.request import RoutedRequest
from tunnel.domain.rules.rule import Rule

__all__ = ["OrderedRule", "PathTable", "compile_paths"]

_SHARED_PREFIXES: Final = 1024
"""Hosts mostly have the same few prefixes; those that share one object find it in the processor's cache."""

OrderedRule: TypeAlias = tuple[int, Rule]
"""A rule and its place in the file."""

_Leaf: TypeAlias = Rule | tuple[Candidate, ...]
"""What lies at one path or prefix: a rule without conditions, or several in the order they are asked."""


class PathTable(Protocol):
    """Rules of one host."""

    def match(self, path: bytes, head: HttpRequest, /) -> Rule | None:
        """The first by precedence that matches ``path``, in normal form, and all else in ``head``."""


class _ExactPath(msgspec.Struct, frozen=True, gc=False):
    path: bytes
    leaf: _Leaf

    def match(self, path: bytes, head: HttpRequest) -> Rule | None:
        if path != self.path:
            return None
        leaf = self.leaf
        return leaf if isinstance(leaf, Rule) else first_match(leaf, RoutedRequest(head, path))


class _PathPrefix(msgspec.Struct, frozen=True, gc=False):
    below: bytes  # the prefix and a slash; nothing for prefix "/", which matches "*" too
    leaf: _Leaf

    def match(self, path: bytes, head: HttpRequest) -> Rule | None:
        below = self.below
        if not path.startswith(below) and path + b"/" != below:
            return None
        leaf = self.leaf
        return leaf if isinstance(leaf, Rule) else first_match(leaf, RoutedRequest(head, path))


class _Paths(msgspec.Struct, frozen=True, gc=False):
    exact: dict[bytes, _Leaf]
    prefixes: dict[bytes, _Leaf]
    depth: int  # segments of the longest prefix
    patterns: tuple[Candidate, ...]

    def match(self, path: bytes, head: HttpRequest) -> Rule | None:
        # 1. The exact path.
        # 2. The path cut to as many segments as the longest prefix has, and then to fewer, one after another.
        # 3. Whatever has to be tried.
        leaf = self.exact.get(path)
        if leaf is not None:
            rule = leaf if isinstance(leaf, Rule) else first_match(leaf, RoutedRequest(head, path))
            if rule is not None:
                return rule
        prefixes = self.prefixes
        if prefixes:
            depth = self.depth
            prefix = path
            if path.count(b"/") > depth:
                prefix = b"/".join(path.split(b"/", depth + 1)[: depth + 1])
            while True:
                leaf = prefixes.get(prefix)
                if leaf is not None:
                    rule = leaf if isinstance(leaf, Rule) else first_match(leaf, RoutedRequest(head, path))
                    if rule is not None:
                        return rule
                if not prefix:
                    break
                prefix = prefix[: prefix.rfind(b"/")]
        return first_match(self.patterns, RoutedRequest(head, path)) if self.patterns else None


def compile_paths(rules: Sequence[OrderedRule]) -> PathTable:
    """Compile the valid rules of one host."""
    if len(rules) == 1 and (table := _single(rules[0][1])) is not None:
        return table
    exact: dict[bytes, list[OrderedRule]] = {}
    prefixes: dict[bytes, list[OrderedRule]] = {}
    patterns: list[OrderedRule] = []
    for ordered in rules:
        rule = ordered[1]
        if (path := _exact(rule)) is not None:
            exact.setdefault(path, []).append(ordered)
        elif (prefix := _prefix(rule)) is not None:
            prefixes.setdefault(prefix, []).append(ordered)
        else:
            patterns.append(ordered)
    return _Paths(
        exact={path: _leaf(those) for path, those in exact.items()},
        prefixes={prefix: _leaf(those) for prefix, those in prefixes.items()},
        depth=max((prefix.count(b"/") for prefix in prefixes), default=0),
        patterns=_candidates(patterns),
    )


def _single(rule: Rule) -> PathTable | None:
    if (path := _exact(rule)) is not None:
        return _ExactPath(path, _leaf([(0, rule)]))
    if (prefix := _prefix(rule)) is not None:
        return _PathPrefix(_below(prefix), _leaf([(0, rule)]))
    return None


@lru_cache(_SHARED_PREFIXES)
def _below(prefix: bytes) -> bytes:
    return prefix + b"/" if prefix else b""


def _exact(rule: Rule) -> bytes | None:
    if rule.path is not None:
        return normal_path(rule.path.encode())
    if rule.service is not None and rule.method is not None:
        return f"/{rule.service}/{rule.method}".encode()
    return None


def _prefix(rule: Rule) -> bytes | None:
    if rule.path_prefix is not None:
        return normal_prefix(rule.path_prefix.encode())
    if rule.service is not None:
        return f"/{rule.service}".encode()
    return None if rule.path_regex is not None or rule.method is not None else b""


def _leaf(rules: list[OrderedRule]) -> _Leaf:
    # Conditions come first, so a rule without any that others precede is a candidate like them.
    candidates = _candidates(rules)
    first = candidates[0]
    return candidates if first.conditions else first.rule


def _candidates(rules: list[OrderedRule]) -> tuple[Candidate, ...]:
    if len(rules) > 1:
        rules = sorted(rules, key=lambda ordered: condition_rank(ordered[1], ordered[0]))
    return tuple(Candidate(rule, conditions_of(rule)) for _, rule in rules)

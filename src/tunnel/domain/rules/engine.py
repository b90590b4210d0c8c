"""Rules compiled for lookup: which one a request falls under, by the precedence of the Gateway API.

Precedence compares, over all rules that match, one thing after another:

1. host: exact, then the longer wildcard, then the shorter, then none;
2. path: exact, then the longer prefix, then the shorter; no path is prefix ``/``;
3. ``priority``, the higher first; none given is 0;
4. order in the file.

So a host with rules of its own, none of which matches the path, still falls back to the wildcard above it.

Source: Gateway API, HTTPRoute, ``HTTPRouteRule.matches``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.hosts import host_labels, normal_host
from tunnel.domain.rules.paths import ASTERISK, prefix_segments, split_path
from tunnel.domain.rules.rule import Rule, validate_rule
from tunnel.domain.rules.trie import Trie

__all__ = ["RulesEngine"]

_ANY_HOST: Final = "*"


class _Candidate:
    """A rule whose host and path matched; what is left to ask of the request, and where it stands among its like."""

    __slots__ = ("protocol", "rank", "rule")

    def __init__(self, rule: Rule, order: int) -> None:
        self.rule = rule
        self.protocol = rule.protocol
        # The smallest is asked first. Further predicates of the precedence go before the priority.
        self.rank = (-(rule.priority or 0), order)


_Leaf: TypeAlias = tuple[_Candidate, ...]
_Paths: TypeAlias = Trie[bytes, _Leaf]


class RulesEngine:
    """Finds the rule for a request. Immutable: a reload builds another and swaps the reference.

    Args:
        rules: In the order of the file.

    Raises:
        ConfigurationError: A rule is not valid; the key path starts with ``rules[N]``.
    """

    __slots__ = ("_anywhere", "_hosts", "_rules", "_wildcards")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        by_host: dict[str, list[_Candidate]] = defaultdict(list)
        for order, rule in enumerate(self._rules):
            validate_rule(rule, f"rules[{order}]")
            by_host[_normal_pattern(rule.host)].append(_Candidate(rule, order))
        self._anywhere = _compile_paths(by_host.pop(_ANY_HOST, ()))
        # Exact hosts are keyed as requests carry them, so that most need no normal form to be found.
        self._hosts: dict[bytes, _Paths] = {}
        self._wildcards: Trie[str, _Paths] = Trie(below_itself=False)
        for pattern, candidates in by_host.items():
            if pattern.startswith("*."):
                self._wildcards.insert_below(host_labels(pattern[2:]), _compile_paths(candidates))
            else:
                self._hosts[pattern.encode()] = _compile_paths(candidates)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules this was compiled from, in their order."""
        return self._rules

    def match(self, head: HttpRequest) -> Rule | None:
        """The rule ``head`` falls under; None when no rule matches.

        Raises:
            SessionError: ``BAD_REQUEST``; host or path are malformed, the path holds dot segments, or it is ``*`` and
                the method is not OPTIONS.
        """
        path = head.path
        if path == ASTERISK and head.method != "OPTIONS":
            raise SessionError(ErrorCode.BAD_REQUEST, "invalid path: * is for OPTIONS only")
        segments = split_path(path)
        paths = self._hosts.get(head.host)
        if paths is not None:
            rule = _first_match(paths.lookup(segments), head)
            if rule is not None:
                return rule
        return self._match_in_normal_form(head, segments)

    def _match_in_normal_form(self, head: HttpRequest, segments: list[bytes]) -> Rule | None:
        host = normal_host(head.host)
        exact = self._hosts.get(host.encode())
        wildcards = self._wildcards.lookup(host_labels(host))
        for paths in (exact, *wildcards, self._anywhere):
            if paths is not None:
                rule = _first_match(paths.lookup(segments), head)
                if rule is not None:
                    return rule
        return None


def _first_match(leaves: list[_Leaf], head: HttpRequest) -> Rule | None:
    for leaf in leaves:
        for candidate in leaf:
            if candidate.protocol is None or candidate.protocol == head.protocol:
                return candidate.rule
    return None


def _normal_pattern(host: str | None) -> str:
    if host is None:
        return _ANY_HOST
    name = host.removeprefix("*.")
    normal = normal_host(name.encode("ascii"))
    return normal if name == host else f"*.{normal}"


def _compile_paths(candidates: Iterable[_Candidate]) -> _Paths:
    exact: dict[tuple[bytes, ...], list[_Candidate]] = defaultdict(list)
    prefix: dict[tuple[bytes, ...], list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        rule = candidate.rule
        if rule.path is not None:
            exact[tuple(split_path(rule.path.encode()))].append(candidate)
        else:
            prefix[tuple(prefix_segments((rule.path_prefix or "/").encode()))].append(candidate)
    paths: _Paths = Trie(below_itself=True)
    for segments, leaf in exact.items():
        paths.insert_at(segments, _ranked(leaf))
    for segments, leaf in prefix.items():
        paths.insert_below(segments, _ranked(leaf))
    return paths


def _ranked(candidates: Iterable[_Candidate]) -> _Leaf:
    return tuple(sorted(candidates, key=lambda candidate: candidate.rank))

"""Valid rules, from an alphabet so small that they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from hypothesis import strategies as st

from tunnel.domain.rules.rule import Rule, ValueMatch

__all__ = ["FIELD_NAMES", "FIELD_VALUES", "HOSTS", "METHODS", "SEGMENTS", "group_rules", "rules"]

HOSTS: Final = ("a.test", "b.a.test", "c.b.a.test", "[::1]")
"""What requests ask for; rules for these, and for wildcards above them."""
SEGMENTS: Final = ("x", "y", "%78", "x%2Fy", "", "%C3%A9")
"""Of paths, as they are written; the third is the first in another spelling."""
METHODS: Final = ("GET", "POST", "HEAD")
"""Of requests."""
FIELD_NAMES: Final = ("x-env", "X-Env", "cookie")
"""Of header fields and parameters."""
FIELD_VALUES: Final = ("1", "2", "1, 2", "a b")
"""Of header fields and parameters."""

_WILDCARDS: Final = ("*.a.test", "*.b.a.test")
_PATTERNS: Final = ("/.*", "/[xy]", "/x(/.*)?", "(/x|/y)+")
_CALLS: Final = (("pkg.Svc", "Get"), ("pkg.Svc", None), (None, "Get"))


def rules(*, group: str | None = None, upstream: str | None = None) -> st.SearchStrategy[Rule]:
    """Rules that ``validate_rule`` takes.

    Args:
        group: Where all of them lead; None: nowhere yet.
        upstream: The same, within a group.
    """
    # Most rules are of HTTP, and have more that they may ask for.
    kinds = (_http_rules(), _http_rules(), _http_rules(), _call_rules(), _tcp_rules())
    return st.one_of(*kinds).map(lambda made: _leading(made, group, upstream))


def group_rules(upstreams: Sequence[str], *, max_size: int = 6) -> st.SearchStrategy[tuple[Rule, ...]]:
    """Rules that lead to one of ``upstreams``, without those for TCP, which goes without rules.

    Args:
        upstreams: Names, at least one.
        max_size: Most rules.
    """
    rule = st.builds(_leading, _http_rules() | _call_rules(), st.none(), st.sampled_from(upstreams))
    return st.lists(rule, max_size=max_size).map(tuple)


def _leading(rule: Rule, group: str | None, upstream: str | None) -> Rule:
    return msgspec.structs.replace(rule, group=group, upstream=upstream)


def _http_rules() -> st.SearchStrategy[Rule]:
    # What asks for everything at once is hardly ever met.
    asking = st.one_of(
        st.just(Rule()),
        st.builds(Rule, protocol=st.sampled_from(["http", "websocket", "grpc"])),
        st.builds(Rule, methods=st.lists(st.sampled_from(METHODS), min_size=1, unique=True).map(tuple)),
        st.builds(Rule, headers=_matches(), priority=st.none() | st.integers(-2, 2)),
        st.builds(Rule, query=_matches()),
    )
    return st.builds(_where, asking, _hosts(), _paths())


def _call_rules() -> st.SearchStrategy[Rule]:
    made = st.sampled_from(_CALLS).map(lambda call: Rule(service=call[0], method=call[1]))
    return st.builds(_where, made, _hosts(), st.just(("path", None)))


def _tcp_rules() -> st.SearchStrategy[Rule]:
    return st.builds(_where, st.just(Rule(protocol="tcp")), _hosts(), st.just(("path", None)))


def _matches() -> st.SearchStrategy[dict[str, str | ValueMatch]]:
    match = st.sampled_from(FIELD_VALUES) | st.sampled_from([ValueMatch(present=True), ValueMatch(regex="1|2")])
    return st.builds(lambda name, wanted: {name: wanted}, st.sampled_from(FIELD_NAMES), match)


def _hosts() -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(HOSTS) | st.sampled_from(_WILDCARDS)


def _paths() -> st.SearchStrategy[tuple[str, str | None]]:
    # Rules do not have the empty segments that requests may have.
    path = st.lists(st.sampled_from([each for each in SEGMENTS if each]), max_size=3).map(
        lambda segments: "/" + "/".join(segments)
    )
    return st.one_of(
        st.just(("path", None)),
        st.tuples(st.sampled_from(["path", "path_prefix"]), path),
        st.tuples(st.just("path_regex"), st.sampled_from(_PATTERNS)),
    )


def _where(rule: Rule, host: str | None, path: tuple[str, str | None]) -> Rule:
    key, value = path
    return msgspec.structs.replace(rule, host=host, **{key: value})

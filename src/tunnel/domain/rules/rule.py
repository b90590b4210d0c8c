"""One routing rule, as configuration writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

__all__ = ["Rule", "ValueMatch", "ValueMatches"]


class ValueMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What is asked of a header or a query parameter, if not one exact value: one of the two.

    Args:
        regex: Pattern that matches the whole value.
        present: True: it is there, with whatever value.
    """

    regex: str | None = None
    present: bool | None = None


ValueMatches: TypeAlias = Mapping[str, str | ValueMatch]
"""By name: the exact value, or what else is asked of it."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Says which requests go to a group (on the server) or to an upstream (within a group).

    A request falls under a rule when all its predicates hold. Whatever is None does not restrict. Decoding checks types
    only; ``validate_rule`` checks the rest.

    Args:
        host: ``app.example.test``, ``*.example.test`` (one or more labels, never the bare domain) or ``[::1]``;
            ASCII, compared without case and without port.
        path: The whole path, exactly.
        path_prefix: Leading whole segments of the path; one trailing slash is ignored, so ``/`` matches every path.
        group: Which group serves it (rules of the server).
        upstream: Which upstream serves it (rules of a group, and forward rules).
        priority: Decides between rules that match equally closely: the higher number first. None counts as 0.
        protocol: Only sessions of this protocol: ``http``, ``grpc``, ``websocket`` or ``tcp``. None: any but ``tcp``.
        path_regex: Pattern that matches the whole normal form of the path.
        methods: One of these request methods, compared with case.
        headers: By name, compared without case. Repeated fields are one value, joined with ``, ``.
        query: By name, compared with case. Of repeated parameters the first counts.
        service: Only gRPC calls of this service, ``pkg.Svc``.
        method: Only gRPC calls of this method.
        middleware: Names of ``[middleware.NAME]`` tables, through which its conversations go; the first is the
            outermost. No predicate.

    Source: Gateway API, HTTPRoute: ``hostnames``, ``HTTPRouteMatch``; GRPCRoute: ``GRPCMethodMatch``.
    """

    host: str | None = None
    path: str | None = None
    path_prefix: str | None = None
    group: str | None = None
    upstream: str | None = None
    priority: int | None = None
    protocol: str | None = None
    path_regex: str | None = None
    methods: tuple[str, ...] | None = None
    headers: ValueMatches | None = None
    query: ValueMatches | None = None
    service: str | None = None
    method: str | None = None
    middleware: tuple[str, ...] | None = None

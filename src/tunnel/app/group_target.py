"""The server's hop: which group serves a conversation."""

from __future__ import annotations

from collections.abc import Mapping

from tunnel.app.group import Group
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.engine import RulesEngine
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.telemetry import SessionFailed, Telemetry

__all__ = ["GroupTarget"]

_VISITORS_OWN = frozenset({ErrorCode.BAD_REQUEST, ErrorCode.ROUTE_NOT_FOUND, ErrorCode.TOO_LARGE})
"""Failures that tell something of the request and nothing of this server."""


class GroupTarget(ProxyTarget):
    """Routes each conversation to the group that its rule names.

    Args:
        rules: Compiled; each names a group.
        groups: By name.
        telemetry: Told of conversations that failed, other than by what was asked for.
    """

    def __init__(self, rules: RulesEngine, groups: Mapping[str, Group], telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._rules = rules
        self._groups = groups

    async def handle(self, stream: Stream) -> None:
        try:
            await self._group(stream).handle(stream)
        except SessionError as exc:
            if exc.code not in _VISITORS_OWN:
                self._telemetry.record(SessionFailed(exc.code.value, exc.message, exc.detail))
            raise

    def _group(self, stream: Stream) -> Group:
        head = stream.head
        if not isinstance(head, HttpRequest):
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "only HTTP is routed here")
        rule = self._rules.match(head)
        if rule is None or rule.group is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        return self._groups[rule.group]

"""The server's hop: which group serves a conversation, and which of its clients."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from tunnel.app.tunnel import Tunnel
from tunnel.app.tunnel_target import Attempt, TunnelTarget
from tunnel.domain.balancing import Strategy
from tunnel.domain.configuration import GroupSettings
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.random_source import RandomSource
from tunnel.domain.registry import Registry, Selectable
from tunnel.domain.rules.engine import RulesEngine
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.ports.telemetry import SessionFailed, Telemetry

__all__ = ["Group", "GroupTarget"]

_ATTEMPTS = 3
"""Members asked at most, while each refuses without having seen the conversation start."""


_VISITORS_OWN = frozenset({ErrorCode.BAD_REQUEST, ErrorCode.ROUTE_NOT_FOUND, ErrorCode.TOO_LARGE})
"""Failures that tell something of the request and nothing of this server."""


class Group:
    """The clients that serve the same things, and the requests that wait for one of them.

    Args:
        name: As configured.
        settings: As configured.
        strategy: Chooses among the clients.
        registry: Who is there.
        random: For the strategy.
    """

    def __init__(
        self, name: str, settings: GroupSettings, strategy: Strategy, registry: Registry[Tunnel], random: RandomSource
    ) -> None:
        self.name = name
        self._settings = settings
        self._strategy = strategy
        self._registry = registry
        self._random = random
        self._waiting = 0
        self._arrival: anyio.Event | None = None

    def arrived(self) -> None:
        """A client of this group can be selected now."""
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    async def select(self, refused: set[str]) -> Selectable[Tunnel]:
        """One of the clients; waits for one as long as configured.

        Args:
            refused: Tunnels not to be chosen again.

        Raises:
            SessionError: ``no_client``, ``overloaded`` when too many wait already.
        """
        chosen = self._choose(refused)
        if chosen is None and self._settings.wait_for_client_s > 0:
            chosen = await self._wait(refused)
        if chosen is None:
            raise SessionError(ErrorCode.NO_CLIENT, "no client is connected", detail=f"group {self.name}")
        return chosen

    def _choose(self, refused: set[str]) -> Selectable[Tunnel] | None:
        candidates = self._registry.candidates(self.name)
        if refused:
            candidates = tuple(each for each in candidates if each.tunnel_id not in refused)
        if not candidates:
            return None
        return candidates[0] if len(candidates) == 1 else self._strategy.choose(candidates, self._random)

    async def _wait(self, refused: set[str]) -> Selectable[Tunnel] | None:
        if self._waiting >= self._settings.max_waiting:
            raise SessionError(ErrorCode.OVERLOADED, "too many requests wait for a client", detail=f"group {self.name}")
        self._waiting += 1
        chosen = None
        try:
            with anyio.move_on_after(self._settings.wait_for_client_s):
                while chosen is None:
                    if self._arrival is None:
                        self._arrival = anyio.Event()
                    await self._arrival.wait()
                    chosen = self._choose(refused)
        finally:
            self._waiting -= 1
        return chosen


class GroupTarget(ProxyTarget):
    """Routes each conversation to a client of the group that its rule names.

    A client that refuses a conversation which provably never started is passed over for another.

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
            await self._route(stream)
        except SessionError as exc:
            if exc.code not in _VISITORS_OWN:
                self._telemetry.record(SessionFailed(exc.code.value, exc.message, exc.detail))
            raise

    async def _route(self, stream: Stream) -> None:
        head = stream.head
        if not isinstance(head, HttpRequest):
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "only HTTP is routed here")
        rule = self._rules.match(head)
        if rule is None or rule.group is None:
            raise SessionError(ErrorCode.ROUTE_NOT_FOUND, "no route matches this request")
        group = self._groups[rule.group]
        refused: set[str] = set()
        while True:
            selected = await group.select(refused)
            attempt = Attempt()
            lease = selected.acquire()
            try:
                await TunnelTarget(selected.tunnel, attempt).handle(stream)
            except SessionError as exc:
                refused.add(selected.tunnel_id)
                if exc.code is not ErrorCode.REFUSED or attempt.consumed or len(refused) >= _ATTEMPTS:
                    raise
            else:
                return
            finally:
                lease.release()

"""A server as operators see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

import anyio.lowlevel
import anyio.to_thread

import tunnel
from tunnel.app.asked_request import asked_request, parse_method, parse_url
from tunnel.app.claim_inspection import claim_of, explained_claim, ordered
from tunnel.app.claims import Claims
from tunnel.app.entrances import Entrances
from tunnel.app.forward_book import FORWARD_RULES, ForwardBook
from tunnel.app.link_service import ServerLinks
from tunnel.app.redaction import redacted, redacted_rule
from tunnel.app.routes import Routes
from tunnel.app.rule_book import RuleBook, explained
from tunnel.app.tunnel import Tunnel
from tunnel.app.tunnel_load import TunnelLoad, tunnel_view
from tunnel.domain.claims.claim import Claim, group_label
from tunnel.domain.configuration import ServerSettings
from tunnel.domain.configuration.mistakes import key_path, unknown_name
from tunnel.domain.mux.budget import Budget
from tunnel.domain.registry import Registry, Selectable
from tunnel.domain.rules.rule import Rule
from tunnel.ports.clock import Clock
from tunnel.ports.inspection import (
    ClientPage,
    ClientView,
    Explained,
    GroupLoad,
    Measurement,
    ProcessLoad,
    Readiness,
    RulePage,
    RuleView,
    ServerInspection,
    Stats,
    Status,
    TunnelView,
)

__all__ = ["InspectedServer", "ServerParts"]

_STEP: Final = 250
"""Clients that are looked at in one go."""

_ASIDE_RULES: Final = 500
"""From so many rules on a thread looks at them: they take some milliseconds, in which no frame would move."""

T = TypeVar("T")


class ServerParts(NamedTuple):
    """What there is to look at."""

    registry: Registry[Tunnel]
    claims: Claims
    links: ServerLinks
    routes: Routes
    entrances: Entrances
    budget: Budget
    clock: Clock
    process: Callable[[], ProcessLoad]


class InspectedServer(ServerInspection):
    """Reads what the parts of a server know.

    Args:
        parts: The parts.
        settings: Tells the settings in force and their version.
        phase: Tells why the server takes no traffic, ``starting`` or ``draining``; empty when it does.
    """

    def __init__(
        self, parts: ServerParts, *, settings: Callable[[], tuple[ServerSettings, int]], phase: Callable[[], str]
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._phase = phase
        self._started_at = parts.clock.now()
        self._book = RuleBook(settings()[0])

    def readiness(self) -> Readiness:
        return self._parts.entrances.readiness(self._phase())

    async def status(self) -> Status:
        parts = self._parts
        settings, settings_version = self._settings()
        readiness = self.readiness()
        tunnels = parts.registry.tunnels()
        return Status(
            kind="server",
            version=tunnel.__version__,
            uptime_s=parts.clock.now() - self._started_at,
            settings_version=settings_version,
            ready=readiness.ready,
            reasons=readiness.reasons,
            listeners=parts.entrances.views(),
            clients=parts.registry.member_count,
            tunnels=len(tunnels),
            sessions=sum(each.mux.session_count for each in tunnels),
            groups=tuple(settings.groups),
            claims=len(parts.claims),
        )

    async def stats(self) -> Stats:
        return (await self._held())[0]

    async def _held(self) -> tuple[Stats, TunnelLoad]:
        parts = self._parts
        tunnels = parts.registry.tunnels()
        load = TunnelLoad()
        await load.add(tunnels)
        stats = load.stats(
            links=parts.links.links,
            waiting_requests=sum(parts.routes.waiting().values()),
            budget=parts.budget,
            process=parts.process(),
        )
        return stats, load

    async def measure(self) -> Measurement:
        parts = self._parts
        stats, load = await self._held()
        return Measurement(
            readiness=self.readiness(),
            version=tunnel.__version__,
            settings_version=self._settings()[1],
            listeners=parts.entrances.views(),
            stats=stats,
            budget_bytes=parts.budget.limit_bytes,
            groups=await self._groups(),
            round_trips_s=tuple(load.round_trips_s),
        )

    async def _groups(self) -> tuple[GroupLoad, ...]:
        waiting = self._parts.routes.waiting()
        registry = self._parts.registry
        clients: dict[str, Counter[str]] = {name: Counter() for name in waiting}
        tunnels: dict[str, Counter[str]] = {name: Counter() for name in waiting}
        sessions: Counter[str] = Counter()
        for offset in range(0, registry.member_count, _STEP):
            for record in registry.records(offset, _STEP):
                # A group that is gone has clients until they have left.
                group = group_label(record.group)
                if group in waiting:
                    clients[group][record.health.value] += 1
                    sessions[group] += record.in_flight
                    tunnels[group].update(each.state.value for each in record.tunnels)
            await anyio.lowlevel.checkpoint()
        return tuple(
            GroupLoad(
                group=name,
                clients=clients[name],
                tunnels=tunnels[name],
                sessions=sessions[name],
                waiting_requests=waiting[name],
            )
            for name in waiting
        )

    async def config(self) -> Mapping[str, object]:
        settings = self._settings()[0]
        return await _aside(settings, partial(redacted, settings))

    async def clients(self, *, offset: int, limit: int) -> ClientPage:
        registry = self._parts.registry
        total = registry.member_count
        views: list[ClientView] = []
        for start in range(offset, min(offset + limit, total), _STEP):
            size = min(_STEP, offset + limit - start)
            views += [self._client(each) for each in registry.members(start, size)]
            await anyio.lowlevel.checkpoint()
        return ClientPage(
            total=total,
            generation=registry.generation,
            next_offset=offset + limit if offset + limit < total else None,
            clients=tuple(views),
        )

    def _client(self, tunnels: tuple[Selectable[Tunnel], ...]) -> ClientView:
        newest = tunnels[-1].owner
        return ClientView(
            principal=newest.key.principal,
            client_id=newest.key.client_id,
            group=newest.group,
            health=newest.health.state.value,
            sessions=sum(each.in_flight for each in tunnels),
            tunnels=tuple(_tunnel(each) for each in tunnels),
        )

    async def rules(self, *, group: str | None, offset: int, limit: int, forward: str | None = None) -> RulePage | None:
        book = self._rule_book()
        if forward is not None:
            if forward not in book.settings.groups:
                return None
            return await _aside(book.settings, partial(_forward_page, book, forward, offset=offset, limit=limit))
        if group is not None and group not in book.settings.groups:
            return None
        if group is None and self._parts.claims:
            claims = tuple(each.claim for each in self._parts.claims)
            return await _aside(
                book.settings, partial(_page_with_claims, book, claims, offset=offset, limit=limit), more=len(claims)
            )
        return await _aside(book.settings, partial(_page, book, group, offset=offset, limit=limit))

    async def explain(self, url: str, *, method: str | None, forward: str | None = None) -> Explained:
        head = asked_request(parse_url(url), method=parse_method(method or "GET"))
        book = self._rule_book()
        settings = book.settings
        if forward is not None:
            if forward not in settings.groups:
                raise unknown_name(forward, settings.groups, "forward", kind="group", add="[groups.NAME]")
            route = ForwardBook(settings.forward, forward).route
            return await _aside(settings, lambda: explained(route(head), redacted_rule))
        claim = claim_of(self._parts.claims, head)
        if claim is not None:
            return await _aside(settings, lambda: explained_claim(book.route(head), claim, redacted_rule))
        return await _aside(settings, lambda: explained(book.route(head), redacted_rule))

    def _rule_book(self) -> RuleBook:
        settings = self._settings()[0]
        if self._book.settings is not settings:
            self._book = RuleBook(settings)
        return self._book


async def _aside(settings: ServerSettings, work: Callable[[], T], *, more: int = 0) -> T:
    """The result of ``work``, which takes time linear in the number of rules: when they are many, of a thread's.

    Args:
        settings: That have the rules.
        work: Touches nothing that changes.
        more: Claims that are treated like rules.
    """
    rules = (settings.rules, settings.forward.rules, *(group.rules for group in settings.groups.values()))
    if more + sum(map(len, rules)) < _ASIDE_RULES:
        return work()
    return await anyio.to_thread.run_sync(work)


def _tunnel(selectable: Selectable[Tunnel]) -> TunnelView:
    return tunnel_view(
        selectable.tunnel,
        tunnel_id=selectable.tunnel_id,
        state=selectable.state.value,
        published=selectable.published,
        config_version=selectable.config_version,
        config_hash=selectable.config_hash,
    )


def _page(book: RuleBook, group: str | None, *, offset: int, limit: int) -> RulePage:
    rules = book.rules(group)
    place = "rules" if group is None else key_path("groups", group, "rules")
    return _views(place, book.order(group), rules.__getitem__, offset=offset, limit=limit)


def _forward_page(book: RuleBook, group: str, *, offset: int, limit: int) -> RulePage:
    forward = ForwardBook(book.settings.forward, group)
    return _views(FORWARD_RULES, forward.order(), forward.rule, offset=offset, limit=limit)


def _views(place: str, order: Sequence[int], rule: Callable[[int], Rule], *, offset: int, limit: int) -> RulePage:
    return RulePage(
        total=len(order),
        next_offset=offset + limit if offset + limit < len(order) else None,
        rules=tuple(RuleView(f"{place}[{each}]", redacted_rule(rule(each))) for each in order[offset : offset + limit]),
    )


def _page_with_claims(book: RuleBook, claims: tuple[Claim, ...], *, offset: int, limit: int) -> RulePage:
    rules = ordered(book, claims)
    return RulePage(
        total=len(rules),
        next_offset=offset + limit if offset + limit < len(rules) else None,
        rules=tuple(RuleView(key, redacted_rule(rule)) for key, rule in rules[offset : offset + limit]),
    )

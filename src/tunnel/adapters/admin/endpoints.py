"""All that can be asked of a server, and of a client."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import anyio.to_thread
import msgspec

from tunnel.adapters.admin.answer import Answer, ProblemAnswer, json_answer
from tunnel.adapters.admin.endpoint import Asked, Endpoint
from tunnel.adapters.admin.openapi import openapi_document
from tunnel.adapters.admin.query import Parameter
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.metrics import Counters
from tunnel.ports.inspection import (
    ClientInspection,
    ClientPage,
    Explained,
    Inspection,
    Readiness,
    RulePage,
    ServerInspection,
    Stats,
    Status,
    TunnelView,
)

__all__ = ["Health", "Tunnels", "client_endpoints", "server_endpoints"]

MAX_PAGE: Final = 1000
"""Entries of a page; its answer is made in a few milliseconds."""

_LIMIT: Final = Parameter("limit", "most entries to show", least=1, most=MAX_PAGE, default=100)
_OFFSET: Final = Parameter("offset", "entries to pass over", least=0)
_GROUP: Final = Parameter("group", "rules of this group instead of the server's")
_FORWARD: Final = Parameter("forward", "forward rules that name this group, which is a client's at its entry")
_URL: Final = Parameter("url", "explain where a request for this URL goes instead of listing rules")
_METHOD: Final = Parameter("method", "method of that request; GET if not given")


class Health(msgspec.Struct, frozen=True):
    """That the process answers.

    Args:
        alive: Always true.
    """

    alive: bool = True


class Tunnels(msgspec.Struct, frozen=True):
    """A client's tunnels.

    Args:
        tunnels: One; two while it changes over to other settings.
    """

    tunnels: tuple[TunnelView, ...]


def server_endpoints(inspection: ServerInspection, counters: Counters) -> tuple[Endpoint, ...]:
    """What a server shows: what ``inspection`` sees, and what was counted."""

    async def clients(asked: Asked) -> Answer:
        query = asked.query
        return json_answer(await inspection.clients(offset=query.integer("offset"), limit=query.integer("limit")))

    async def rules(asked: Asked) -> Answer:
        query = asked.query
        url, method, group = query.text("url"), query.text("method"), query.text("group")
        forward = query.text("forward")
        query.expect_alone("url", "group", "offset", "limit")
        query.expect_alone("forward", "group")
        if url is None and method is not None:
            raise ProblemAnswer(400, "bad_request", "the parameter method goes with url")
        if url is not None:
            try:
                return json_answer(await inspection.explain(url, method=method, forward=forward))
            except ConfigurationError as exc:
                raise ProblemAnswer(400, "bad_request", str(exc)) from exc
        page = await inspection.rules(
            group=group, offset=query.integer("offset"), limit=query.integer("limit"), forward=forward
        )
        if page is None:
            raise ProblemAnswer(404, "not_found", "there is no such group")
        return json_answer(page)

    return _with_document(
        *_common(inspection, counters, ready_when="all listeners accept and the server does not drain"),
        Endpoint(
            path="/api/clients",
            name="clients",
            summary="Clients in order of registration, with their tunnels",
            answer=clients,
            shows=(ClientPage,),
            parameters=(_OFFSET, _LIMIT),
        ),
        Endpoint(
            path="/api/rules",
            name="rules",
            summary="Rules in the order in which they are considered, or where a request goes",
            answer=rules,
            shows=(RulePage, Explained),
            parameters=(_GROUP, _FORWARD, _OFFSET, _LIMIT, _URL, _METHOD),
        ),
    )


def client_endpoints(inspection: ClientInspection, counters: Counters) -> tuple[Endpoint, ...]:
    """What a client shows: what ``inspection`` sees, and what was counted."""

    async def tunnels(asked: Asked) -> Answer:
        return json_answer(Tunnels(await inspection.tunnels()))

    return _with_document(
        *_common(inspection, counters, ready_when="a server sends conversations here"),
        Endpoint(path="/api/tunnels", name="tunnels", summary="Its tunnels", answer=tunnels, shows=(Tunnels,)),
    )


def _common(inspection: Inspection, counters: Counters, *, ready_when: str) -> tuple[Endpoint, ...]:
    async def healthz(asked: Asked) -> Answer:
        return json_answer(Health())

    async def readyz(asked: Asked) -> Answer:
        readiness = inspection.readiness()
        return json_answer(readiness, status=200 if readiness.ready else 503)

    async def metrics(asked: Asked) -> Answer:
        # Imported when somebody scrapes, and by a thread: it and the library that it needs take a while.
        module = await anyio.to_thread.run_sync(import_module, "tunnel.adapters.admin.metrics")
        media_type, body = await module.exposition(await inspection.measure(), counters, asked.accept)
        return Answer(200, body, media_type)

    async def status(asked: Asked) -> Answer:
        return json_answer(await inspection.status())

    async def stats(asked: Asked) -> Answer:
        return json_answer(await inspection.stats())

    async def config(asked: Asked) -> Answer:
        return json_answer(await inspection.config())

    return (
        Endpoint(
            path="/healthz",
            name="healthz",
            summary="200 as long as the process answers",
            answer=healthz,
            shows=(Health,),
            public=True,
        ),
        Endpoint(
            path="/readyz",
            name="readyz",
            summary=f"200 while {ready_when}, else 503 with the reasons",
            answer=readyz,
            shows=(Readiness,),
            statuses=(200, 503),
            public=True,
        ),
        Endpoint(
            path="/metrics",
            name="metrics",
            summary="Metrics for Prometheus, as text or as OpenMetrics",
            answer=metrics,
            media_type="text/plain",
        ),
        Endpoint(path="/api/status", name="status", summary="It as a whole", answer=status, shows=(Status,)),
        Endpoint(path="/api/stats", name="stats", summary="What it holds now", answer=stats, shows=(Stats,)),
        Endpoint(
            path="/api/config",
            name="config",
            summary="Settings in force, secrets left out",
            answer=config,
            shows=(dict[str, Any],),
        ),
    )


def _with_document(*endpoints: Endpoint) -> tuple[Endpoint, ...]:
    """All of ``endpoints``, and one that describes them and itself."""

    async def openapi(asked: Asked) -> Answer:
        return json_answer(await anyio.to_thread.run_sync(openapi_document, everything))

    own = Endpoint(
        path="/api/openapi.json",
        name="openapi",
        summary="This description",
        answer=openapi,
        shows=(dict[str, Any],),
    )
    everything = (*endpoints, own)
    return everything

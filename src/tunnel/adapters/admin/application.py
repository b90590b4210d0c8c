"""The admin port as an ASGI application, which any server may serve."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

import anyio

from tunnel.adapters.admin.access import check_access
from tunnel.adapters.admin.answer import Answer, ProblemAnswer
from tunnel.adapters.admin.endpoint import Asked, Endpoint
from tunnel.adapters.admin.query import Query
from tunnel.domain.configuration import AdminSettings

__all__ = ["AdminApplication", "Message", "Receive", "Send"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_logger: Final = logging.getLogger("tunnel.admin")

_AT_ONCE: Final = 4
"""Answers that are made at the same time; others wait. Each looks at everything there is."""


class AdminApplication:
    """Answers GET and HEAD for its endpoints, whole and at once; does not read request bodies.

    Whatever goes wrong is a problem document. Needs nothing of asyncio's.

    Args:
        settings: Who may look; replaced by a reload.
        endpoints: What there is to see.
    """

    def __init__(self, settings: AdminSettings, endpoints: Sequence[Endpoint]) -> None:
        self.settings = settings
        self._endpoints = {each.path: each for each in endpoints}
        self._turns = anyio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope; of other types than ``http`` it knows none."""
        if scope["type"] != "http":
            raise NotImplementedError(f"only HTTP is answered here, not {scope['type']}")
        try:
            answer = await self._answer(scope)
        except ProblemAnswer as problem:
            answer = problem.answer
        except Exception:
            _logger.exception("%s could not be answered", scope["path"])
            answer = ProblemAnswer(500, "internal", "the request could not be answered").answer
        await _send(scope, send, answer)

    async def turn_away(self, scope: Message, send: Send) -> None:
        """Answer a request without looking at it: there are too many who ask."""
        await _send(scope, send, ProblemAnswer(503, "overloaded", "too many connections are open").answer)

    async def _answer(self, scope: Message) -> Answer:
        endpoint = self._endpoints.get(scope["path"])
        if endpoint is None or not endpoint.public:
            # Before anything else: to those who may not look, nothing is there.
            check_access(self.settings, scope["headers"])
        if endpoint is None:
            raise ProblemAnswer(404, "not_found", "there is nothing at this path; see /api/openapi.json")
        if scope["method"] not in ("GET", "HEAD"):
            allow = ((b"allow", b"GET, HEAD"),)
            raise ProblemAnswer(405, "method_not_allowed", "only GET and HEAD are allowed", headers=allow)
        query = Query.parse(scope["query_string"], endpoint.parameters)
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        asked = Asked(query, accept)
        if endpoint.public:
            # Probes do not wait for those who look at everything.
            return await endpoint.answer(asked)
        async with self._turns:
            return await endpoint.answer(asked)


async def _send(scope: Message, send: Send, answer: Answer) -> None:
    headers = answer.fields
    if _has_body(scope):
        # It stays unread, and what follows it on the connection could not be told from it.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


def _has_body(scope: Message) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )

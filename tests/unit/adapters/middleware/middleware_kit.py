"""Conversations through one middleware, without a server."""

from __future__ import annotations

from typing import Any

from dependency_injector import providers
from support.app_kit import FakeStream

from tunnel.app.container import ServerContainer
from tunnel.app.middlewares import Middlewares
from tunnel.domain.configuration import MiddlewareSettings
from tunnel.domain.envelopes import HttpRequest, HttpResponse, Opening
from tunnel.domain.rules.rule import Rule
from tunnel.ports.target import ProxyTarget, Stream
from tunnel.testing.manual_clock import ManualClock

GET = HttpRequest("GET", b"/", host=b"app.test", headers=(b"host", b"app.test"), end=True)


class Answering(ProxyTarget):
    """Notes openings, and answers each with the same."""

    def __init__(self, *answer: Any) -> None:
        self.heads: list[Opening] = []
        self.answer = answer or (HttpResponse(200, (b"server", b"app"), b"ok", end=True),)

    async def handle(self, stream: Stream) -> None:
        self.heads.append(stream.head)
        for each in self.answer:
            if isinstance(each, BaseException):
                raise each
            await stream.send(each)


class Guarded:
    """A target behind middleware.

    Args:
        tables: As in a file, by name, the outermost first.
        target: What answers.
        rule: Of whose conversations.
    """

    def __init__(self, tables: dict[str, dict[str, Any]], target: Answering | None = None, **rule: Any) -> None:
        self.clock = ManualClock(1000.0)
        container = ServerContainer()
        container.clock.override(providers.Object(self.clock))
        settings = {
            name: MiddlewareSettings(table["use"], {key: value for key, value in table.items() if key != "use"})
            for name, table in tables.items()
        }
        self.target = target or Answering()
        self._rule = Rule(path_prefix="/", middleware=tuple(tables), **rule)
        self._all = Middlewares(
            settings, (self._rule,), place="rules", kinds=container.middleware, start=lambda work: None
        )

    async def ask(self, head: Opening = GET, *body: Any, peer: str = "192.0.2.1") -> FakeStream:
        """Have one conversation; what was sent is in the stream that is returned."""
        stream = FakeStream(head, body)  # type: ignore[arg-type]  # any opening has a head
        stream.peer = peer
        chain = self._all.chain(self._rule)
        assert chain is not None
        passage = chain.passage(self.target, head)
        await (passage or self.target).handle(stream)
        return stream

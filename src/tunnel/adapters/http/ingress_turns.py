"""Giving the requests of a connection to the target, each in its turn."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tunnel.adapters.http.ingress_exchange import DEPARTED, Exchange
from tunnel.adapters.http.ingress_pipeline import Pipeline
from tunnel.adapters.http.ingress_service import IngressService
from tunnel.adapters.http.ingress_workers import RequestWorkers
from tunnel.domain.envelopes import HttpResponse
from tunnel.domain.errors import ErrorCode
from tunnel.domain.problem import problem

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl

__all__ = ["Turns"]

_RESET: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""SO_LINGER on, for 0 seconds: closing resets the connection."""


class Turns:
    """Has one request after another handled, while there are any and the visitor takes its answers.

    Args:
        pipeline: Where requests come from. Whose turn it is runs there.
        transport: The connection.
        flow: uvicorn's, of the connection.
        service: Handles the requests.
        loop: Of the connection.
        tasks: Where tasks are registered while they run; whoever owns it may cancel them.
        read_on: Goes on reading, where there is room. Called when a request no longer waits.
        hand_over: Gives the connection away, when it is the turn of a handshake.
    """

    __slots__ = ("_flow", "_hand_over", "_pipeline", "_read_on", "_service", "_transport", "_workers")

    def __init__(
        self,
        pipeline: Pipeline,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        service: IngressService,
        loop: asyncio.AbstractEventLoop,
        tasks: set[asyncio.Task[None]],
        read_on: Callable[[], None],
        hand_over: Callable[[Exchange], None],
    ) -> None:
        self._pipeline = pipeline
        self._transport = transport
        self._flow = flow
        self._service = service
        self._read_on = read_on
        self._hand_over = hand_over
        self._workers = RequestWorkers(loop, tasks, serve=self._serve, following=self._next)

    def advance(self) -> None:
        """Have the next request handled, if there is one and it is its turn."""
        exchange = self._next()
        if exchange is not None:
            self._workers.submit(exchange)

    def give_up(self) -> None:
        """Nobody waits for an answer any more: forget all requests, and cancel the one that is being handled."""
        running = self._pipeline.running
        self._pipeline.clear()
        if running is not None:
            # What the target says while it is being cancelled would wait for a visitor that is not there.
            running.error = running.error or DEPARTED
            self._workers.cancel()

    def close(self) -> None:
        """No more requests come."""
        self._workers.close()

    def cut(self, exchange: Exchange) -> None:
        """End the connection so that the response is seen not to be whole."""
        if exchange.ends_with_connection:
            # Only a reset tells. What of the response is still on its way is lost to it.
            accepted = self._transport.get_extra_info("socket")
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()  # what was sent arrives

    def _next(self) -> Exchange | None:
        """Take up the next request, if it is its turn, answering what is refused."""
        pipeline = self._pipeline
        waiting = pipeline.waiting
        while waiting and pipeline.running is None and not self._flow.write_paused and not self._transport.is_closing():
            exchange = pipeline.running = waiting.popleft()
            if self._flow.read_paused:
                self._read_on()
            if exchange.refusal is None and not exchange.head.end:
                if pipeline.switch is not None and exchange is pipeline.read:
                    self._hand_over(exchange)
                    return None
                exchange.begin()
            if exchange.refusal is None:
                return exchange
            self._refuse(exchange, exchange.refusal)
        return None

    def _refuse(self, exchange: Exchange, answer: HttpResponse) -> None:
        """No target has seen it, or is to."""
        if exchange.error is not None:
            self._service.refused(
                exchange.error, answer.status, exchange.head, request_id=exchange.request_id, peer=exchange.peer
            )
        exchange.answer(answer)

    async def _serve(self, exchange: Exchange) -> None:
        exchange.given = True
        try:
            error = await self._service.handle(exchange)
        except BaseException:
            if not exchange.answered:
                self._transport.abort()
            raise
        if error is None:
            return
        if exchange.rules.started:
            self._pipeline.running = None
            self.cut(exchange)
        else:
            if error.code is ErrorCode.BAD_REQUEST:
                exchange.keep_alive = False  # a visitor that we misunderstand may have meant what follows otherwise too
            exchange.answer(problem(error, request_id=exchange.request_id))

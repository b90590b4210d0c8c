"""Sending a conversation through a tunnel."""

from __future__ import annotations

import anyio

from tunnel.app.attempt import Attempt
from tunnel.app.session_stream import SessionStream
from tunnel.app.tunnel import Tunnel
from tunnel.domain.envelopes import GrpcFrame, HttpResponse, SessionPayload, TcpOpen
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.expectation import awaits_permission, is_permission
from tunnel.domain.mux.pieces import split
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["TunnelTarget"]


class TunnelTarget(ProxyTarget):
    """Relays a conversation to the other end of a tunnel, both directions at once.

    Args:
        tunnel: The tunnel.
        attempt: Told how far it got; what it holds of an earlier try is sent first.
    """

    __slots__ = ("_attempt", "_tunnel")

    def __init__(self, tunnel: Tunnel, attempt: Attempt) -> None:
        self._tunnel = tunnel
        self._attempt = attempt

    async def handle(self, stream: Stream) -> None:
        head = stream.head
        limit = self._tunnel.mux.opening_cost
        rest: list[SessionPayload] = []
        opening = head
        cost = head.cost
        if cost > limit:
            first, *rest = split(head, limit)
            opening = first  # type: ignore[assignment]  # the first piece of an opening is one
            cost = first.cost
        attempt = self._attempt
        attempt.begin()
        session = self._tunnel.open(opening, cost)
        try:
            if head.end and not rest:
                await self._answer(session, stream)
            elif type(head) is TcpOpen:
                await self._each(session, stream)
            else:
                await self._both(session, stream, rest)
        except SessionError as exc:
            attempt.fail(started=session.started, credited=session.credited)
            # The session's own failure, which it knows of, or the visitor's side refusing what came.
            session.reset(exc)
            raise
        except BaseException:
            session.reset(SessionError(ErrorCode.CANCELLED, "the visitor left"))
            raise
        finally:
            session.finish()

    async def _both(self, session: SessionStream, stream: Stream, rest: list[SessionPayload]) -> None:
        error: SessionError | SendingStopped | None = None
        permission = anyio.Event() if awaits_permission(stream.head) else None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._upload, session, stream, rest, permission)
            try:
                await self._answer(session, stream, permission)
            except (SessionError, SendingStopped) as exc:
                error = exc
            tasks.cancel_scope.cancel()
        if error is not None:
            raise error
        # Answered early: what is left of the request is not needed. Without effect when all of it was sent.
        session.reset(SessionError(ErrorCode.CANCELLED, "the answer is complete"))

    async def _each(self, session: SessionStream, stream: Stream) -> None:
        """TCP: each direction ends by itself, and the conversation is over when both have."""
        error: SessionError | SendingStopped | None = None
        listening = anyio.CancelScope()

        async def upload() -> None:
            await self._upload(session, stream, [], None)
            listening.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upload)
            try:
                await self._answer(session, stream)
                # The other half may go on for hours, waiting for the visitor: somebody has to hear of a reset.
                with listening:
                    await session.until_reset()
            except (SessionError, SendingStopped) as exc:
                error = exc
                tasks.cancel_scope.cancel()
        error = error or session.error
        if error is not None:
            raise error

    async def _upload(
        self, session: SessionStream, stream: Stream, rest: list[SessionPayload], permission: anyio.Event | None
    ) -> None:
        attempt = self._attempt
        try:
            for piece in rest:
                await session.send(piece)
            ended = stream.head.end
            for held in attempt.held:
                await session.send(held)
                ended = held.end
            if permission is not None:
                # Nothing is taken from the visitor before: to receive is to ask for the body.
                await permission.wait()
            while not ended:
                payload = await stream.receive()
                attempt.hold(payload)
                await session.send(payload)
                if session.credited:
                    attempt.let_go()
                ended = payload.end
        except SendingStopped:
            return
        except SessionError as exc:
            # The visitor's fault or the session's own end: either way the answering half now learns of it.
            session.reset(exc)

    async def _answer(self, session: SessionStream, stream: Stream, permission: anyio.Event | None = None) -> None:
        attempt = self._attempt
        payload = await session.receive()
        while permission is not None and is_permission(payload):
            attempt.let_go()
            permission.set()
            payload = await session.receive()
        attempt.answer(payload)
        # The end of a call comes with its last message, and is best told with it.
        end = session.take_end() if type(payload) is GrpcFrame else None
        await (stream.send(payload) if end is None else stream.conclude(payload, end))
        attempt.answered(payload)
        payload = end or payload
        if permission is not None:
            permission.set()  # what is received after the answer has begun is not asked for any more
        while not payload.end:
            payload = await session.receive()
            end = session.take_end() if type(payload) is GrpcFrame else None
            await (stream.send(payload) if end is None else stream.conclude(payload, end))
            attempt.sent_bytes += payload.carried_bytes
            payload = end or payload
        if type(payload) is not HttpResponse:
            attempt.end(payload)

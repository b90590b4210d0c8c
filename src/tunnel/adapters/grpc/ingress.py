"""The gRPC ingress: a listener for calls of any service, of which nothing is decoded.

Every method is served as one that streams both ways; on the wire a unary call is a stream of one message. Metadata and
bytes of messages are handed on as they come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Self

import anyio
import grpc
import grpc.aio

from tunnel.adapters.grpc.address import Reservation
from tunnel.adapters.grpc.call_habits import CallHabits
from tunnel.adapters.grpc.call_metadata import metadata_of, without
from tunnel.adapters.grpc.call_status import ERROR_KEY, FAILURE_STATUS, STATUS_OF_NUMBER, failure_text
from tunnel.adapters.grpc.ingress_call import NAME, IngressCall
from tunnel.adapters.grpc.ingress_methods import AnyMethod, metadata_bytes
from tunnel.adapters.grpc.options import ingress_options
from tunnel.adapters.grpc.server_stream import BytesContext, peer_host
from tunnel.adapters.grpc.standing_server import StandingServer
from tunnel.adapters.grpc.tls import server_credentials
from tunnel.domain.call_head import CallHead
from tunnel.domain.configuration import GrpcIngressSettings
from tunnel.domain.envelopes import GrpcFrame, Headers
from tunnel.domain.error_statuses import GRPC_STATUS
from tunnel.domain.errors import ErrorCode, ListenError, SessionError
from tunnel.domain.request_ids import REQUEST_ID, RequestIds
from tunnel.domain.tls_material import TlsMaterial
from tunnel.ports.ingress import Ingress
from tunnel.ports.target import ProxyTarget
from tunnel.ports.telemetry import RequestRefused, Telemetry

__all__ = ["GrpcIngress"]

_logger: Final = logging.getLogger("tunnel.ingress")

_CALLS: Final = 20_000
"""Calls under way at once; more are refused with ``RESOURCE_EXHAUSTED`` before anything is kept of them."""

_LAST_CALLS_S: Final = (0.2, 0.3)
"""How long calls are refused at most before gRPC stops listening, without a grace and with one: those who try again are
not waited for without end."""

_QUIET_S: Final = (0.01, 0.05)
"""Without a call, after which none waits: where nobody is calling, and where somebody is. gRPC hands waiting calls out
one after the other, on a busy machine with pauses, and callers of calls that have just ended begin others."""

_LOOK_S: Final = 0.01
"""Between two looks whether calls have come."""

_RELEASE_S: Final = 5.0
"""Seconds that calls have to end after they were told to."""

_FORWARDED: Final = frozenset({b"x-forwarded-for", b"forwarded"})
"""What a visitor says of its own address, which is nobody's word but its own."""


_OURS: Final = frozenset({ERROR_KEY.encode()})
"""What tells a failure of the tunnel's own from a status of an application, which must not look like one."""


class GrpcIngress(Ingress):
    """Listens for gRPC calls and gives each to the target as a ``Stream``. Needs asyncio.

    Args:
        settings: Limits and the host of the calls. Of other settings that are followed later, the limits hold from the
            next start of the listener on: gRPC fixes them when it begins to listen.
        name: Its name in logs and ready lines.
        tls: Asked at each handshake for what to prove; None: plain text.
        request_ids: Names calls, unless the settings say otherwise; None: they have no names.
        telemetry: Told of the calls that no target hears of; None: nobody is.
    """

    def __init__(
        self,
        settings: GrpcIngressSettings,
        *,
        name: str = "grpc",
        tls: Callable[[], TlsMaterial] | None = None,
        request_ids: RequestIds | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._settings = settings
        # gRPC does not keep them alive itself.
        self._credentials = None if tls is None else server_credentials(tls)
        self._limits = settings
        self._request_ids = request_ids
        self._telemetry = telemetry
        self._name = name
        self._reservation: Reservation | None = None
        self._address = settings.listen
        self._target: ProxyTarget | None = None
        self._habits = CallHabits()
        self._calls: set[IngressCall] = set()
        self._readers: set[asyncio.Task[None]] = set()
        self._leaving: asyncio.Event | None = None
        self._grace_s: float | None = None
        self._late_calls = 0
        self._idle: asyncio.Event | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def address(self) -> str:
        return self._address

    def bind(self) -> None:
        if self._reservation is None:
            self._reservation = Reservation(self._settings.listen)
            self._address = self._reservation.address

    async def serve(self, target: ProxyTarget, started: Callable[[], None]) -> None:
        if self._grace_s is not None:
            return
        self.bind()
        self._target = target
        self._leaving = asyncio.Event()
        server = StandingServer(self._server)
        await server.start()
        try:
            started()
            await self._leaving.wait()
            await self._finish(server)
        finally:
            with anyio.CancelScope(shield=True):
                await self._cut(server)

    def follow(self, successor: Self) -> None:
        self._settings = successor._settings

    def drain(self, grace_s: float) -> None:
        self._grace_s = grace_s if self._grace_s is None else min(grace_s, self._grace_s)
        if self._leaving is not None:
            self._leaving.set()
            if self._idle is not None and grace_s == 0:
                self._idle.set()
        elif self._reservation is not None:
            self._reservation.release()

    # -- the server

    def _server(self) -> grpc.aio.Server:
        assert self._reservation is not None
        limits = self._limits
        options = ingress_options(max_message_bytes=limits.max_message_bytes, max_header_bytes=limits.max_header_bytes)
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_CALLS)
        server.add_generic_rpc_handlers((AnyMethod(self._serve),))
        try:
            if self._credentials is None:
                server.add_insecure_port(self._reservation.release())
            else:
                server.add_secure_port(self._reservation.release(), self._credentials)
        except RuntimeError as error:
            raise ListenError(self._limits.listen, "another process took the address") from error
        return server

    async def _finish(self, server: StandingServer) -> None:
        """Let nobody in any more, and give the calls under way their time."""
        assert self._grace_s is not None
        self._idle = asyncio.Event()
        await self._refuse_late_calls()
        stopping = asyncio.create_task(server.stop(self._grace_s + _RELEASE_S), name="tunnel grpc ingress stop")
        try:
            async with asyncio.timeout(self._grace_s):
                while self._calls and self._grace_s:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _logger.info("%d calls were cut off at the end of their grace", len(self._calls))
        finally:
            self._end_calls()
            await asyncio.wait([stopping])

    async def _refuse_late_calls(self) -> None:
        """Have calls that are waiting to be handed out refused: a server that stops cancels them.

        A caller would take that for its own doing, and not try again elsewhere. Without a grace those under way are
        ended before, so that nobody waits for this.
        """
        time = asyncio.get_running_loop().time
        idle_s, busy_s = _QUIET_S
        quiet_s = busy_s if self._calls or self._grace_s else idle_s
        if not self._grace_s:
            self._end_calls()
        began = last = time()
        seen = self._late_calls
        while (now := time()) - last < quiet_s and now - began < _LAST_CALLS_S[bool(self._grace_s)]:
            await asyncio.sleep(_LOOK_S)
            if self._late_calls != seen:
                seen, last, quiet_s = self._late_calls, time(), busy_s

    async def _cut(self, server: StandingServer) -> None:
        """End what is left, and return when all of it was released."""
        self._end_calls()
        await server.stop(_RELEASE_S if self._calls else 0)
        for _ in range(2):
            if self._readers:
                await asyncio.wait(self._readers, timeout=_RELEASE_S)
        if self._calls or self._readers:
            _logger.warning("%d calls do not end though they were cancelled", len(self._calls) or len(self._readers))

    def _end_calls(self) -> None:
        for call in list(self._calls):
            call.end(_stopping())

    # -- calls

    async def _serve(self, call: CallHead | None, context: BytesContext) -> None:
        if call is None:
            error = SessionError(ErrorCode.ROUTE_NOT_FOUND, "the path is not one of a gRPC method")
            await self._refuse(context, error, path="")
            return
        if self._grace_s is not None:
            self._late_calls += 1
            await self._refuse(context, _stopping(), path=call.path.decode())
            return
        if len(self._calls) >= _CALLS:
            # gRPC counts for each server, of which there may be more for a while.
            error = SessionError(ErrorCode.OVERLOADED, "too many calls are under way")
            await self._refuse(context, error, path=call.path.decode())
            return
        call, request_id = self._identify(call)
        if metadata_bytes(call) > self._limits.max_header_bytes:
            # gRPC cancels such a call too, but hands it out first.
            error = SessionError(ErrorCode.TOO_LARGE, "the metadata are too large")
            await self._refuse(context, error, path=call.path.decode(), request_id=request_id)
            return
        peer = peer_host(context)
        stream = IngressCall(
            context,
            self._complete(call, peer),
            peer=peer,
            max_message_bytes=self._limits.max_message_bytes,
            named=bool(request_id),
        )
        self._calls.add(stream)
        reader = asyncio.create_task(stream.read(), name="tunnel grpc call reader")
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        path, waited = call.path, False
        try:
            waited = self._habits.single(path)
            if waited:
                await stream.whole()
            failure = await self._handle(stream)
            if stream.last is not None and failure is None:
                await stream.write_last()
        except asyncio.CancelledError:
            if not stream.ended_here:
                raise  # the visitor left
            _uncancel()
            failure = stream.error
        finally:
            stream.close()
            if stream.single:
                self._habits.saw_single(path)
            elif waited:
                self._habits.in_vain(path)
            self._calls.discard(stream)
            if self._idle is not None and not self._calls:
                self._idle.set()
        await stream.settle()
        if failure is None:
            assert stream.trailer is not None
            failure = _answer(context, stream.trailer, request_id)
        if failure is not None:
            await _fail(context, failure, request_id)

    async def _handle(self, stream: IngressCall) -> SessionError | None:
        """Have the target answer; why its answer is not complete, None when it is."""
        assert self._target is not None
        try:
            await self._target.handle(stream)
        except SessionError as exc:
            return stream.error or exc
        except Exception:
            _logger.exception("A target failed on %r", stream.head.service)
            return SessionError(ErrorCode.INTERNAL, "the call could not be handled")
        if stream.trailer is None or stream.error is not None:
            return stream.error or SessionError(ErrorCode.INTERNAL, "the call was not answered")
        return None

    async def _refuse(self, context: BytesContext, error: SessionError, *, path: str, request_id: bytes = b"") -> None:
        if self._telemetry is not None:
            self._telemetry.record(
                RequestRefused(
                    protocol="grpc",
                    code=error.code.value,
                    status=GRPC_STATUS[error.code],
                    request_id=request_id.decode(),
                    peer=peer_host(context),
                    method="POST",
                    path=path,
                )
            )
        await _fail(context, error, request_id)

    def _identify(self, call: CallHead) -> tuple[CallHead, bytes]:
        """``call`` with its name, and that; empty when it is to have none."""
        form = self._settings.request_id
        if self._request_ids is None or form == "off":
            return call, b""
        request_id, metadata = self._request_ids.identify(call.metadata, keep=form == "keep")
        return CallHead(call.service, call.method, metadata), request_id

    def _complete(self, call: CallHead, peer: str) -> CallHead:
        """Add what this ingress knows of a call: which host it is for, and who makes it."""
        host = self._settings.host
        metadata = without(call.metadata, _FORWARDED)
        if peer:
            metadata = (*metadata, b"x-forwarded-for", peer.encode())
        return CallHead(call.service, call.method, metadata, b"" if host is None else host.encode())


def _stopping() -> SessionError:
    return SessionError(ErrorCode.PEER_LOST, "the server is shutting down")


def _answer(context: BytesContext, trailer: GrpcFrame, request_id: bytes) -> SessionError | None:
    """Have gRPC end the call as ``trailer`` says when its handler returns; else why that cannot be."""
    status = STATUS_OF_NUMBER.get(trailer.status, grpc.StatusCode.UNKNOWN)
    try:
        metadata = _named(without(trailer.metadata, _OURS), request_id)
        context.set_trailing_metadata(metadata_of(metadata))
    except SessionError as exc:
        return exc
    context.set_code(status)
    context.set_details(trailer.message)
    return None


def _named(metadata: Headers, request_id: bytes) -> Headers:
    return (*without(metadata, NAME), REQUEST_ID, request_id) if request_id else metadata


async def _fail(context: BytesContext, error: SessionError, request_id: bytes = b"") -> None:
    context.set_trailing_metadata(((ERROR_KEY, error.code.value), *metadata_of(_named((), request_id))))
    context.set_code(FAILURE_STATUS[error.code])
    context.set_details(failure_text(error))


def _uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()

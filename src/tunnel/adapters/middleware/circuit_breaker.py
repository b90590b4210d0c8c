"""``use = "circuit_breaker"``: keeps requests away from what fails."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunnel.domain.envelopes import GrpcFrame, HttpResponse, SessionPayload
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.health import http_status
from tunnel.domain.middleware.circuit import Circuit
from tunnel.domain.refusal import Refusal
from tunnel.ports.clock import Clock
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import StreamAround
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["CircuitBreakerMiddleware", "CircuitBreakerOptions"]

_VISITORS_OWN = frozenset({ErrorCode.BAD_REQUEST, ErrorCode.ROUTE_NOT_FOUND, ErrorCode.TOO_LARGE, ErrorCode.CANCELLED})
"""Failures that say nothing of the target: whoever asks for what leads nowhere must not close it to the others."""


class CircuitBreakerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``.

    Args:
        failure_ratio: Of the requests in the window, from which on nothing passes.
        min_requests: In the window, below which the ratio says nothing.
        window_s: Seconds looked back on.
        open_s: Seconds for which nothing passes.
        probes: Requests that pass at the same time afterwards, and must succeed.
        statuses: Of answers that are failures; of gRPC calls the ones of HTTP that say the same.
    """

    failure_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    min_requests: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    window_s: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    open_s: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    probes: Annotated[int, Meta(ge=1, le=1000)] = 1
    statuses: tuple[Annotated[int, Meta(ge=400, le=599)], ...] = (500, 502, 503, 504)


class CircuitBreakerMiddleware(Middleware):
    """Refuses with 503 and ``Retry-After`` while the circuit is open. All rules that name it share the circuit.

    A request has an outcome when its answer begins, so that a long one does not keep the circuit half-open; a gRPC
    call when it ends, a TCP connection when it is over. Errors before that are failures, but for the visitor's own.

    Args:
        options: When it opens.
        clock: Time.

    Source: Traefik, CircuitBreaker.
    """

    Options: ClassVar[type[msgspec.Struct]] = CircuitBreakerOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "grpc", "websocket", "tcp"})

    def __init__(self, options: CircuitBreakerOptions, clock: Clock) -> None:
        self._circuit = Circuit(
            failure_ratio=options.failure_ratio,
            min_requests=options.min_requests,
            window_s=options.window_s,
            open_s=options.open_s,
            probes=options.probes,
        )
        self._statuses = frozenset(options.statuses)
        self._clock = clock

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        circuit, clock = self._circuit, self._clock
        wait_s = circuit.admit(clock.now())
        if wait_s:
            headers = (b"retry-after", b"%d" % max(1, math.ceil(wait_s)))
            raise Refusal(ErrorCode.OVERLOADED, "what serves this request fails", headers=headers)
        judged = _Judged(stream, circuit, clock, self._statuses)
        try:
            await target.handle(judged)
        except SessionError as exc:
            judged.settle(failed=None if exc.code in _VISITORS_OWN else True)
            raise
        except Exception:
            judged.settle(failed=True)
            raise
        except BaseException:
            judged.settle(failed=None)
            raise
        judged.settle(failed=False)


class _Judged(StreamAround):
    """Tells the circuit of the outcome, once."""

    __slots__ = ("_circuit", "_clock", "_era", "_settled", "_statuses")

    def __init__(self, stream: Stream, circuit: Circuit, clock: Clock, statuses: frozenset[int]) -> None:
        super().__init__(stream)
        self._circuit = circuit
        self._clock = clock
        self._statuses = statuses
        self._era = circuit.era
        self._settled = False

    def settle(self, *, failed: bool | None) -> None:
        """The outcome, unless there is one already."""
        if not self._settled:
            self._settled = True
            self._circuit.settle(self._era, self._clock.now(), failed=failed)

    async def send(self, payload: SessionPayload) -> None:
        if not self._settled:
            if type(payload) is HttpResponse:
                if payload.status >= 200 or payload.status == 101:
                    self.settle(failed=payload.status in self._statuses)
            elif type(payload) is GrpcFrame and payload.end:
                self.settle(failed=http_status(payload.status) in self._statuses)
        await self.inner.send(payload)

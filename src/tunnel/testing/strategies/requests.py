"""Heads of requests that an ingress may hand over, from the alphabet that the rules are made of."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

from hypothesis import strategies as st

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, Opening, TcpOpen
from tunnel.testing.strategies.rules import FIELD_NAMES, FIELD_VALUES, HOSTS, METHODS, SEGMENTS

__all__ = ["openings", "requests", "routed_requests"]

_CALLS: Final = ("pkg.Svc", "pkg.Other"), ("Get", "List")
_PORTS: Final = ("", ":80", ":8443")
_PAIRS: Final = ("cookie=1", "X-Env=2", "cookie=a+b", "X-Env=%31", "cookie", "x-env=1%", "")


def requests(*, protocol: str | None = None, max_body_bytes: int = 64) -> st.SearchStrategy[HttpRequest]:
    """Requests of HTTP, and handshakes of WebSocket, with the whole body or the beginning of it.

    Args:
        protocol: ``http`` or ``websocket``; None: either.
        max_body_bytes: Most that comes with the head.
    """
    http = st.builds(
        HttpRequest,
        method=st.sampled_from(METHODS),
        path=_paths(),
        query=_queries(),
        host=_hosts(),
        headers=_headers(),
        body=st.binary(max_size=max_body_bytes),
        end=st.booleans(),
        protocol=st.just("http"),
    )
    websocket = st.builds(
        HttpRequest,
        method=st.just("GET"),
        path=_paths(),
        query=_queries(),
        host=_hosts(),
        headers=_headers(),
        protocol=st.just("websocket"),
    )
    return {"http": http, "websocket": websocket, None: http | websocket}[protocol]


def routed_requests() -> st.SearchStrategy[HttpRequest]:
    """What rules are asked: requests, and calls of gRPC and connections of TCP in the shape of one."""
    call = st.builds(
        HttpRequest,
        method=st.just("POST"),
        path=st.tuples(*map(st.sampled_from, _CALLS)).map(lambda call: "/{}/{}".format(*call).encode()),
        host=_hosts(),
        headers=_headers(),
        protocol=st.just("grpc"),
    )
    tcp = st.builds(HttpRequest, method=st.just(""), path=st.just(b"/"), host=_hosts(), protocol=st.just("tcp"))
    return requests() | call | tcp


def openings(*, protocol: str | None = None) -> st.SearchStrategy[Opening]:
    """Heads that a target may be given.

    Args:
        protocol: Whose; None: of any.
    """
    call = st.builds(
        GrpcFrame,
        type=st.just(int(GrpcFrameType.METADATA)),
        service=st.sampled_from(_CALLS[0]),
        method=st.sampled_from(_CALLS[1]),
        metadata=_headers(),
    )
    tcp = st.builds(
        TcpOpen, upstream=st.just("ssh"), peer=st.sampled_from(["192.0.2.1", "2001:db8::1"]), end=st.booleans()
    )
    match protocol:
        case "grpc":
            return call
        case "tcp":
            return tcp
        case None:
            return requests() | call | tcp
        case _:
            return requests(protocol=protocol)


def _hosts() -> st.SearchStrategy[bytes]:
    return st.builds(lambda host, port: (host + port).encode(), st.sampled_from(HOSTS), st.sampled_from(_PORTS))


def _paths() -> st.SearchStrategy[bytes]:
    segments = st.lists(st.sampled_from(SEGMENTS), max_size=4)
    return segments.map(lambda each: ("/" + "/".join(each)).encode())


def _queries() -> st.SearchStrategy[bytes | None]:
    return st.none() | st.lists(st.sampled_from(_PAIRS), min_size=1, max_size=3).map(
        lambda pairs: "&".join(pairs).encode()
    )


def _headers() -> st.SearchStrategy[tuple[bytes, ...]]:
    pairs = st.lists(st.tuples(st.sampled_from(FIELD_NAMES), st.sampled_from(FIELD_VALUES)), max_size=4)
    return pairs.map(_flat)


def _flat(pairs: Iterable[tuple[str, str]]) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in chain.from_iterable(pairs))

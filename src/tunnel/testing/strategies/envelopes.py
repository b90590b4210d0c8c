"""Every kind of envelope, and frames of them: whatever may stand on the wire, whether it makes sense or not."""

from __future__ import annotations

import math
from typing import Final

from hypothesis import strategies as st

from tunnel.domain.claims.claim import Claim
from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncResponse,
    Envelope,
    Error,
    Frame,
    GoAway,
    GrpcFrame,
    GrpcFrameType,
    HeadPart,
    HttpRequest,
    HttpResponse,
    Payload,
    Ping,
    Pong,
    Register,
    RegisterResponse,
    ResumeRequest,
    StopSending,
    TcpOpen,
    Trailers,
    WebSocketFrame,
    WebSocketOpcode,
    WindowUpdate,
)
from tunnel.domain.errors import ErrorCode
from tunnel.domain.limits import Limits

__all__ = ["PAYLOADS", "envelopes", "frames", "headers", "limits", "payloads", "session_ids", "uint64s"]

_UINT64_MAX: Final = 2**64 - 1


def uint64s() -> st.SearchStrategy[int]:
    """Whole numbers that a field of 64 bits holds, its ends among them."""
    return st.integers(0, _UINT64_MAX) | st.sampled_from([0, 1, 2**31, 2**32, 2**63, _UINT64_MAX])


def session_ids() -> st.SearchStrategy[int]:
    """Ids of sessions, small ones more often, so that envelopes meet; 0 is the tunnel itself."""
    return st.integers(0, 9) | uint64s()


def texts() -> st.SearchStrategy[str]:
    """Any text that UTF-8 can write."""
    return st.text(st.characters(codec="utf-8"), max_size=12)


def blobs() -> st.SearchStrategy[bytes]:
    """Short bytes."""
    return st.binary(max_size=40)


def headers() -> st.SearchStrategy[tuple[bytes, ...]]:
    """Header blocks: names and values alternating, of any bytes."""
    pairs = st.lists(st.tuples(blobs(), blobs()), max_size=4)
    return pairs.map(lambda items: tuple(part for pair in items for part in pair))


def codes() -> st.SearchStrategy[str]:
    """Error codes, known and unknown."""
    return st.sampled_from([code.value for code in ErrorCode]) | texts()


def limits() -> st.SearchStrategy[Limits]:
    """Limits as they are announced, within what the fields hold and not within what makes sense."""
    counts = st.integers(0, 2**31)
    seconds = st.floats(0, 3600).filter(math.isfinite)
    return st.builds(
        Limits,
        session_window_bytes=counts,
        replay_window_bytes=counts,
        max_sessions=counts,
        max_links=counts,
        heartbeat_s=seconds,
        resume_s=seconds,
    )


def resume_requests() -> st.SearchStrategy[ResumeRequest]:
    """What a client says to go on with a tunnel."""
    return st.builds(ResumeRequest, texts(), blobs(), uint64s(), uint64s(), st.booleans())


_int32s = st.integers(0, 2**31 - 1)
_versions = st.lists(_int32s, max_size=3).map(tuple)
_names = st.lists(texts(), max_size=3).map(tuple)
_claims = st.none() | st.builds(Claim, texts(), texts())

PAYLOADS: dict[type, st.SearchStrategy[Payload]] = {
    HttpRequest: st.builds(
        HttpRequest,
        method=texts(),
        path=blobs(),
        query=st.none() | blobs(),
        host=blobs(),
        headers=headers(),
        body=blobs(),
        end=st.booleans(),
        protocol=st.sampled_from(["http", "websocket"]),
        url=blobs(),
        original_dst=texts(),
        more=st.booleans(),
    ),
    HttpResponse: st.builds(HttpResponse, _int32s, headers(), blobs(), st.booleans(), st.booleans()),
    GrpcFrame: st.builds(
        GrpcFrame,
        type=st.sampled_from([int(type_) for type_ in GrpcFrameType]),
        service=texts(),
        method=texts(),
        metadata=headers(),
        data=blobs(),
        status=_int32s,
        message=texts(),
        more=st.booleans(),
    ),
    WebSocketFrame: st.builds(
        WebSocketFrame,
        opcode=st.sampled_from([int(opcode) for opcode in WebSocketOpcode]),
        payload=blobs(),
        fin=st.booleans(),
        seq=uint64s(),
        headers=headers(),
    ),
    BodyChunk: st.builds(BodyChunk, blobs(), st.booleans()),
    Trailers: st.builds(Trailers, headers(), st.booleans()),
    TcpOpen: st.builds(TcpOpen, texts(), texts(), texts(), st.booleans()),
    HeadPart: st.builds(HeadPart, blobs(), st.booleans(), st.booleans()),
    Error: st.builds(Error, codes(), texts(), texts()),
    WindowUpdate: st.builds(WindowUpdate, uint64s()),
    StopSending: st.builds(StopSending, codes()),
    Register: st.builds(
        Register,
        versions=_versions,
        client_id=texts(),
        group_id=texts(),
        instance_id=blobs(),
        credential=texts(),
        capabilities=_names,
        config_hash=texts(),
        resume=st.none() | resume_requests(),
        limits=limits(),
        claim=_claims,
    ),
    RegisterResponse: st.builds(
        RegisterResponse,
        tunnel_id=texts(),
        resume_token=blobs(),
        server_id=texts(),
        version=_int32s,
        resumed=st.booleans(),
        received=uint64s(),
        capabilities=_names,
        limits=limits(),
        claim=_claims,
        public_url=texts(),
    ),
    ConfigSyncResponse: st.builds(ConfigSyncResponse, _int32s, texts(), blobs(), st.booleans()),
    ConfigApplied: st.builds(ConfigApplied, _int32s, texts()),
    ConfigRejected: st.builds(ConfigRejected, _int32s, texts(), texts()),
    Ping: st.builds(Ping, uint64s()),
    Pong: st.builds(Pong, uint64s()),
    GoAway: st.builds(GoAway, uint64s(), codes()),
    Close: st.builds(Close, codes(), texts()),
}
"""A strategy for each payload class."""


def payloads() -> st.SearchStrategy[Payload]:
    """Payloads of every kind."""
    return st.one_of(*PAYLOADS.values())


def envelopes() -> st.SearchStrategy[Envelope]:
    """Envelopes of every kind, under the kind that belongs to them."""
    return st.builds(_envelope, session_ids(), payloads())


def frames(*, max_envelopes: int = 5) -> st.SearchStrategy[Frame]:
    """Frames, empty ones among them.

    Args:
        max_envelopes: Most that one holds.
    """
    return st.builds(Frame, st.lists(envelopes(), max_size=max_envelopes).map(tuple), uint64s(), uint64s())


def _envelope(session_id: int, payload: Payload) -> Envelope:
    return Envelope(session_id, KIND_OF[type(payload)], payload)

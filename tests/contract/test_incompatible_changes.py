"""Changes that would break older peers, made for a moment: each has to be found by a recording or a golden vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support import golden_vectors, recorded_peer
from support.golden_vectors import CODECS, vectors
from support.recordings import load
from support.recorded_peer import Incompatible
from support.replay import later, replay_client, replay_server, terser
from support.virtual_loop import VirtualLoop

from tunnel.app import dialer, handshake, line_maker, link_service
from tunnel.domain.configuration import snapshot
from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Error,
    Frame,
    GrpcFrame,
    HttpRequest,
    HttpResponse,
    Register,
    StopSending,
    Trailers,
    UnknownPayload,
    WebSocketFrame,
    WindowUpdate,
)
from tunnel.domain.mux import acknowledgement, inbox, multiplexer, outbound, session, session_table

Change = Callable[[Any], Any]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}

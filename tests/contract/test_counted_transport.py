"""The transport of the example that counts frames, which promises what the one inside does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from contract.test_websocket_transport import WebSocketHarness

from tunnel.testing.transport import TransportContract

sys.path.append(str(Path(__file__).parents[2] / "examples" / "custom_transport" / "src"))
from tunnel_counted import CountedTransport


class CountedHarness(WebSocketHarness):
    # Its links are those of the other end's listener: "ws" is what they say that they are.
    def transport(self) -> CountedTransport:  # type: ignore[override]
        return CountedTransport()


@pytest.mark.full
class TestCountedTransport(TransportContract):
    harness = CountedHarness

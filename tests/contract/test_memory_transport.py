"""The in-memory transport under the contract of transports, on both event loops."""

from __future__ import annotations

import pytest
from support.memory_harness import MemoryHarness

from tunnel.testing.transport import TransportContract


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestMemoryTransport(TransportContract):
    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()

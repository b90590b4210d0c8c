"""The contract of targets: of upstreams, and of applications in the process. In a dozen lines::

    class SmokeHarness(TargetHarness):
        dialect = TCP
        protocols = frozenset({"tcp"})
        buffered_bytes = 1 << 20

        @asynccontextmanager
        async def peer(self, behaviour: Behaviour) -> AsyncIterator[Peer]: ...

    class TestSmoke(TargetContract):
        harness = SmokeHarness

The harness starts something that the target can speak to and calls ``Peer.converse`` for each conversation there.
"""

from tunnel.testing.target.contract import TargetContract
from tunnel.testing.target.conversation import Conversation
from tunnel.testing.target.dialects import GRPC, HTTP, TCP, WEBSOCKET, Dialect
from tunnel.testing.target.harness import TargetHarness
from tunnel.testing.target.peer import Behaviour, Peer
from tunnel.testing.target.rules import TARGET

__all__ = [
    "GRPC",
    "HTTP",
    "TARGET",
    "TCP",
    "WEBSOCKET",
    "Behaviour",
    "Conversation",
    "Dialect",
    "Peer",
    "TargetContract",
    "TargetHarness",
]

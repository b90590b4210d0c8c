"""The contract of ingresses. In a dozen lines::

class SmokeHarness(IngressHarness):
    dialect = TCP
    buffered_bytes = 1 << 20

    def ingress(self, address: str | None = None) -> Ingress: ...
    async def visit(self, address: str) -> Visitor: ...

class TestSmoke(IngressContract):
    harness = SmokeHarness
"""

from tunnel.testing.ingress.contract import IngressContract
from tunnel.testing.ingress.harness import IngressHarness, VisitFailed, Visitor
from tunnel.testing.ingress.rules import INGRESS
from tunnel.testing.ingress.scripts import ScriptedTarget

__all__ = ["INGRESS", "IngressContract", "IngressHarness", "ScriptedTarget", "VisitFailed", "Visitor"]

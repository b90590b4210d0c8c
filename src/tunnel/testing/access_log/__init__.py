"""The contract of access logs.

One is put under it by a harness that makes some and reads what they have written, and the thin class::

    class ParchmentHarness(AccessLogHarness):
        def log(self) -> AccessLog: ...
        def written(self) -> list[str]: ...

    class TestParchment(AccessLogContract):
        harness = ParchmentHarness

What can be taken away, blocked, broken or made wrongly has further methods; what says that it cannot is shown to write
everything.
"""

from tunnel.testing.access_log.contract import AccessLogContract
from tunnel.testing.access_log.harness import AccessLogHarness
from tunnel.testing.access_log.rules import ACCESS_LOG

__all__ = ["ACCESS_LOG", "AccessLogContract", "AccessLogHarness"]

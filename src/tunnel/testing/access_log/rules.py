"""What every access log must do. The words are those of docs/reference/contracts.md."""

from __future__ import annotations

from typing import Final

from tunnel.testing.access_log.harness import AccessLogHarness
from tunnel.testing.contract import Contract

__all__ = [
    "ACCESS_LOG",
    "CANCELS",
    "CLOSE",
    "LINE",
    "NOTHING_LEFT",
    "REOPEN",
    "START",
    "TOLD",
    "WAITS_NOT",
    "WANTS",
    "WRITES",
]

ACCESS_LOG: Final = Contract[AccessLogHarness]("access_log")

WANTS: Final = ACCESS_LOG.state("L-WANTS", "Whether a conversation is to be recorded is a plain truth value.")
START: Final = ACCESS_LOG.state("L-START", "What cannot be made ready is a `ConfigurationError` that names the key.")
WRITES: Final = ACCESS_LOG.state("L-WRITES", "Records are written soon, in order, each once.")
LINE: Final = ACCESS_LOG.state("L-LINE", "A record is one line, whatever its texts are.")
WAITS_NOT: Final = ACCESS_LOG.state(
    "L-WAITS-NOT", "Where nothing can be written, recording neither waits nor raises, and what waits is bounded."
)
TOLD: Final = ACCESS_LOG.state("L-TOLD", "Each record is written, or told of as lost, with the reason; none is both.")
REOPEN: Final = ACCESS_LOG.state("L-REOPEN", "Opened anew, it leaves alone what was taken away, and loses nothing.")
CLOSE: Final = ACCESS_LOG.state("L-CLOSE", "Closing writes what there is, takes no long time, and may be done again.")
CANCELS: Final = ACCESS_LOG.state("L-CANCELS", "Cancelled, closing does what it does all the same.")
NOTHING_LEFT: Final = ACCESS_LOG.state("L-NOTHING-LEFT", "Closed, it leaves no task, thread or descriptor behind.")

"""What every target must do. The words are those of docs/reference/contracts.md."""

from __future__ import annotations

from typing import Final

from tunnel.testing.contract import Contract
from tunnel.testing.target.harness import TargetHarness

__all__ = [
    "APART",
    "CANCEL",
    "CLOSE",
    "CLOSED",
    "CUT",
    "DEAF",
    "NOTHING_LEFT",
    "PROTOCOL",
    "RESET",
    "SLOW",
    "STOPPED",
    "STREAMS",
    "TARGET",
    "TOGETHER",
    "UNREACHABLE",
    "WHOLE",
]

TARGET: Final = Contract[TargetHarness]("target")

WHOLE: Final = TARGET.state(
    "U-WHOLE", "What is said arrives whole and in order, both ways, and the end once, last, and only then."
)
STREAMS: Final = TARGET.state("U-STREAMS", "What was said is answered before more is said: nothing waits for an end.")
TOGETHER: Final = TARGET.state("U-TOGETHER", "Conversations at the same time do not mix, nor wait for each other.")
PROTOCOL: Final = TARGET.state(
    "U-PROTOCOL", "A conversation in a protocol that it does not answer is a `protocol_error`, before anything is said."
)
UNREACHABLE: Final = TARGET.state(
    "U-UNREACHABLE", "Where nobody answers, that is `upstream_unreachable`, before anything is said."
)
CUT: Final = TARGET.state(
    "U-CUT", "An answer that is cut off fails as a `SessionError`, and is never ended as if whole."
)
SLOW: Final = TARGET.state("U-SLOW", "A visitor that does not listen makes the upstream wait within bounded bytes.")
DEAF: Final = TARGET.state("U-DEAF", "An upstream that does not listen makes the visitor wait within bounded bytes.")
STOPPED: Final = TARGET.state(
    "U-STOPPED", "A visitor that wants no more of the answer is no failure, and the upstream is left alone."
)
RESET: Final = TARGET.state(
    "U-RESET",
    "A visitor that breaks off what it says breaks off the conversation: the upstream is told, and no end sent.",
)
CANCEL: Final = TARGET.state(
    "U-CANCEL", "Cancelled anywhere, it stops, the upstream is left alone, and others are answered as before."
)
APART: Final = TARGET.state(
    "U-APART", "What a conversation that was given up had not taken is given to no other, whenever it was given up."
)
CLOSE: Final = TARGET.state(
    "U-CLOSE", "Closing fails what is under way, returns when all is closed, and may be done twice."
)
CLOSED: Final = TARGET.state("U-CLOSED", "A closed target answers nothing: it raises a `SessionError`.")
NOTHING_LEFT: Final = TARGET.state("U-NOTHING-LEFT", "Closed, it leaves no task, thread or socket behind.")

"""What all middleware must do. The words are those of docs/reference/contracts.md."""

from __future__ import annotations

from typing import Final

from tunnel.testing.contract import Contract
from tunnel.testing.middleware.harness import MiddlewareHarness

__all__ = ["MIDDLEWARE"]

MIDDLEWARE: Final = Contract[MiddlewareHarness]("middleware")

_rule = MIDDLEWARE.state

SETTINGS: Final = _rule(
    "M-SETTINGS", "Options that are wrong are a `ConfigurationError` that names the key, and what was expected."
)
PROTOCOLS: Final = _rule("M-PROTOCOLS", "It says which protocols it has a meaning for, by names that there are.")
HEAD: Final = _rule("M-HEAD", "The target sees the opening as it is, but for what the middleware says that it changes.")
PEER: Final = _rule("M-PEER", "The target sees whose conversation it is, and why its ingress ends it.")
WHOLE: Final = _rule(
    "M-WHOLE", "What is said arrives whole and in order, both ways, messages as messages, and nothing else does."
)
END: Final = _rule("M-END", "An end arrives as it was said, both ways: trailers, a status, a close code.")
ANSWER: Final = _rule(
    "M-ANSWER", "An answer begins as the target began it, but for what the middleware says that it changes."
)
STREAMS: Final = _rule("M-STREAMS", "What was said is passed on before more is said: nothing waits for an end.")
TOGETHER: Final = _rule("M-TOGETHER", "Conversations at the same time do not mix, nor wait for each other.")
TURNS_AWAY: Final = _rule(
    "M-TURNS-AWAY",
    "Whom it turns away it answers whole, or with a `SessionError` and nothing else, and the target never hears of it; "
    "where it says that it turns nobody away, it does not.",
)
ONCE: Final = _rule("M-ONCE", "A conversation that passes is given to the target once, however that ends.")
FAILS: Final = _rule("M-FAILS", "A failure of the target stays what it is, and nothing is answered in its place.")
CUT: Final = _rule("M-CUT", "An answer that is cut off is never ended as if whole.")
RESET: Final = _rule("M-RESET", "A visitor that breaks off is so to the target, and the other way round.")
STOPPED: Final = _rule(
    "M-STOPPED", "The target learns that its visitor wants no more of the answer, and hears it still."
)
EARLY: Final = _rule("M-EARLY", "An answer that does not wait for the end of what is said is all that is needed.")
SLOW: Final = _rule("M-SLOW", "A visitor that does not listen makes the target wait within bounded bytes.")
DEAF: Final = _rule("M-DEAF", "A target that does not listen makes the visitor wait within bounded bytes.")
CANCEL: Final = _rule(
    "M-CANCEL", "Cancelled anywhere, it has cancelled its target when it ends, and others pass as before."
)
FORGETS: Final = _rule(
    "M-FORGETS", "Unless it says that it remembers, conversations make no difference to later ones, however they ended."
)
BOUNDED: Final = _rule("M-BOUNDED", "What it keeps of conversations is bounded, whatever visitors think of.")
NOTHING_LEFT: Final = _rule(
    "M-NOTHING-LEFT", "Over, closed, or made and never used, it leaves no task, thread or descriptor behind."
)

"""What every ingress must do. The words are those of docs/reference/contracts.md."""

from __future__ import annotations

from typing import Final

from tunnel.testing.contract import Contract
from tunnel.testing.ingress.harness import IngressHarness

__all__ = [
    "BIND",
    "CANCEL",
    "CUT",
    "DEAF",
    "DRAIN",
    "FAILS",
    "FOLLOW",
    "GRACE",
    "HEAD",
    "INGRESS",
    "LEAVE",
    "NOTHING_LEFT",
    "SLOW",
    "STARTED",
    "STREAMS",
    "UNUSED",
    "WHOLE",
]

INGRESS: Final = Contract[IngressHarness]("ingress")

BIND: Final = INGRESS.state(
    "I-BIND", "Once bound, it tells its real address; one that is taken is a `ListenError`, and binding twice is once."
)
STARTED: Final = INGRESS.state("I-STARTED", "It says once that it has started, and from then on answers.")
UNUSED: Final = INGRESS.state("I-UNUSED", "Drained before it serves, it gives its address back and serves nobody.")
HEAD: Final = INGRESS.state("I-HEAD", "A conversation says what protocol it is of, and where it comes from.")
WHOLE: Final = INGRESS.state(
    "I-WHOLE", "What is said arrives whole and in order, both ways, at the same time as others."
)
STREAMS: Final = INGRESS.state("I-STREAMS", "What was said is passed on before more is said: nothing waits for an end.")
FAILS: Final = INGRESS.state(
    "I-FAILS", "A target that fails is told to its visitor as no whole answer, and to no other."
)
CUT: Final = INGRESS.state("I-CUT", "An answer that is not ended reaches its visitor cut off, never as if whole.")
LEAVE: Final = INGRESS.state("I-LEAVE", "A visitor that leaves has its target cancelled.")
SLOW: Final = INGRESS.state("I-SLOW", "A visitor that does not listen makes the target wait within bounded bytes.")
DEAF: Final = INGRESS.state("I-DEAF", "A target that does not listen makes the visitor wait within bounded bytes.")
FOLLOW: Final = INGRESS.state("I-FOLLOW", "Following a successor, it goes on serving where it is, also who is there.")
DRAIN: Final = INGRESS.state(
    "I-DRAIN", "Drained, it accepts nobody, lets conversations finish in their time, and returns after the last."
)
GRACE: Final = INGRESS.state("I-GRACE", "What outlasts its time is cut off, its target cancelled, and it returns.")
CANCEL: Final = INGRESS.state("I-CANCEL", "Cancelled, it cancels all targets and gives its address back, and returns.")
NOTHING_LEFT: Final = INGRESS.state("I-NOTHING-LEFT", "When it has returned, no task, thread or socket is left behind.")

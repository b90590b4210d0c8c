"""What every transport must do. The words are those of docs/reference/contracts.md."""

from __future__ import annotations

from typing import Final

from tunnel.testing.contract import Contract
from tunnel.testing.transport.harness import TransportHarness

__all__ = ["TRANSPORT"]

TRANSPORT: Final = Contract[TransportHarness]("transport")

_rule = TRANSPORT.state

# From what a link is for to what only goes wrong in combination, so that the first rule broken says most.
PEER: Final = _rule("T-PEER", "Each end of a link names its transport, and its peer as far as it says that it can.")
ORDER: Final = _rule("T-ORDER", "Frames arrive in the order in which they were sent, each once, and none is missing.")
FIELDS: Final = _rule("T-FIELDS", "A frame arrives whole, with every field as it was sent.")
EMPTY: Final = _rule("T-EMPTY", "A frame without envelopes arrives.")
LARGEST: Final = _rule("T-LARGEST", "A frame of `max_frame_bytes` arrives.")
DUPLEX: Final = _rule("T-DUPLEX", "Both ends send and receive at the same time.")
PUSH: Final = _rule("T-PUSH", "Frames that are pushed and frames that are sent arrive in one order.")
SEPARATE: Final = _rule("T-SEPARATE", "Several links of one listener do not mix.")
LAST: Final = _rule(
    "T-LAST", "What was sent before a close arrives, and only then is the link ended, once and for all."
)
CLOSED: Final = _rule("T-CLOSED", "After a close, calls of this side fail at once as closed by this side.")
AGAIN: Final = _rule("T-AGAIN", "Closing and aborting again does nothing, and returns within a second.")
WAKE: Final = _rule("T-WAKE", "A close wakes who waits to receive: as closed on its own side, as ended on the other.")
ABORT: Final = _rule("T-ABORT", "An abort is a broken link to the peer, and a closed one to this side.")
SEVER: Final = _rule("T-SEVER", "A severed connection is a broken link to both ends, never an ended one.")
BURY: Final = _rule("T-BURY", "Closing a broken link returns within a second.")
BOUND: Final = _rule(
    "T-BOUND", "A sender whose peer does not read waits, within bounded bytes, and loses nothing by it."
)
READY: Final = _rule("T-READY", "A link is ready only while it can take a frame; who cannot tell is never ready.")
GATHER: Final = _rule(
    "T-GATHER", "Gathering ends by itself, and at once when there is enough; a link that was gathering goes on."
)
ASIDE: Final = _rule("T-ASIDE", "A direction that is clogged does not hold up the other.")
UNCLOG: Final = _rule("T-UNCLOG", "A close by either end, or a break, wakes a sender that is blocked.")
CANCEL_RECEIVE: Final = _rule("T-CANCEL-RECEIVE", "Cancelling `receive` wherever it waits loses and repeats no frame.")
CANCEL_SEND: Final = _rule(
    "T-CANCEL-SEND",
    "Cancelling `send` wherever it waits sends the frame whole or not at all, and leaves the order alone.",
)
CANCEL_BOUND: Final = _rule("T-CANCEL-BOUND", "Sends that are cancelled again and again stay within bounds.")
CANCEL_CLOSE: Final = _rule("T-CANCEL-CLOSE", "Cancelling `aclose` wherever it waits leaves the link closed.")
CANCEL_CONNECT: Final = _rule("T-CANCEL-CONNECT", "Cancelling `connect` wherever it waits leaves no link behind.")
CANCEL_SERVE: Final = _rule("T-CANCEL-SERVE", "Cancelling `serve` ends its links, and gives the address back.")
NOBODY: Final = _rule("T-NOBODY", "Where nobody listens is unreachable.")
TIMEOUT: Final = _rule("T-TIMEOUT", "Who does not answer is unreachable when `timeout_s` is over.")
REFUSAL: Final = _rule(
    "T-REFUSAL", "Who is refused hears why, by each code that there is for it, before the link ends."
)
ADDRESS: Final = _rule("T-ADDRESS", "A taken address is a `ListenError`, and a listener that is stopped gives it back.")
STOP: Final = _rule("T-STOP", "A listener that is stopped ends its links, takes no others, and returns from `serve`.")
RETURN: Final = _rule("T-RETURN", "A link whose service returns is closed in order, after what was sent on it.")
FAIL: Final = _rule("T-FAIL", "A service that fails breaks its own link, and no other.")
NOTHING_LEFT: Final = _rule("T-NOTHING-LEFT", "A link that is over leaves no task, thread or descriptor behind.")
ANY_ORDER: Final = _rule("T-ANY-ORDER", "All of this holds in whatever order things are done.")

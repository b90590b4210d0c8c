"""What a transport says of itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TransportCapabilities"]


@dataclass(frozen=True)
class TransportCapabilities:
    """What the contract needs to know about a transport.

    What a transport says that it cannot do is not left out: the contract shows that it cannot.

    Args:
        buffered_bytes: Most that a sender may hand over to a peer that does not read, what the operating system
            buffers included, before ``send`` waits.
        quiet_s: A sender that gets nothing handed over for this many seconds is blocked.
        readiness: Whether it can tell that a frame would be on its way at once. If not, ``ready`` is always False.
        survives_cancelled_send: Whether a link is usable after a ``send`` was cancelled while it waited. If not, the
            next ``send`` raises ``LinkEnd.BROKEN``.
        addresses: Whether the server's end knows an address of its client. If not, it is empty.
        certificates: Whether the harness's clients prove themselves with certificates. If not, there is none.
    """

    buffered_bytes: int
    quiet_s: float = 0.3
    readiness: bool = True
    survives_cancelled_send: bool = True
    addresses: bool = True
    certificates: bool = False

"""Which failures speak against whoever had the session.

==================================  ========================  =======================
what became of the session          of a client's             of a target's
==================================  ========================  =======================
it ended in order                   success                   success
a status listed in ``statuses``     failure                   failure
upstream_unreachable, _timeout      failure                   failure
peer_lost                           failure, once a tunnel    nothing
internal, protocol_error,           failure                   nothing
flow_control
refused, overloaded                 nothing                   nothing
cancelled, too_large, bad_request,  nothing                   nothing
and every other
==================================  ========================  =======================

*Nothing* neither ends a row of failures nor adds to it. Whoever refuses or is overloaded is alive, and says what is to
be done: ask another. Ejecting it would push its share to the others, the next of which would be overloaded by that.

A lost tunnel takes all its sessions with it. That is one failure and not hundreds, or a network that hiccups for every
client would eject half of them.

What a target answers, or does to an answer that has begun, may well be the request's doing; what is certain is that it
could not be reached, or did not answer in time.
"""

from __future__ import annotations

from typing import Final

from tunnel.domain.errors import ErrorCode

__all__ = ["MEMBER_FAILURES", "TARGET_FAILURES"]

TARGET_FAILURES: Final = frozenset({ErrorCode.UPSTREAM_UNREACHABLE, ErrorCode.UPSTREAM_TIMEOUT})
"""Codes that are failures of an upstream's target."""

MEMBER_FAILURES: Final = TARGET_FAILURES | {
    ErrorCode.PEER_LOST,
    ErrorCode.INTERNAL,
    ErrorCode.PROTOCOL_ERROR,
    ErrorCode.FLOW_CONTROL,
}
"""Codes that are failures of a client."""

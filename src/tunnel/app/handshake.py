"""The first words on a link, which both sides say in the same order: register, then its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio

from tunnel.domain.envelopes import (
    KIND_OF,
    ConfigSyncResponse,
    Envelope,
    Error,
    Frame,
    Payload,
    Register,
    RegisterResponse,
)
from tunnel.domain.errors import ErrorCode, LinkEnd, LinkError, RegistrationRefused
from tunnel.domain.limits import KIB, MAX_TEXT_CHARS, Limits
from tunnel.ports.transport import Link

__all__ = [
    "CAPABILITIES",
    "CLAIMS",
    "FATAL_CODES",
    "PROTOCOL_VERSION",
    "check_limits",
    "config_parts",
    "deadline",
    "expect",
    "negotiate_version",
    "refuse",
    "say",
]

PROTOCOL_VERSION: Final = 1

CLAIMS: Final = "claims"
"""Capability of a server that grants claims, and of a client that asks for one."""

CAPABILITIES: Final = (CLAIMS,)
"""Of a server of this version."""

FATAL_CODES: Final = frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.SUPERSEDED})
"""A client that is told one of these does not try again."""

_PART_BYTES = 128 * KIB
_LAST_WORDS_S = 1.0

P = TypeVar("P", Register, RegisterResponse)


@contextmanager
def deadline(timeout_s: float, what: str) -> Iterator[None]:
    """Bound a step of the handshake that waits for the peer, or for somebody else on its behalf.

    Args:
        timeout_s: Seconds.
        what: The step, for the error.

    Raises:
        LinkError: ``BROKEN``: it took longer, and was cancelled.
    """
    with anyio.move_on_after(timeout_s) as scope:
        yield
    if scope.cancelled_caught:
        raise LinkError(LinkEnd.BROKEN, f"{what} took longer than {timeout_s:g} s")


async def say(link: Link, payload: Payload) -> None:
    """Send one envelope of the handshake.

    Raises:
        LinkError: The link ended.
    """
    await link.send(Frame((Envelope(0, KIND_OF[type(payload)], payload),)))


async def expect(link: Link, kind: type[P], timeout_s: float) -> P:
    """The one envelope that has to come now; in the answer of a server an ``error`` counts wherever it stands.

    Raises:
        LinkError: The link ended, something else came (``VIOLATED``), or nothing in time (``BROKEN``).
        RegistrationRefused: The server said no.
    """
    frame = None
    with anyio.move_on_after(timeout_s):
        frame = await link.receive()
    if frame is None:
        raise LinkError(LinkEnd.BROKEN, f"no {kind.__name__} within {timeout_s:g} s")
    if frame.seq == 0:
        if kind is RegisterResponse:
            _hear_refusal(frame)
        if len(frame.envelopes) == 1 and isinstance(payload := frame.envelopes[0].payload, kind):
            return payload
    raise LinkError(LinkEnd.VIOLATED, f"expected {kind.__name__}")


def _hear_refusal(frame: Frame) -> None:
    for envelope in frame.envelopes:
        payload = envelope.payload
        if envelope.session_id == 0 and isinstance(payload, Error):
            raise RegistrationRefused(ErrorCode.parse(payload.code), payload.message[:MAX_TEXT_CHARS])


async def refuse(link: Link, refusal: RegistrationRefused) -> None:
    """Tell a client why it is turned away, as far as it listens."""
    with anyio.move_on_after(_LAST_WORDS_S):
        try:
            await say(link, Error(refusal.code.value, refusal.reason))
        except LinkError:
            # It has gone already; there is nobody left to tell.
            return


def check_limits(limits: Limits) -> None:
    """Refuse limits of the server's that no peer can keep to.

    Raises:
        LinkError: ``VIOLATED``.
    """
    problem = limits.problem()
    if problem is not None:
        raise LinkError(LinkEnd.VIOLATED, problem)


def negotiate_version(versions: tuple[int, ...]) -> int:
    """The protocol version to speak with a peer that speaks ``versions``.

    Raises:
        RegistrationRefused: ``forbidden``: none in common.
    """
    if PROTOCOL_VERSION not in versions:
        spoken = ", ".join(map(str, versions)) or "none"
        why = f"no common protocol version: this server speaks {PROTOCOL_VERSION}, the client {spoken}"
        raise RegistrationRefused(ErrorCode.FORBIDDEN, why)
    return PROTOCOL_VERSION


def config_parts(version: int, digest: str, snapshot: bytes) -> Iterator[ConfigSyncResponse]:
    """A configuration in envelopes that fit frames."""
    for start in range(0, max(1, len(snapshot)), _PART_BYTES):
        end = start + _PART_BYTES
        yield ConfigSyncResponse(version, digest, snapshot[start:end], more=end < len(snapshot))

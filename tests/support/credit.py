"""The credit of sessions as an end counts it that is played from a recording."""

from __future__ import annotations

from collections import Counter

from tunnel.domain.envelopes import Envelope, Frame, Register, RegisterResponse, WindowUpdate

__all__ = ["Credit"]


class Credit:
    """What one end gave for each session and was sent, and what it was given and has sent."""

    def __init__(self) -> None:
        self._here = _Direction()
        self._there = _Direction()

    def took(self, envelope: Envelope) -> bool:
        """Count what came from the other end; False: it is more than it was given."""
        self._there.announce(envelope)
        self._here.spend(envelope)
        return self._here.left_bytes(envelope.session_id) >= 0

    def sent(self, frame: Frame) -> None:
        """Count what goes to the other end."""
        for envelope in frame.envelopes:
            self._here.announce(envelope)
            if frame.seq:
                self._there.spend(envelope)

    def affords(self, frame: Frame) -> bool:
        """Whether the other end has given enough for ``frame``."""
        cost: Counter[int] = Counter()
        for envelope in frame.envelopes:
            cost[envelope.session_id] += _cost(envelope)
        return all(more <= self._there.left_bytes(number) for number, more in cost.items() if number and more)


class _Direction:
    """What one end has given, and what of it the other has used."""

    def __init__(self) -> None:
        self._window_bytes = 0
        self._given: Counter[int] = Counter()
        self._spent: Counter[int] = Counter()

    def announce(self, envelope: Envelope) -> None:
        match envelope.payload:
            case Register(limits=limits) | RegisterResponse(limits=limits):
                self._window_bytes = limits.session_window_bytes
            case WindowUpdate(bytes_):
                self._given[envelope.session_id] += bytes_
            case _:
                pass

    def spend(self, envelope: Envelope) -> None:
        if envelope.session_id:
            self._spent[envelope.session_id] += _cost(envelope)

    def left_bytes(self, session_id: int) -> int:
        return self._window_bytes + self._given[session_id] - self._spent[session_id]


def _cost(envelope: Envelope) -> int:
    return getattr(envelope.payload, "cost", 0)

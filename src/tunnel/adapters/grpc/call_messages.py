"""Messages of calls, put together from the frames they come in."""

from __future__ import annotations

from tunnel.domain.envelopes import GrpcFrame
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["MessageAssembly"]


class MessageAssembly:
    """Joins the DATA frames of one direction of a call.

    Args:
        max_message_bytes: Largest message. One that grows beyond it is refused before more of it is kept.
    """

    __slots__ = ("_bytes", "_max_message_bytes", "_parts")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._parts: list[bytes] = []
        self._bytes = 0

    @property
    def open(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._parts)

    def add(self, frame: GrpcFrame) -> bytes | None:
        """Take the next frame; the message, once it is whole.

        Raises:
            SessionError: ``too_large``; ``protocol_error``: an empty part that another follows, of which there could
                be any number.
        """
        data = frame.data
        if self._bytes + len(data) > self._max_message_bytes:
            self._parts.clear()
            raise SessionError(ErrorCode.TOO_LARGE, f"a message is larger than {self._max_message_bytes} bytes")
        if frame.more:
            if not data:
                raise SessionError(ErrorCode.PROTOCOL_ERROR, "a part of a message was empty")
            self._parts.append(data)
            self._bytes += len(data)
            return None
        if not self._parts:
            return data
        parts, self._parts, self._bytes = self._parts, [], 0
        parts.append(data)
        return b"".join(parts)

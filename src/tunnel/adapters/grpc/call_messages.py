"""Messages of calls, put together from the frames they come in."""

from __future__ import annotations

from tunnel.domain.envelopes import GrpcFrame
from tunnel.domain.errors import ErrorCode, SessionError

__all__ = ["MessageAssembly"]


class MessageAssembly:
    """Joins the DATA frames of one direction of a call.

    What is kept of a message takes as much memory as it has bytes, into however small parts its sender cut it.

    Args:
        max_message_bytes: Largest message. One that grows beyond it is refused before more of it is kept.
    """

    __slots__ = ("_begun", "_max_message_bytes")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._begun = bytearray()

    @property
    def open(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._begun)

    def add(self, frame: GrpcFrame) -> bytes | None:
        """Take the next frame; the message, once it is whole.

        Raises:
            SessionError: ``too_large``; ``protocol_error``: an empty part that another follows, of which there could
                be any number.
        """
        begun, data = self._begun, frame.data
        if len(begun) + len(data) > self._max_message_bytes:
            self._begun = bytearray()
            raise SessionError(ErrorCode.TOO_LARGE, f"a message is larger than {self._max_message_bytes} bytes")
        if frame.more:
            if not data:
                raise SessionError(ErrorCode.PROTOCOL_ERROR, "a part of a message was empty")
            begun += data
            return None
        if not begun:
            return data
        begun += data
        self._begun = bytearray()
        return bytes(begun)

"""Conversations seen through something: what middleware hands on in place of the stream it was given."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, Headers, HttpResponse, Opening, SessionPayload
from tunnel.domain.errors import SessionError
from tunnel.ports.target import Stream

__all__ = ["EditedStream", "StreamAround"]

_METADATA = GrpcFrameType.METADATA.value
_DATA = GrpcFrameType.DATA.value


class StreamAround(Stream):
    """Passes everything on. To be inherited from by what changes ``receive`` or ``send``, which sees all that is sent.

    Args:
        stream: The conversation.
        head: An opening to show in place of its own; None for none.
    """

    __slots__ = ("_head", "inner", "peer")

    def __init__(self, stream: Stream, *, head: Opening | None = None) -> None:
        self.inner = stream
        """The conversation as it was given."""
        self._head = stream.head if head is None else head
        self.peer = stream.peer

    @property
    def head(self) -> Opening:
        return self._head

    @property
    def cut_off(self) -> SessionError | None:  # type: ignore[override]  # told by the ingress to the stream it made
        """As the conversation's."""
        return self.inner.cut_off

    async def receive(self) -> SessionPayload:
        return await self.inner.receive()

    async def send(self, payload: SessionPayload) -> None:
        await self.inner.send(payload)

    def reset(self, error: SessionError) -> None:
        self.inner.reset(error)


class EditedStream(StreamAround):
    """Shows another opening, or changes the header fields of the answer, or both; bodies pass as they are.

    The fields are those of the response, of the answer to a WebSocket handshake, or the initial metadata of a gRPC
    call: its trailing metadata, where it fails without any before. Informational responses pass unchanged.

    Args:
        stream: The conversation.
        head: An opening to show in place of its own; None: its own.
        edit: Takes the fields of the answer and returns those to send; called once; None: they stay as they are.
    """

    __slots__ = ("_edit",)

    def __init__(
        self, stream: Stream, *, head: Opening | None = None, edit: Callable[[Headers], Headers] | None = None
    ) -> None:
        super().__init__(stream, head=head)
        self._edit = edit

    async def send(self, payload: SessionPayload) -> None:
        edit = self._edit
        if edit is not None:
            if type(payload) is HttpResponse:
                if payload.status >= 200 or payload.status == 101:
                    self._edit = None
                    payload = replace(payload, headers=edit(payload.headers))
            elif type(payload) is GrpcFrame:
                self._edit = None
                if payload.type == _DATA:
                    metadata = edit(())
                    if metadata:
                        await self.inner.send(GrpcFrame(_METADATA, metadata=metadata))
                else:
                    payload = replace(payload, metadata=edit(payload.metadata))
        await self.inner.send(payload)

    async def conclude(self, *payloads: SessionPayload) -> None:
        if self._edit is None:
            await self.inner.conclude(*payloads)
        else:
            await super().conclude(*payloads)

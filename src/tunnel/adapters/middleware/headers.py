"""``use = "headers"``: sets, adds and removes header fields, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from tunnel.domain.middleware.header_edits import HeaderEdits
from tunnel.domain.opening_fields import opening_fields, with_fields
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import EditedStream
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["EditOptions", "HeadersMiddleware", "HeadersOptions"]


class EditOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to the fields of one direction.

    Args:
        set: Take the places of all fields of their names.
        add: Go behind what is there.
        remove: Names.
    """

    set: Mapping[str, str] = {}
    add: Mapping[str, str] = {}
    remove: tuple[str, ...] = ()

    def edits(self, path: str) -> HeaderEdits:
        """Compiled.

        Raises:
            ConfigurationError: Naming the key below ``path``.
        """
        HeaderEdits.check(set=self.set, add=self.add, remove=self.remove, path=f"{path}.")
        return HeaderEdits(set=self.set, add=self.add, remove=self.remove)


class HeadersOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``.

    Args:
        request: On the way to the target: header fields, or metadata of gRPC.
        response: On the way back: of the response, the handshake, or the initial metadata.
    """

    request: EditOptions = EditOptions()
    response: EditOptions = EditOptions()


class HeadersMiddleware(Middleware):
    """Changes header fields.

    Args:
        options: What is changed.

    Raises:
        ConfigurationError: A name or a value is none.

    Source: Gateway API, RequestHeaderModifier and ResponseHeaderModifier.
    """

    Options: ClassVar[type[msgspec.Struct]] = HeadersOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "grpc", "websocket"})

    def __init__(self, options: HeadersOptions) -> None:
        self._request = options.request.edits("request")
        response = options.response.edits("response")
        self._response = response.applied if response else None

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        head = None
        if self._request:
            head = stream.head
            head = with_fields(head, self._request.applied(opening_fields(head)))
        await target.handle(EditedStream(stream, head=head, edit=self._response))

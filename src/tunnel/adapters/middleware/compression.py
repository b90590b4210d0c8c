"""``use = "compression"``: sends text in fewer bytes to visitors that take it so."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

import anyio.lowlevel
import msgspec
from msgspec import Meta
from msgspec.structs import replace

from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, SessionPayload, Trailers
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.middleware.codings import Compressible, accepts, coded_headers, varying_headers
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import StreamAround
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["CompressionMiddleware", "CompressionOptions"]

_GZIP: Final = b"gzip"
_GZIP_WINDOW_BITS: Final = 31
"""zlib's: the largest window, and the header and trailer of gzip."""

_SLICE_BYTES: Final = 32 * 1024
"""Compressed in one go, a millisecond or so; after it others have their turn."""

_TYPES: Final = (
    *("text/*", "application/json", "application/javascript", "application/xml", "application/wasm"),
    *("image/svg+xml", "+json", "+xml"),
)


class CompressionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``.

    Args:
        level: Of gzip, from the fastest to the smallest.
        min_bytes: Shorter bodies stay as they are.
        types: Content types; ``text/*`` is all of text, ``+json`` all that end so.
    """

    level: Annotated[int, Meta(ge=1, le=9)] = 5
    min_bytes: Annotated[int, Meta(ge=0, le=1_048_576)] = 1024
    types: tuple[str, ...] = _TYPES


class CompressionMiddleware(Middleware):
    """Compresses responses with gzip where the visitor accepts it; nothing is held back: each piece is flushed.

    Left as they are: answers to HEAD, parts of a whole, what is compressed already, ``no-transform``, other types.

    Args:
        options: Which, and how much.

    Raises:
        ConfigurationError: A type is none.

    Source: RFC 9110 section 8.4; Traefik, Compress.
    """

    Options: ClassVar[type[msgspec.Struct]] = CompressionOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http"})

    def __init__(self, options: CompressionOptions) -> None:
        for index, each in enumerate(options.types):
            if not (each.startswith("+") or "/" in each) or each != each.lower() or not each.isascii():
                raise ConfigurationError(
                    'expected a type such as "text/html", "text/*" or "+json"', key_path=f"types[{index}]"
                )
        self._compressible = Compressible(options.types, min_bytes=options.min_bytes)
        self._level = options.level

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        head = stream.head
        assert isinstance(head, HttpRequest)
        if head.method != "HEAD":
            names = [name.lower() for name in head.headers[::2]]
            fields = zip(names, head.headers[1::2], strict=False)
            accepted = b",".join(value for name, value in fields if name == b"accept-encoding")
            stream = _CompressedStream(
                stream, self._compressible, level=self._level if accepts(accepted, _GZIP) else None
            )
        await target.handle(stream)


class _CompressedStream(StreamAround):
    """Compresses what is sent, if the head says that it is worth it.

    Args:
        stream: The conversation.
        compressible: Judges the head.
        level: None: only says that somebody else would get it compressed.
    """

    __slots__ = ("_compressible", "_compressor", "_level", "_started")

    def __init__(self, stream: Stream, compressible: Compressible, *, level: int | None) -> None:
        super().__init__(stream)
        self._compressible = compressible
        self._level = level
        self._started = False
        self._compressor: zlib._Compress | None = None

    async def send(self, payload: SessionPayload) -> None:
        if not self._started and type(payload) is HttpResponse and payload.status >= 200:
            self._started = True
            payload = await self._begin(payload)
        elif self._compressor is not None:
            if type(payload) is BodyChunk:
                payload = BodyChunk(await self._compressed(payload.data, end=payload.end), payload.end)
                if not payload.data and not payload.end:
                    return
            elif type(payload) is Trailers:
                await self.inner.send(BodyChunk(await self._compressed(b"", end=True)))
        await self.inner.send(payload)

    async def _begin(self, head: HttpResponse) -> HttpResponse:
        if not self._compressible(head):
            return head
        if self._level is None:
            return replace(head, headers=varying_headers(head.headers))
        self._compressor = zlib.compressobj(self._level, zlib.DEFLATED, _GZIP_WINDOW_BITS)
        body = await self._compressed(head.body, end=head.end)
        return replace(head, headers=coded_headers(head.headers, _GZIP), body=body)

    async def _compressed(self, data: bytes, *, end: bool) -> bytes:
        compressor = self._compressor
        assert compressor is not None
        parts: list[bytes] = []
        for piece in _slices(data):
            if parts:
                await anyio.lowlevel.checkpoint()
            parts.append(compressor.compress(piece))
        if data or end:
            # Whoever reads an event stream is to have each event as it comes.
            parts.append(compressor.flush(zlib.Z_FINISH if end else zlib.Z_SYNC_FLUSH))
        return b"".join(parts)


def _slices(data: bytes) -> Iterator[bytes | memoryview]:
    if len(data) <= _SLICE_BYTES:
        yield data
        return
    view = memoryview(data)
    for at in range(0, len(data), _SLICE_BYTES):
        yield view[at : at + _SLICE_BYTES]

"""Callers that ask now and then whether the other end is there, as libraries of gRPC do when told to."""

from __future__ import annotations

import asyncio

import pytest
from call_kit import ingress
from grpc_kit import eventually, run

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, SETTINGS, PING, GOAWAY = 1, 4, 6, 7
ACK, END_HEADERS = 1, 4
PINGS = 20


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """A frame of HTTP/2. Source: RFC 9113 section 4.1."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def fields(**values: str) -> bytes:
    """A block of fields, each written out. Source: RFC 7541 section 6.2.2."""
    named = ((name.replace("__", ":").replace("_", "-"), value) for name, value in values.items())
    return b"".join(b"\0" + bytes((len(k),)) + k.encode() + bytes((len(v),)) + v.encode() for k, v in named)


@pytest.mark.parametrize("calls", [True, False])
def test_caller_may_ask_as_often_as_it_likes_whether_the_ingress_is_there(*, calls: bool) -> None:
    async def scenario() -> None:
        async with ingress(lambda _: asyncio.Event().wait()) as (listening, target, _):  # type: ignore[arg-type,return-value]
            host, _, port = listening.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(PREFACE + frame(SETTINGS))
                if calls:
                    call = fields(
                        __method="POST", __scheme="http", __path="/s.S/M", __authority="a.test", te="trailers",
                        content_type="application/grpc",
                    )  # fmt: skip
                    writer.write(frame(HEADERS, call, flags=END_HEADERS, stream=1))
                    await eventually(lambda: bool(target.streams))
                answered = 0
                for number in range(PINGS):
                    writer.write(frame(PING, number.to_bytes(8)))
                    while answered <= number:
                        head = await reader.readexactly(9)
                        payload = await reader.readexactly(int.from_bytes(head[:3]))
                        assert head[3] != GOAWAY, payload
                        answered += head[3] == PING and head[4] == ACK and payload == number.to_bytes(8)
            finally:
                writer.close()
                await asyncio.wait([asyncio.create_task(writer.wait_closed())])

    run(scenario)

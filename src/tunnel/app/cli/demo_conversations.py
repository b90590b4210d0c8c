"""The demo's WebSocket conversations, by a visitor that is not ours: the ``websockets`` library's."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Response
from websockets.typing import Subprotocol

from tunnel.app.cli.demo_app import REFUSAL, SUBPROTOCOL
from tunnel.app.cli.demo_visitor import Mismatch

__all__ = ["be_refused", "choose_subprotocol", "close_with_code", "echo_messages"]

_BINARY_BYTES: Final = 100_000
_CLOSE: Final = (4001, "enough of this")


@asynccontextmanager
async def _conversing(address: str, path: str, *subprotocols: str) -> AsyncIterator[ClientConnection]:
    """A conversation that was accepted.

    Raises:
        Mismatch: It was not, or ended early.
        OSError: Nobody answers there.
    """
    offers = [Subprotocol(name) for name in subprotocols] or None
    try:
        async with connect(f"ws://{address}{path}", subprotocols=offers, compression=None, proxy=None) as conversation:
            yield conversation
    except InvalidStatus as exc:
        raise Mismatch("a conversation", _answer(exc.response)) from exc
    except WebSocketException as exc:
        raise Mismatch("a conversation", str(exc)) from exc


async def echo_messages(address: str) -> int:
    """Text and binary messages come back as they are, and of their kind."""
    async with _conversing(address, "/chat") as conversation:
        for message in ("good morning \u2600", "", b"", secrets.token_bytes(_BINARY_BYTES)):
            await conversation.send(message)
            answer = await conversation.recv()
            if answer != message:
                raise Mismatch(_described(message), _described(answer))
    return 0


async def choose_subprotocol(address: str) -> int:
    """The application chooses one of those that are offered."""
    async with _conversing(address, "/chat", "first", SUBPROTOCOL) as conversation:
        if conversation.subprotocol != SUBPROTOCOL:
            raise Mismatch(f"subprotocol {SUBPROTOCOL}", f"{conversation.subprotocol}")
    return 0


async def close_with_code(address: str) -> int:
    """The application closes with the code and the reason that it is asked to."""
    code, reason = _CLOSE
    async with _conversing(address, "/chat") as conversation:
        await conversation.send(f"close {code} {reason}")
        try:
            answer = await conversation.recv()
        except ConnectionClosed:
            if (conversation.close_code, conversation.close_reason) != _CLOSE:
                got = f"{conversation.close_code} {conversation.close_reason}"
                raise Mismatch(f"a close with {code} {reason}", got) from None
        else:
            raise Mismatch(f"a close with {code}", _described(answer))
    return 0


async def be_refused(address: str) -> int:
    """The application's refusal comes with its body."""
    try:
        async with connect(f"ws://{address}/members", compression=None, proxy=None):
            raise Mismatch("status 403", "a conversation")
    except InvalidStatus as refused:
        response = refused.response
    if (response.status_code, response.body) != (403, REFUSAL):
        raise Mismatch(f"403 {REFUSAL!r}", _answer(response))
    return 0


def _answer(response: Response) -> str:
    """Status, and code and detail where it is a problem document."""
    body = bytes(response.body or b"")
    if response.headers.get("Content-Type") != "application/problem+json":
        return f"{response.status_code} {body[:80]!r}"
    problem = json.loads(body)
    return f"{response.status_code} {problem.get('code')} ({problem.get('detail', problem.get('title'))})"


def _described(message: str | bytes) -> str:
    return f"{type(message).__name__} of {len(message)}"

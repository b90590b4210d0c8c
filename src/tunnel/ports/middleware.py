"""What stands between a rule and the target it leads to."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Protocol

import msgspec

from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["Middleware", "MiddlewareKind"]


class Middleware(Protocol):
    """Handles conversations on their way to a target: looks at them, changes them, or answers them itself.

    There is one instance for each ``[middleware.NAME]`` table, shared by all rules that name it, on one server or
    client. It lives as long as its table stays as it is, so what it counts survives a reload. When it is replaced,
    conversations that began with it keep it to their end; then ``aclose`` is awaited, if it has one: a coroutine
    function without arguments.

    A class that is named in ``use`` declares::

        Options     a msgspec Struct, the options of its table; None for none
        protocols   a frozenset of "http", "grpc", "websocket", "tcp": what it has a meaning for; all if not declared

    and is called with the decoded ``Options``. Conversations of other protocols never reach it; a rule that is for
    those only may not name it.
    """

    Options: ClassVar[type[msgspec.Struct] | None]
    protocols: ClassVar[frozenset[str]]

    @abstractmethod
    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        """Handle one conversation, as ``ProxyTarget.handle`` does; runs concurrently with itself.

        Usually awaits ``target.handle`` once, with ``stream`` or with one around it that changes what passes
        (``tunnel.ports.stream_around``); to answer by itself it sends to ``stream`` and does not. Trying a target
        again is its server's business: what has been received from a stream is gone.

        Cancelled when the visitor leaves; must let that through.

        Args:
            stream: The conversation, as those before this middleware let it be seen.
            target: What comes next: another middleware, or whatever the rule leads to.

        Raises:
            Refusal: The conversation shall not pass; raised before anything was sent. Becomes an answer in the
                protocol of the conversation, which middleware before this one sees like any other.
            SessionError: It failed, here or further on; becomes an error answer before any other was sent.
        """


class MiddlewareKind(Protocol):
    """Makes middleware of options: the class itself, or something that stands for it.

    ``Options`` and ``protocols`` are those of the class, where it has them.
    """

    @abstractmethod
    def __call__(self, options: Any, /) -> Middleware:
        """One for a ``[middleware.NAME]`` table.

        Args:
            options: Of the type ``Options``; left out where that is None.

        Raises:
            ConfigurationError: With these options there is none; ``key_path`` is that within the table.
        """

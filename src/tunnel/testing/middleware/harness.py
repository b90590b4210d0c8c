"""What the contract of middleware needs to know about one kind of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final

from tunnel.domain.configuration.decoding import decode_table
from tunnel.domain.configuration.planned import PlannedKeys
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, Headers, HttpResponse, Opening, SessionPayload
from tunnel.ports.middleware import Middleware
from tunnel.testing.harness import Harness
from tunnel.testing.target.dialects import DIALECTS, Dialect

__all__ = ["PEER", "MiddlewareHarness"]

PEER: Final = "192.0.2.1"
"""Where conversations in checks come from."""


class MiddlewareHarness(Harness):
    """Makes middleware of one kind, and says what it changes; all else is shown to pass as it is."""

    kind: ClassVar[Any]
    """What ``use`` names: a class of middleware, or another ``MiddlewareKind``."""

    options: ClassVar[Mapping[str, object]] = {}
    """Of its table, as read from a file, with which ``opening`` passes, however often."""

    wrong: ClassVar[tuple[tuple[Mapping[str, object], str], ...]] = ()
    """Options that it refuses, each with the key that is to be named; empty only where there are no options."""

    remembers: ClassVar[Mapping[str, object] | None] = None
    """Options with which twenty conversations make a difference to a later one, as by failing, which is shown. None:
    with no options, and they are shown to make none."""

    own_fields: ClassVar[frozenset[bytes]] = frozenset()
    """Fields to which it gives other values each time, in lower case, which is shown."""

    answer_fields: ClassVar[Headers] = ()
    """Of the answers that targets give in checks."""

    buffered_bytes: ClassVar[int] = 0
    """Most that it holds of what passes, each way, when the other end does not listen; one way at least it holds a
    good part of that."""

    kept_conversations: ClassVar[int] = 100
    """Conversations that are over of which it may keep something, 1,000 at most; what it keeps of more is shown to grow
    no further."""

    def make(self, options: Mapping[str, object] | None = None) -> Middleware:
        """A new one.

        Args:
            options: Of its table; None: ``options`` of the class.

        Raises:
            ConfigurationError: It refuses them.
        """
        kind = type(self).kind
        shape = getattr(kind, "Options", None)
        made: Middleware = kind() if shape is None else kind(self._decoded(options, shape))
        return made

    def dialects(self) -> tuple[Dialect, ...]:
        """How conversations are held in the protocols that it has a meaning for; answers have ``answer_fields``."""
        protocols = getattr(type(self).kind, "protocols", DIALECTS)
        return tuple(
            replace(dialect, answer=partial(self._beginning, protocol))
            for protocol, dialect in DIALECTS.items()
            if protocol in protocols
        )

    def opening(self, dialect: Dialect) -> Opening:
        """The head of a conversation from ``PEER`` that passes."""
        return dialect.head()

    def passed(self, head: Opening) -> Opening:
        """What the target gets to see in place of ``head``."""
        return head

    def answered(self, beginning: SessionPayload) -> SessionPayload:
        """What the visitor gets in place of the beginning of an answer: a response or metadata, without a body."""
        return beginning

    def read_by_target(self, said: bytes) -> bytes:
        """What the visitor said, where the target gets ``said``: all of it so far, or one message."""
        return said

    def read_by_visitor(self, said: bytes) -> bytes:
        """What the target said, where the visitor gets ``said``: all of it so far, or one message."""
        return said

    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening] | None:
        """One that does not let the next conversation pass, and the head of that; None: it lets all pass, whatever they
        are, which is shown then.
        """
        del dialect
        return None

    def _beginning(self, protocol: str) -> SessionPayload | None:
        fields = type(self).answer_fields
        match protocol:
            case "http":
                return HttpResponse(200, fields)
            case "websocket":
                return HttpResponse(101, fields)
            case "grpc":
                return GrpcFrame(GrpcFrameType.METADATA, metadata=fields)
            case _:
                return None

    def _decoded(self, options: Mapping[str, object] | None, shape: Any) -> Any:
        return decode_table(type(self).options if options is None else options, shape, PlannedKeys())

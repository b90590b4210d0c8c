"""The status with which the peer ended a call, told from those that grpc.aio makes up.

A write that fails makes up the status INTERNAL, which takes the place of the peer's own when that has come already; so
the status is noted as it comes. grpc.aio tells of the first only: one that takes the place of a made-up one has to be
looked for. (grpc/grpc issue 36066.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import grpc
import grpc.aio

from tunnel.adapters.grpc.call_metadata import block_of
from tunnel.adapters.grpc.call_waits import at_once
from tunnel.domain.envelopes import Headers

__all__ = ["CallStatus", "FirstStatus"]

_Call: TypeAlias = "grpc.aio.StreamStreamCall[Any, Any] | grpc.aio.UnaryStreamCall[Any, Any]"

_MADE_UP: Final = "Internal error from Core"
"""Details of the status that grpc.aio makes up when a write fails."""

_LAG_S: Final = 1.0
"""How long the real status may lag behind a made-up one; both come from one queue of events."""

_LOOK_S: Final = 0.001
"""Between two looks whether the real status has taken the place of a made-up one, which gRPC tells nobody."""


class CallStatus(NamedTuple):
    """What a call ended with."""

    code: grpc.StatusCode
    details: str
    trailing: Headers


class FirstStatus:
    """Notes the first status of ``call`` that is not made up.

    Args:
        call: Has just begun.
        told: Called, in the event loop, when gRPC has told of a status for the first time, made up or not.
    """

    __slots__ = ("_call", "_noted", "_told", "made_up", "value")

    def __init__(self, call: _Call, told: Callable[[], None] | None = None) -> None:
        self.value: CallStatus | None = None
        """Of the peer, or of gRPC's core; None: it has not come yet."""
        self.made_up = False
        """Whether gRPC has made up a status, behind which it says nothing of the real one."""
        self._call = call
        self._told = told
        self._noted: asyncio.Event | None = None
        """For those who wait, if anybody does."""
        call.add_done_callback(self._note)

    async def wait(self) -> CallStatus:
        """Return the status as soon as it is there.

        Raises:
            TimeoutError: It has not come within a second of this.
        """
        if self.value is None:
            async with asyncio.timeout(_LAG_S):
                while self.value is None:
                    await self._further()
        return self.value

    async def _further(self) -> None:
        """Wait until gRPC has told of one, or for a moment: whoever waits has to look again."""
        if self.made_up:
            await asyncio.sleep(_LOOK_S)
            self._look()
            return
        if self._noted is None:
            self._noted = asyncio.Event()
        await self._noted.wait()

    def _note(self, _call: object) -> None:
        self._look()
        if self._noted is not None:
            self._noted.set()
        told, self._told = self._told, None
        if told is not None:
            told()

    def _look(self) -> None:
        """Note the status, which gRPC has at hand by now."""
        if self.value is not None:
            return
        code, details = at_once(self._call.code()), at_once(self._call.details()) or ""
        if code is grpc.StatusCode.INTERNAL and details == _MADE_UP:
            self.made_up = True
        else:
            self.value = CallStatus(code, details, block_of(at_once(self._call.trailing_metadata()) or ()))

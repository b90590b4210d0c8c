"""The peer's status is told from those that grpc.aio makes up, in whichever order they come."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from call_status_kit import MADE_UP, OWN, FakeCall, Status
from grpc_kit import run

from tunnel.adapters.grpc.client_stream import ClientStream
from tunnel.adapters.grpc.first_status import CallStatus, FirstStatus
from tunnel.domain.errors import LinkEnd, LinkError

ORDERS = [(OWN,), (OWN, MADE_UP), (MADE_UP, OWN), (MADE_UP, MADE_UP, OWN), (OWN, MADE_UP, MADE_UP)]
OTHER: Status = (grpc.StatusCode.INTERNAL, "of the target's own", ())


async def write(call: FakeCall) -> None:
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(b"m")


@pytest.mark.parametrize("statuses", ORDERS)
def test_status_is_the_peers(statuses: tuple[Status, ...]) -> None:
    async def scenario() -> None:
        call, told = FakeCall(*statuses), list[None]()
        status = FirstStatus(call, lambda: told.append(None))  # type: ignore[arg-type]
        given_up, waiting, other = (asyncio.create_task(status.wait()) for _ in range(3))
        await asyncio.sleep(0)
        given_up.cancel()
        assert (status.value, status.made_up, told) == (None, False, [])
        await write(call)
        assert await waiting == CallStatus(grpc.StatusCode.PERMISSION_DENIED, "not you", (b"k", b"v"))
        assert await other == await waiting
        assert await status.wait() == status.value
        assert status.made_up == (statuses[0] == MADE_UP)
        assert told == [None]

    run(scenario)


def test_internal_is_a_status_like_any_other() -> None:
    async def scenario() -> None:
        call = FakeCall(OTHER, OWN)
        status = FirstStatus(call)  # type: ignore[arg-type]
        await write(call)
        assert await status.wait() == CallStatus(grpc.StatusCode.INTERNAL, "of the target's own", ())
        assert not status.made_up

    run(scenario)


@pytest.mark.parametrize("statuses", [(MADE_UP,), (MADE_UP, MADE_UP)])
def test_status_that_never_comes_is_not_waited_for_without_end(
    statuses: tuple[Status, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunnel.adapters.grpc.first_status._LAG_S", 0.01)

    async def scenario() -> None:
        call = FakeCall(*statuses)
        status = FirstStatus(call)  # type: ignore[arg-type]
        await write(call)
        with pytest.raises(TimeoutError):
            await status.wait()
        assert status.value is None

    run(scenario)


class Channel:
    """Has one call."""

    def __init__(self, call: FakeCall) -> None:
        self._call = call

    def stream_stream(self, *_: object) -> object:
        return lambda *_, **__: self._call


@pytest.mark.parametrize("statuses", ORDERS)
def test_link_whose_write_fails_ends_as_the_server_said(statuses: tuple[Status, ...]) -> None:
    async def scenario() -> None:
        stream = ClientStream(Channel(FakeCall(*statuses)), "/s/m")  # type: ignore[arg-type]
        for operation in (stream.write(b"m"), stream.read()):
            with pytest.raises(LinkError) as caught:
                await operation
            assert (caught.value.end, caught.value.reason) == (LinkEnd.REFUSED, "gRPC PERMISSION_DENIED: not you")

    run(scenario)


def test_link_whose_server_says_nothing_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunnel.adapters.grpc.first_status._LAG_S", 0.01)

    async def scenario() -> None:
        stream = ClientStream(Channel(FakeCall(MADE_UP)), "/s/m")  # type: ignore[arg-type]
        with pytest.raises(LinkError) as caught:
            await stream.write(b"m")
        assert caught.value.end is LinkEnd.BROKEN

    run(scenario)

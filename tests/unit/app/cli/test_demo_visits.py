"""The demo's visits: they pass at the sample application, and notice what a bad tunnel would do to its answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import uvicorn

from tunnel.app.cli import demo_visits
from tunnel.app.cli.demo_app import SampleApplication, blocks
from tunnel.app.cli.demo_visits import VISITS, Outcome, pay

ABOUT_THE_TUNNEL = {"unknown host: 404 route_not_found", "upstream refuses: 502 upstream_unreachable"}
ABOUT_THE_APPLICATION = [visit.name for visit in VISITS if visit.name not in ABOUT_THE_TUNNEL]
WITHOUT_BYTES = {
    "two Set-Cookie headers stay two",
    "WebSocket: the subprotocol is the application's choice",
    "WebSocket: close code and reason",
}
IN_VAIN_S = 0.3


class Distortion:
    """What a bad tunnel does to an application; by itself, nothing."""

    def __init__(self) -> None:
        self.application = SampleApplication()

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await self.application(scope, receive, send)


class Flipped(Distortion):
    """Changes the last byte of each piece."""

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        async def distorted(message: dict[str, Any]) -> None:
            for key in ("body", "bytes"):
                if data := message.get(key):
                    message = message | {key: data[:-1] + bytes([data[-1] ^ 1])}
            await send(message)

        await self.application(scope, receive, distorted)


class Lossy(Distortion):
    """Loses the end of requests."""

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        async def distorted() -> Mapping[str, Any]:
            message = await receive()
            return message | {"body": message["body"][:-1]} if message.get("body") else message

        await self.application(scope, distorted, send)


class Folded(Distortion):
    """Keeps one header of each name."""

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        async def distorted(message: dict[str, Any]) -> None:
            await send(
                message | {"headers": list(dict(message["headers"]).items())} if "headers" in message else message
            )

        await self.application(scope, receive, distorted)


class Buffered(Distortion):
    """Sends nothing before the response is whole."""

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        held = []

        async def distorted(message: dict[str, Any]) -> None:
            held.append(message)

        await self.application(scope, receive, distorted)
        for message in held:
            await send(message)


class OneByOne(Distortion):
    """Serves a request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Semaphore(1)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        async with self.turn:
            await self.application(scope, receive, send)


class Deaf(Distortion):
    """Does not tell that the visitor has left."""

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        async def distorted() -> Mapping[str, Any]:
            message: Mapping[str, Any] = await receive()
            if message["type"] == "http.disconnect":
                await asyncio.sleep(10 * IN_VAIN_S)
            return message

        await self.application(scope, distorted, send)


@contextlib.asynccontextmanager
async def served(application: Distortion) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    host, port = listener.getsockname()
    config = uvicorn.Config(
        application, lifespan="off", ws="auto", log_level="critical", timeout_graceful_shutdown=0, access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve([listener]))
    try:
        yield f"{host}:{port}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


def outcomes(kind: type[Distortion]) -> dict[str, Outcome]:
    """Make all visits that are about the application."""

    async def scenario() -> list[Outcome]:
        visits = [visit for visit in VISITS if visit.name in ABOUT_THE_APPLICATION]
        async with served(kind()) as address:
            return [await pay(visit, address) for visit in visits]

    return {outcome.name: outcome for outcome in asyncio.run(scenario())}


def failed(kind: type[Distortion]) -> set[str]:
    return {name for name, outcome in outcomes(kind).items() if outcome.failure is not None}


def test_names_are_all_different() -> None:
    assert len({visit.name for visit in VISITS}) == len(VISITS)
    assert {visit.name for visit in VISITS} >= ABOUT_THE_TUNNEL


def test_all_pass_at_the_application_itself() -> None:
    assert {name: outcome.failure for name, outcome in outcomes(Distortion).items()} == dict.fromkeys(
        ABOUT_THE_APPLICATION
    )


def test_transfers_tell_how_much_they_carried() -> None:
    carried = {name: outcome.carried_bytes for name, outcome in outcomes(Distortion).items()}
    assert {name: count for name, count in carried.items() if count} == {
        "download of 16 MiB": 16 * 1024 * 1024,
        "upload of 16 MiB": 16 * 1024 * 1024,
    }


@pytest.mark.parametrize(
    ("kind", "noticed_by"),
    [
        (Flipped, set(ABOUT_THE_APPLICATION) - WITHOUT_BYTES),
        (
            Lossy,
            {
                "POST, the body comes back",
                "upload of 16 MiB",
                "100 requests at once, each with its own body",
            },
        ),
        (Folded, {"two Set-Cookie headers stay two"}),
    ],
)
def test_distorted_answers_are_noticed(
    kind: type[Distortion], noticed_by: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A distorted event is no event, so the next one is waited for.
    monkeypatch.setattr(demo_visits, "_DEADLINE_S", 2.0)
    assert failed(kind) == noticed_by


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (Buffered, "server-sent events, one at a time"),
        (OneByOne, "100 requests at once, each with its own body"),
        (Deaf, "visitor leaves: the work is cancelled"),
    ],
)
def test_what_never_comes_is_noticed(kind: type[Distortion], row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_visits, "_DEADLINE_S", IN_VAIN_S)
    visit = next(visit for visit in VISITS if visit.name == row)

    async def scenario() -> Outcome:
        async with served(kind()) as address:
            return await pay(visit, address)

    assert asyncio.run(scenario()).failure == "expected an end within 0 s, got none"


@pytest.mark.parametrize("name", sorted(ABOUT_THE_TUNNEL))
def test_problems_are_expected_to_be_problems(name: str) -> None:
    visit = next(visit for visit in VISITS if visit.name == name)

    async def scenario() -> Outcome:
        async with served(Distortion()) as address:
            return await pay(visit, address)

    failure = asyncio.run(scenario()).failure
    assert failure is not None
    assert failure.startswith("expected ")


def test_nobody_there_is_a_failure_of_every_row() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failures = [asyncio.run(pay(visit, address)).failure or "" for visit in VISITS]
    assert all(failure.startswith("expected an answer, got ConnectionRefusedError: ") for failure in failures)


def test_no_two_blocks_are_equal() -> None:
    whole = list(blocks(200_000))
    assert len(set(whole)) == len(whole)
    assert sum(map(len, whole)) == 200_000
    assert list(blocks(0)) == []
    assert [len(piece) for piece in blocks(5)] == [5]

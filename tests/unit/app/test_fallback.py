"""Which way a conversation goes from an entry: through the tunnel, or past it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest
from support.app_kit import FakeStream, FakeUpstream, echo

from tunnel.adapters.clock import AnyioClock
from tunnel.app.attempt import Attempt
from tunnel.app.direct_targets import DirectTargets
from tunnel.app.direct_ways import DirectWays, tcp_entry
from tunnel.app.fallback import Fallback
from tunnel.domain.configuration import (
    ClientSettings,
    FallbackSettings,
    ListenerTlsSettings,
    Secret,
    TargetPolicy,
    UpstreamSettings,
)
from tunnel.domain.configuration.entry import EntrySettings, HttpEntrySettings, TcpEntrySettings
from tunnel.domain.envelopes import BodyChunk, HttpRequest, HttpResponse, TcpOpen
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.ports.target import Stream

pytestmark = pytest.mark.anyio

GET = HttpRequest("GET", b"/", host=b"a.internal.test", end=True)
POST = HttpRequest("POST", b"/", host=b"a.internal.test", headers=(b"host", b"a.internal.test"))
BY_REQUEST = FallbackSettings(direct=True, allow=("*.internal.test:80", "10.0.0.0/8"))
OWN_TARGET = "http://10.0.0.7:80"


def ways(*, direct: str | None = None, fallback: FallbackSettings = BY_REQUEST) -> DirectWays:
    settings = ClientSettings(
        group="web",
        servers=("memory://edge",),
        token=Secret("t"),
        entry=EntrySettings(http=HttpEntrySettings(listen="127.0.0.1:9080", direct=direct)),
        fallback=fallback,
    )
    return DirectWays(settings, lambda address, port: (address, port) == ("127.0.0.1", 9080))


class Lab:
    """A fallback whose tunnel and targets are functions; keeps what each was given."""

    def __init__(self, *, direct: str | None = None, fallback: FallbackSettings = BY_REQUEST) -> None:
        self.up = True
        self.made: dict[str, FakeUpstream] = {}
        self.policies: dict[str, TargetPolicy] = {}
        self.by_tunnel: list[Stream] = []
        self.tunnel: Callable[[Stream, Attempt], Awaitable[None]] = answered_by_tunnel
        self.target: Callable[[Stream], Awaitable[None]] = echo
        self.closing: list[Callable[[], Any]] = []
        self.fallback = Fallback(
            ways(direct=direct, fallback=fallback),
            DirectTargets(self._make, start=self.closing.append, max_targets=2),
            through=self,
            token=b"mine",
        )

    def _make(self, url: str, settings: UpstreamSettings, policy: TargetPolicy) -> FakeUpstream:
        assert settings.targets == (url,)
        self.policies[url] = policy
        self.made[url] = FakeUpstream(self._answer)
        return self.made[url]

    async def _answer(self, stream: Stream) -> None:
        await self.target(stream)

    async def ask(self, stream: FakeStream, *, entry: str = "http") -> Attempt:
        attempt = Attempt("http", AnyioClock())
        await self.fallback.at(entry).handle(stream, attempt)
        return attempt

    async def refused(self, stream: FakeStream) -> SessionError:
        with pytest.raises(SessionError) as caught:
            await self.ask(stream)
        return caught.value

    async def handle(self, stream: Stream, attempt: Attempt, leaves: Callable[[ErrorCode], bool] | None = None) -> None:
        """The way through the tunnel."""
        self.by_tunnel.append(stream)
        await self.tunnel(stream, attempt)

    async def settle(self) -> None:
        """Do what was left for the background."""
        while self.closing:
            await self.closing.pop()()


async def answered_by_tunnel(stream: Stream, attempt: Attempt) -> None:
    attempt.begin()
    attempt.fail(started=True, credited=False)
    await stream.send(HttpResponse(200, (b"server", b"far"), b"far", end=True))


def failing(code: ErrorCode, *, started: bool, read: int = 0, answer: bool = False) -> Any:
    """A tunnel that reads ``read`` envelopes, then fails."""

    async def fail(stream: Stream, attempt: Attempt) -> None:
        attempt.begin()
        for _ in range(read):
            attempt.hold(await stream.receive())
        attempt.fail(started=started, credited=False)
        if answer:
            attempt.answer(HttpResponse(200))
            await stream.send(HttpResponse(200))
        raise SessionError(code, "no")

    return fail


def route_of(stream: FakeStream) -> list[bytes]:
    assert stream.answer is not None
    headers = stream.answer.headers
    return [value for name, value in zip(headers[::2], headers[1::2], strict=True) if name == b"tunnel-route"]


# -- which way


async def test_conversation_goes_through_the_tunnel_while_one_is_up() -> None:
    lab = Lab()
    stream = FakeStream(GET)
    attempt = await lab.ask(stream)
    assert (stream.body, route_of(stream), attempt.route) == (b"far", [b"tunnel"], "tunnel")
    assert not lab.made


async def test_conversation_goes_directly_while_none_is_and_the_next_one_returns_at_once() -> None:
    lab = Lab()
    lab.up = False
    stream = FakeStream(POST, [BodyChunk(b"near", end=True)])
    attempt = await lab.ask(stream)
    assert (stream.body, route_of(stream), attempt.route) == (b"near", [b"direct"], "direct")
    assert not lab.by_tunnel
    lab.up = True
    again = FakeStream(GET)
    await lab.ask(again)
    assert route_of(again) == [b"tunnel"]


async def test_direct_conversation_under_way_finishes_where_it_is_when_the_tunnel_returns() -> None:
    lab = Lab()
    lab.up = False
    stream = FakeStream(POST)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lab.ask, stream)
        await anyio.wait_all_tasks_blocked()
        lab.up = True
        stream.feed(BodyChunk(b"still here", end=True))
    assert (stream.body, route_of(stream)) == (b"still here", [b"direct"])


async def test_host_that_is_not_allowed_has_what_it_has_without_fallback() -> None:
    lab = Lab(fallback=FallbackSettings(direct=True, allow=("*.internal.test",)))
    lab.up = False
    lab.tunnel = failing(ErrorCode.NO_CLIENT, started=False)
    error = await lab.refused(FakeStream(msgspec.structs.replace(GET, host=b"elsewhere.test:81")))
    assert error.code is ErrorCode.NO_CLIENT
    assert len(lab.by_tunnel) == 1
    assert not lab.made


@pytest.mark.parametrize("fallback", [FallbackSettings(), FallbackSettings(direct=True)])
async def test_nothing_goes_directly_where_nothing_is_allowed(fallback: FallbackSettings) -> None:
    lab = Lab(fallback=fallback)
    lab.up = False
    stream = FakeStream(GET)
    assert (await lab.ask(stream)).route == "tunnel"
    assert not lab.made


async def test_answer_of_an_entry_without_a_direct_way_is_left_as_it_is() -> None:
    lab = Lab(fallback=FallbackSettings())
    stream = FakeStream(GET)
    await lab.ask(stream)
    assert stream.answer == HttpResponse(200, (b"server", b"far"), b"far", end=True)


async def test_route_is_not_told_where_that_is_switched_off() -> None:
    lab = Lab(fallback=msgspec.structs.replace(BY_REQUEST, route_header=False))
    through, past = FakeStream(GET), FakeStream(GET)
    await lab.ask(through)
    lab.up = False
    await lab.ask(past)
    assert route_of(through) == route_of(past) == []


async def test_entry_with_a_target_of_its_own_goes_there_whatever_is_asked_for() -> None:
    lab = Lab(direct=OWN_TARGET)
    lab.up = False
    await lab.ask(FakeStream(msgspec.structs.replace(GET, host=b"elsewhere.test")))
    assert list(lab.made) == [OWN_TARGET]
    assert lab.policies[OWN_TARGET].permits("10.0.0.7", 80, "10.0.0.7")
    assert not lab.policies[OWN_TARGET].permits("10.0.0.7", 81, "10.0.0.7")


async def test_name_that_resolves_to_what_is_not_allowed_is_as_one_without_a_direct_way() -> None:
    lab = Lab()
    lab.up = False

    async def forbidden(stream: Stream) -> None:
        raise SessionError(ErrorCode.FORBIDDEN, "dialling this upstream is not allowed", detail="192.0.2.1")

    lab.target = forbidden
    # The network 10.0.0.0/8 is allowed on any port, and the name might resolve into it.
    error = await lab.refused(FakeStream(msgspec.structs.replace(GET, host=b"elsewhere.test")))
    assert error.code is ErrorCode.NO_CLIENT
    assert "192.0.2.1" not in error.message


# -- what was to go through the tunnel and did not


@pytest.mark.parametrize("code", [ErrorCode.REFUSED, ErrorCode.OVERLOADED, ErrorCode.PEER_LOST])
async def test_what_never_reached_a_link_goes_directly_with_all_that_was_read(code: ErrorCode) -> None:
    lab = Lab()
    lab.tunnel = failing(code, started=False, read=2)
    stream = FakeStream(POST, [BodyChunk(b"one "), BodyChunk(b"two "), BodyChunk(b"three", end=True)])
    attempt = await lab.ask(stream)
    assert (stream.body, route_of(stream)) == (b"one two three", [b"direct"])
    assert (attempt.received_bytes, attempt.sent_bytes, attempt.tries) == (13, 13, 2)


async def test_what_a_leaving_server_refused_goes_directly() -> None:
    lab = Lab()

    async def go_away(stream: Stream, attempt: Attempt) -> None:
        lab.up = False
        await failing(ErrorCode.REFUSED, started=True)(stream, attempt)

    lab.tunnel = go_away
    stream = FakeStream(GET)
    await lab.ask(stream)
    assert route_of(stream) == [b"direct"]


@pytest.mark.parametrize("code", [code for code in ErrorCode if code is not ErrorCode.REFUSED])
async def test_what_may_have_started_is_never_sent_directly_though_it_is_idempotent(code: ErrorCode) -> None:
    lab = Lab()

    async def lost(stream: Stream, attempt: Attempt) -> None:
        lab.up = False
        await failing(code, started=True)(stream, attempt)

    lab.tunnel = lost
    assert (await lab.refused(FakeStream(GET))).code is code
    assert not lab.made


async def test_what_a_server_refuses_that_stays_is_not_taken_elsewhere() -> None:
    lab = Lab()
    lab.tunnel = failing(ErrorCode.REFUSED, started=True)
    assert (await lab.refused(FakeStream(GET))).code is ErrorCode.REFUSED
    assert not lab.made


async def test_what_was_answered_in_part_is_never_begun_again() -> None:
    lab = Lab()
    lab.tunnel = failing(ErrorCode.PEER_LOST, started=False, answer=True)
    assert (await lab.refused(FakeStream(GET))).code is ErrorCode.PEER_LOST
    assert not lab.made


async def test_what_is_too_much_to_be_held_is_not_begun_again() -> None:
    lab = Lab()
    lab.tunnel = failing(ErrorCode.PEER_LOST, started=False, read=1)
    stream = FakeStream(POST, [BodyChunk(bytes(65 * 1024)), BodyChunk(b"", end=True)])
    assert (await lab.refused(stream)).code is ErrorCode.PEER_LOST
    assert not lab.made


# -- circles


async def test_what_was_here_before_is_refused_whichever_way_it_would_go() -> None:
    lab = Lab()
    for lab.up in (True, False):
        error = await lab.refused(FakeStream(msgspec.structs.replace(GET, headers=(b"tunnel-hops", b"mine"))))
        assert error.code is ErrorCode.LOOP_DETECTED
    assert not lab.by_tunnel
    assert not lab.made


async def test_token_goes_along_directly_and_not_through_the_tunnel() -> None:
    lab = Lab()
    await lab.ask(FakeStream(POST, [BodyChunk(b"", end=True)]))
    assert lab.by_tunnel[0].head == POST
    lab.up = False
    await lab.ask(FakeStream(POST, [BodyChunk(b"", end=True)]))
    [target] = lab.made.values()
    assert target.heads == [msgspec.structs.replace(POST, headers=(*POST.headers, b"tunnel-hops", b"mine"))]


# -- targets


async def test_requests_to_one_server_share_its_target_and_those_to_others_do_not() -> None:
    lab = Lab()
    lab.up = False
    for host in (b"a.internal.test", b"A.internal.test:80", b"b.internal.test"):
        await lab.ask(FakeStream(msgspec.structs.replace(GET, host=host)))
    assert list(lab.made) == ["http://a.internal.test:80", "http://b.internal.test:80"]


async def test_target_unused_for_longest_makes_room_for_another() -> None:
    lab = Lab()
    lab.up = False
    for host in (b"a.internal.test", b"b.internal.test", b"a.internal.test", b"c.internal.test"):
        await lab.ask(FakeStream(msgspec.structs.replace(GET, host=host)))
    await lab.settle()
    assert {url: made.closed for url, made in lab.made.items()} == {
        "http://a.internal.test:80": 0,
        "http://b.internal.test:80": 1,
        "http://c.internal.test:80": 0,
    }


async def test_busy_targets_do_not_make_room() -> None:
    lab = Lab()
    lab.up = False
    streams = [
        FakeStream(msgspec.structs.replace(POST, host=host)) for host in (b"a.internal.test", b"b.internal.test")
    ]
    async with anyio.create_task_group() as tasks:
        for stream in streams:
            tasks.start_soon(lab.ask, stream)
        await anyio.wait_all_tasks_blocked()
        error = await lab.refused(FakeStream(msgspec.structs.replace(GET, host=b"c.internal.test")))
        assert error.code is ErrorCode.OVERLOADED
        for stream in streams:
            stream.feed(BodyChunk(b"", end=True))
    assert not lab.closing


async def test_other_settings_hold_for_the_next_and_those_under_way_finish_before_their_target_is_closed() -> None:
    lab = Lab()
    lab.up = False
    stream = FakeStream(POST)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lab.ask, stream)
        await anyio.wait_all_tasks_blocked()
        lab.fallback.follow(ways(direct=OWN_TARGET))
        await lab.settle()
        await lab.ask(FakeStream(GET))
        assert [each.closed for each in lab.made.values()] == [0, 0]
        stream.feed(BodyChunk(b"whole", end=True))
    await lab.settle()
    assert stream.body == b"whole"
    assert {url: made.closed for url, made in lab.made.items()} == {"http://a.internal.test:80": 1, OWN_TARGET: 0}


async def test_closing_closes_every_target_although_one_fails_to() -> None:
    lab = Lab()
    lab.up = False
    for host in (b"a.internal.test", b"b.internal.test"):
        await lab.ask(FakeStream(msgspec.structs.replace(GET, host=host)))
    first, second = lab.made.values()

    async def fail() -> None:
        raise OSError("no")

    first.aclose = fail  # type: ignore[method-assign]
    await lab.fallback.aclose()
    assert second.closed == 1


async def test_visitor_that_leaves_cancels_what_is_done_directly() -> None:
    lab = Lab()
    lab.up = False

    async def hang(stream: Stream) -> None:
        await anyio.sleep_forever()

    lab.target = hang
    with anyio.move_on_after(1):
        await lab.ask(FakeStream(GET))
    [target] = lab.made.values()
    assert (target.running, target.cancelled) == (0, 1)


async def test_visitor_that_wants_no_more_ends_what_is_done_directly() -> None:
    lab = Lab()
    lab.up = False

    class Deaf(FakeStream):
        async def send(self, payload: Any) -> None:
            raise SendingStopped("enough")

    visitor = Deaf(GET)
    await lab.ask(visitor)
    assert lab.made
    assert visitor.error is None


async def test_entry_with_tls_asks_the_named_host_over_tls() -> None:
    tls = ListenerTlsSettings(certificate="server.pem", key="server.key")
    settings = ClientSettings(
        group="web",
        servers=("memory://edge",),
        token=Secret("t"),
        entry=EntrySettings(http=HttpEntrySettings(listen="127.0.0.1:9080", tls=tls)),
        fallback=msgspec.structs.replace(BY_REQUEST, allow=("*.internal.test",)),
    )
    way = DirectWays(settings, lambda *_: False).find("http", GET)
    assert way is not None
    assert way.url == "https://a.internal.test:443"


# -- tcp


async def test_tcp_entry_has_the_way_of_its_own_name_and_no_other() -> None:
    settings = ClientSettings(
        group="web",
        servers=("memory://edge",),
        token=Secret("t"),
        entry=EntrySettings(
            tcp=(
                TcpEntrySettings(listen="127.0.0.1:1", upstream="ssh", direct="tcp://10.0.0.8:22"),
                TcpEntrySettings(listen="127.0.0.1:2", upstream="ssh", name="other"),
            )
        ),
        fallback=BY_REQUEST,
    )
    found = DirectWays(settings, lambda *_: False)
    ssh, other = map(tcp_entry, settings.entry.tcp)
    way = found.find(ssh, TcpOpen("ssh"))
    assert way is not None
    assert way.url == "tcp://10.0.0.8:22"
    assert not found.has_any(other)
    assert not found.has_any("http")

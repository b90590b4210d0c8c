"""Listeners take and give back addresses, and end what they began; transports say when nobody is there."""

from __future__ import annotations

import anyio

from tunnel.domain.envelopes import KIND_OF, Envelope, Error, Frame, Payload, Register
from tunnel.domain.errors import ErrorCode, LinkEnd, ListenError
from tunnel.ports.transport import Link, Listener
from tunnel.testing.holdings import Holdings
from tunnel.testing.transport import rules
from tunnel.testing.transport.ends import CLOSE_S, expect, in_time
from tunnel.testing.transport.frames import chunk_frame, end_of, receive_until_end
from tunnel.testing.transport.harness import CONNECT_S, TransportHarness
from tunnel.testing.transport.held_links import HeldLinks
from tunnel.testing.transport.rules import TRANSPORT

__all__: list[str] = []

_TIMEOUT_S = 0.2

_REFUSALS = (ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.SUPERSEDED, ErrorCode.PROTOCOL_ERROR)
"""Codes of a server that will not have a client, for good; a transport has no word in it."""


async def _end_of_connecting(harness: TransportHarness, url: str, *, timeout_s: float) -> LinkEnd:
    return await end_of(lambda: harness.transport().connect(url, timeout_s=timeout_s))


@TRANSPORT.shows(rules.NOBODY)
async def connecting_to_nobody_is_unreachable(harness: TransportHarness) -> None:
    end = await _end_of_connecting(harness, harness.nobody_url(), timeout_s=CONNECT_S)
    expect(end, LinkEnd.UNREACHABLE, when="where nobody listens")


@TRANSPORT.shows(rules.TIMEOUT)
async def listener_that_does_not_answer_is_unreachable_in_time(harness: TransportHarness) -> None:
    listener = harness.listener()
    listener.bind()
    try:
        with anyio.move_on_after(_TIMEOUT_S + CLOSE_S) as scope:
            end = await _end_of_connecting(harness, harness.url(listener), timeout_s=_TIMEOUT_S)
    finally:
        listener.stop()
    assert not scope.cancelled_caught, f"still connects although timeout_s={_TIMEOUT_S} is over"
    expect(end, LinkEnd.UNREACHABLE, when="where a listener is bound and does not serve")


@TRANSPORT.shows(rules.REFUSAL)
async def refusals_are_heard_before_the_end(harness: TransportHarness) -> None:
    class Refusing(HeldLinks):
        """Refuses whoever registers, with the code that its credential names."""

        async def proxy(self, link: Link) -> None:
            (envelope,) = (await link.receive()).envelopes
            assert isinstance(envelope.payload, Register), f"{envelope.payload!r} arrived in place of a handshake"
            await link.send(_handshake(Error(envelope.payload.credential, "so it is", "and why")))
            await link.aclose()

    async def refused(listener: Listener, code: ErrorCode) -> None:
        client = await harness.connect(listener)
        await client.send(_handshake(Register((1,), "client", "group", b"\x01" * 16, code.value)))
        arrived, _ = await receive_until_end(client)
        refusal = _handshake(Error(code.value, "so it is", "and why"))
        assert arrived == [refusal], f"{arrived} arrived of a refusal as {code.value}"
        await in_time(client.aclose(), "closing")

    async with harness.serve(Refusing()) as listener:
        # Two at a time: that more of them do not mix is another rule's.
        for first, second in zip(_REFUSALS[::2], _REFUSALS[1::2], strict=True):
            async with anyio.create_task_group() as clients:
                clients.start_soon(refused, listener, first)
                clients.start_soon(refused, listener, second)


def _handshake(payload: Payload) -> Frame:
    return Frame((Envelope(0, KIND_OF[type(payload)], payload),))


@TRANSPORT.shows(rules.ADDRESS)
async def taken_address_is_a_listen_error(harness: TransportHarness) -> None:
    first = harness.listener()
    first.bind()
    try:
        harness.listener_at(first.address).bind()
    except ListenError as exc:
        assert exc.reason, "a ListenError without a reason"
    else:
        raise AssertionError(f"{first.address} was taken twice")
    finally:
        first.stop()
    again = harness.listener_at(first.address)
    again.bind()
    again.stop()


@TRANSPORT.shows(rules.STOP)
async def listener_that_was_stopped_before_it_serves_returns(harness: TransportHarness) -> None:
    listener = harness.listener()
    listener.bind()
    listener.stop()
    await in_time(listener.serve(HeldLinks(), lambda: None), "serving what was stopped")


@TRANSPORT.shows(rules.STOP)
async def stopping_the_listener_ends_its_links(harness: TransportHarness) -> None:
    held = HeldLinks()
    async with harness.serve(held) as listener:
        client = await harness.connect(listener)
        server = await held.link()
        url = harness.url(listener)
        listener.stop()
        expect(await end_of(client.receive), LinkEnd.BROKEN, LinkEnd.ENDED, when="to a client of a stopped listener")
    expect(await end_of(server.receive), LinkEnd.BROKEN, LinkEnd.CLOSED, when="to a link of a stopped listener")
    end = await _end_of_connecting(harness, url, timeout_s=1)
    expect(end, LinkEnd.UNREACHABLE, when="where a listener was stopped")
    await in_time(client.aclose(), "closing")


@TRANSPORT.shows(rules.RETURN)
async def link_is_closed_when_its_service_returns(harness: TransportHarness) -> None:
    held = HeldLinks()
    async with harness.serve(held) as listener:
        client = await harness.connect(listener)
        server = await held.link()
        await server.send(chunk_frame(1))
        held.let_go()
        arrived, end = await receive_until_end(client)
        assert arrived == [chunk_frame(1)], f"{len(arrived)} of 1 frames arrived"
        expect(end, LinkEnd.ENDED, when="when the service returned")
        await in_time(client.aclose(), "closing")


@TRANSPORT.shows(rules.FAIL)
async def service_that_fails_breaks_its_own_link_only(harness: TransportHarness) -> None:
    class OnceFailing(HeldLinks):
        failed = False

        async def proxy(self, link: Link) -> None:
            if not self.failed:
                self.failed = True
                raise ValueError("a bug in the service")
            await super().proxy(link)

    held = OnceFailing()
    async with harness.serve(held) as listener:
        failing = await harness.connect(listener)
        expect(await end_of(failing.receive), LinkEnd.BROKEN, when="when the service failed")
        client = await harness.connect(listener)
        await client.send(chunk_frame(1))
        assert await (await held.link()).receive() == chunk_frame(1)
        await in_time(client.aclose(), "closing")
        await in_time(failing.aclose(), "closing")


@TRANSPORT.shows(rules.NOTHING_LEFT)
async def nothing_is_left_of_links(harness: TransportHarness) -> None:
    async def all_ways() -> None:
        async with harness.connected_pair() as (client, server):
            await server.aclose()
            await client.aclose()
        async with harness.connected_pair() as (client, server):
            server.abort()
            client.abort()
        async with harness.connected_pair() as (client, server):
            await harness.sever(client)
            await client.aclose()
        await end_of(lambda: harness.transport().connect(harness.nobody_url(), timeout_s=CONNECT_S))

    # What is made once, and for all links, is no leak.
    await all_ways()
    before = Holdings.now()
    await all_ways()
    left = await before.beyond(patience_s=CLOSE_S)
    assert not left, f"left behind: {', '.join(left)}"


@TRANSPORT.shows(rules.NOTHING_LEFT)
async def nothing_is_left_of_a_clogged_link(harness: TransportHarness) -> None:
    before = {task.id for task in anyio.get_running_tasks()}
    async with harness.clogged_pair() as clogged:
        await clogged.receiver.aclose()
        await clogged.sender.aclose()
    left = [task.name for task in anyio.get_running_tasks() if task.id not in before]
    assert not left, f"left behind: {', '.join(map(str, left))}"

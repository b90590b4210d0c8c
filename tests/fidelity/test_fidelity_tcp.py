"""What becomes of a TCP connection: its bytes, the end of each direction, and resets."""

from __future__ import annotations

import random
import sys
import threading
from contextlib import nullcontext

import pytest
from fidelity_sockets import DEADLINE_S, RawSocket
from fidelity_wire import Wire

LOOK_S = 0.5
"""How often connections that are not read are looked at."""

MUCH_BYTES = 64 << 20
"""More than all buffers and windows on the way hold."""


def check_reset(socket: RawSocket) -> None:
    """What came last is a reset, not an end."""
    with pytest.raises(ConnectionResetError):
        socket.rest()


def hear_all(sockets: list[RawSocket]) -> list[bytes]:
    """All that each hears to its end, at the same time."""
    heard: dict[RawSocket, bytes] = {}
    threads = [threading.Thread(target=lambda each=each: heard.update({each: each.rest()})) for each in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * DEADLINE_S)
    return [heard[each] for each in sockets]


@pytest.mark.fidelity("T-BYTES")
def test_bytes_arrive_as_they_were_said_both_ways_at_once(wire: Wire) -> None:
    caller, called = wire.call()
    up, down = random.Random(1).randbytes(1_500_000), random.Random(2).randbytes(2_500_000)

    def say(socket: RawSocket, data: bytes) -> None:
        socket.say(data)
        socket.half_close()

    talking = [threading.Thread(target=say, args=each) for each in ((caller, up), (called, down))]
    for each in talking:
        each.start()
    heard = hear_all([called, caller])
    for each in talking:
        each.join()

    assert heard[0] == up
    assert heard[1] == down


@pytest.mark.fidelity("T-BYTES")
def test_every_byte_is_passed_on_when_it_comes(wire: Wire) -> None:
    caller, called = wire.call()

    for number in range(20):
        caller.say(b"%d" % number)
        assert called.take(len(b"%d" % number)) == b"%d" % number
        called.say(b"\0")
        assert caller.take(1) == b"\0"


@pytest.mark.fidelity("T-SERVER-FIRST")
def test_server_that_speaks_first_is_heard(wire: Wire) -> None:
    caller, called = wire.call()

    called.say(b"SSH-2.0-test\r\n")

    assert caller.take(14) == b"SSH-2.0-test\r\n"
    assert called.is_quiet()


@pytest.mark.fidelity("T-HALF-CLOSE-VISITOR")
def test_caller_that_says_no_more_goes_on_hearing(wire: Wire) -> None:
    caller, called = wire.call()
    caller.say(b"question")
    caller.half_close()
    assert called.rest() == b"question"

    for _ in range(3):
        called.say(b"answer")
        assert caller.take(6) == b"answer"
    called.close()

    assert caller.rest() == b""


@pytest.mark.fidelity("T-HALF-CLOSE-VISITOR")
def test_caller_that_says_nothing_at_all_ends_its_direction(wire: Wire) -> None:
    caller, called = wire.call()
    caller.half_close()

    assert called.rest() == b""
    called.say(b"anyway")
    called.close()
    assert caller.rest() == b"anyway"


@pytest.mark.fidelity("T-HALF-CLOSE-UPSTREAM")
def test_upstream_that_says_no_more_goes_on_hearing(wire: Wire) -> None:
    caller, called = wire.call()
    called.say(b"greeting")
    called.half_close()
    assert caller.rest() == b"greeting"

    for _ in range(3):
        caller.say(b"more")
        assert called.take(4) == b"more"
    caller.close()

    assert called.rest() == b""


@pytest.mark.fidelity("T-RESET-VISITOR")
def test_reset_by_the_caller_reaches_the_upstream_as_one(wire: Wire) -> None:
    caller, called = wire.call()
    caller.say(b"x")
    assert called.take(1) == b"x"

    caller.reset()

    check_reset(called)


@pytest.mark.fidelity("T-RESET-VISITOR")
def test_reset_by_the_caller_after_the_upstreams_end_reaches_it(wire: Wire) -> None:
    caller, called = wire.call()
    called.half_close()
    assert caller.rest() == b""

    caller.reset()

    check_reset(called)


@pytest.mark.fidelity("T-RESET-UPSTREAM")
def test_reset_by_the_upstream_reaches_the_caller_as_one(wire: Wire) -> None:
    caller, called = wire.call()
    called.say(b"x")
    assert caller.take(1) == b"x"

    called.reset()

    check_reset(caller)


@pytest.mark.fidelity("T-RESET-UPSTREAM")
def test_reset_by_the_upstream_after_the_callers_end_reaches_it(wire: Wire) -> None:
    caller, called = wire.call()
    caller.half_close()
    assert called.rest() == b""

    called.reset()
    wire.pass_time(LOOK_S)

    check_reset(caller)


@pytest.mark.fidelity("T-RESET-UPSTREAM")
def test_reset_by_the_upstream_after_its_own_end_reaches_the_caller(wire: Wire) -> None:
    caller, called = wire.call()
    called.half_close()
    assert caller.rest() == b""

    called.reset()
    wire.pass_time(LOOK_S)

    assert caller.was_reset()


@pytest.mark.fidelity("T-RESET-UPSTREAM")
def test_last_words_before_a_reset_arrive(wire: Wire) -> None:
    caller, called = wire.call()

    called.say(b"500 go away\r\n")
    assert caller.until(b"\n") == b"500 go away\r\n"
    called.reset()

    check_reset(caller)


@pytest.mark.fidelity("T-STALLED")
def test_caller_that_resets_while_nothing_is_read_of_it_is_found_within_a_second(wire: Wire) -> None:
    caller, called = wire.call("narrow")
    assert caller.say_until_stuck(bytes(1 << 16), most_bytes=MUCH_BYTES) < MUCH_BYTES
    caller.reset()

    wire.pass_time(LOOK_S)

    # It is told once what the system has taken of it is read.
    check_reset(called)


@pytest.mark.fidelity("T-STALLED")
def test_upstream_that_resets_while_nothing_is_read_of_it_is_found_within_a_second(wire: Wire) -> None:
    caller = wire.caller(receive_bytes=4096)
    called = wire.called()
    assert called.say_until_stuck(bytes(1 << 16), most_bytes=MUCH_BYTES) < MUCH_BYTES
    called.reset()

    wire.pass_time(LOOK_S)

    check_reset(caller)


@pytest.mark.fidelity("T-STALLED")
def test_end_that_does_not_read_is_waited_for(wire: Wire) -> None:
    caller, called = wire.call("narrow")
    said = caller.say_until_stuck(bytes(1 << 16), most_bytes=MUCH_BYTES)
    assert said < MUCH_BYTES

    wire.pass_time(600)
    caller.half_close()

    assert len(called.rest()) == said
    called.close()
    assert caller.rest() == b""


@pytest.mark.fidelity("T-ALONE")
def test_end_that_does_not_read_is_nobody_elses_concern(wire: Wire) -> None:
    stalled, _ = wire.call("narrow")
    assert stalled.say_until_stuck(bytes(1 << 16), most_bytes=MUCH_BYTES) < MUCH_BYTES

    for _ in range(10):
        caller, called = wire.call()
        caller.say(b"question")
        caller.half_close()
        assert called.rest() == b"question"
        called.say(b"answer")
        called.close()
        assert caller.rest() == b"answer"


@pytest.mark.fidelity("T-IDLE")
def test_silence_ends_nothing(wire: Wire) -> None:
    caller, called = wire.call()
    called.say(b"begun")
    assert caller.take(5) == b"begun"

    wire.pass_time(600)

    caller.say(b"still")
    assert called.take(5) == b"still"
    called.say(b"here")
    assert caller.take(4) == b"here"


@pytest.mark.fidelity("T-FAILURE")
@pytest.mark.parametrize("upstream", ["closed", "barred", "late"])
def test_conversation_that_cannot_begin_is_reset(wire: Wire, upstream: str) -> None:
    # It may be reset before the system has told the caller that it is connected.
    with pytest.raises(ConnectionResetError):
        wire.caller(upstream).rest()


@pytest.mark.fidelity("T-FAILURE")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
def test_upstream_that_does_not_take_connections_in_time_resets(wire: Wire) -> None:
    caller = wire.caller("deaf")
    caller.say(b"hello?")
    # Nothing tells when it is being dialled; from then on it takes 5 s.
    for _ in range(1000):
        if not caller.is_quiet():
            break
        wire.pass_time(5)

    check_reset(caller)


@pytest.mark.fidelity("T-FAILURE")
def test_lost_tunnel_resets_both(wire: Wire) -> None:
    with wire.frail_client():
        caller = wire.caller("frail")
        called = wire.called()
        called.say(b"begun")
        assert caller.take(5) == b"begun"

    check_reset(caller)
    check_reset(called)


# -- at every point of the exchange

POINTS = {
    "before anything was said": (),
    "after the caller has spoken": ("up",),
    "after the upstream has spoken first": ("down",),
    "after both have spoken": ("up", "down"),
    "while much is under way to the upstream": ("much",),
    "after the caller's end": ("up", "caller-end"),
    "after the upstream's end": ("up", "down", "upstream-end"),
    "after the answer to the caller's end": ("up", "caller-end", "down"),
}


def exchange(caller: RawSocket, called: RawSocket, steps: tuple[str, ...]) -> None:
    """Say what ``steps`` say, each heard before the next but for what is more than anybody takes."""
    for step in steps:
        if step == "up":
            caller.say(b"up")
            assert called.take(2) == b"up"
        elif step == "down":
            called.say(b"down")
            assert caller.take(4) == b"down"
        elif step == "much":
            caller.say_until_stuck(bytes(1 << 16), most_bytes=MUCH_BYTES)
        elif step == "caller-end":
            caller.half_close()
            assert called.rest() == b""
        else:
            called.half_close()
            assert caller.rest() == b""


@pytest.mark.fidelity("T-RESET-VISITOR", "T-RESET-UPSTREAM", "T-FAILURE")
@pytest.mark.parametrize(
    "end", ["caller closes", "caller resets", "upstream closes", "upstream resets", "client leaves"]
)
@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_held_of_a_connection_that_ends(wire: Wire, point: str, end: str) -> None:
    who, _, how = end.partition(" ")
    with wire.frail_client() if who == "client" else nullcontext():
        caller, called = wire.call("frail" if who == "client" else "plain")
        exchange(caller, called, POINTS[point])
        one, other = (called, caller) if who == "upstream" else (caller, called)
        if how == "closes":
            one.close()
            other.ended()
            other.close()
        elif how == "resets":
            one.reset()
            assert other.was_reset()
    if who == "client":
        assert caller.was_reset()
        assert called.was_reset()
    wire.check_nothing_is_held()

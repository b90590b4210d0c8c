"""What may happen next to two ends whose links come and go, and a way to choose among it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from mux_kit import CLIENT, SERVER
from resume_kit import CODECS, IMPOSTURES, SIDE, Link, World

from tunnel.domain.limits import KIB, MIB, Limits
from tunnel.domain.mux.session_state import SessionState
from tunnel.domain.tunnel_state import TunnelState

__all__ = ["MOVES", "Choose", "Move", "any_world"]

Option = TypeVar("Option")

SIZES = (0, 1, 100, 3000, 20_000, 70_000)
FIELDS = ((0, 0), (8, 10), (200, 1), (1, 5000), (3, 20_000))
BOTH = (CLIENT, SERVER)


class Choose(Protocol):
    """Chooses one of several; all that is left to chance."""

    def __call__(self, options: Sequence[Option]) -> Option: ...


Move: TypeAlias = Callable[[World, Choose], None]


def any_world(choose: Choose) -> World:
    # A wide one retains more than a link takes at first.
    wide = choose((False, False, True))
    window = MIB if wide else choose((8 * KIB, 16 * KIB, 64 * KIB, 256 * KIB))
    limits = Limits(
        session_window_bytes=window,
        session_window_max_bytes=window * 4,
        tunnel_receive_bytes=8 * MIB if wide else choose((MIB // 2, MIB, 8 * MIB)),
        replay_window_bytes=2 * MIB if wide else 256 * KIB,
        max_sessions=choose((3, 6) if wide else (1, 3, 6)),
        resume_s=choose((2.0, 30.0, 30.0)),
    )
    process_bytes = 16 * MIB if wide else choose((768 * KIB, 16 * MIB))
    return World(limits, process_bytes=process_bytes, server_resume_s=choose((None, None, None, None, 1.0, 0.0)))


# -- what handlers do


def open_session(world: World, choose: Choose) -> None:
    for _ in range(choose((1, 1, 3))):
        world.talks.open(choose(BOTH), choose(SIZES), choose(FIELDS), whole=choose((True, False)))


def answer(world: World, choose: Choose) -> None:
    for side in BOTH:
        for handler in world.talks.handlers(side):
            world.talks.answer(handler, choose(SIZES), choose(FIELDS), end=choose((True, False, False)))


def say_more(world: World, choose: Choose) -> None:
    side = choose(BOTH)
    for handler in world.talks.handlers(side):
        world.talks.say_more(handler, choose(SIZES), choose(("", "", "", "", "body", "trailers")))
        if world.detached(side):
            world.saw("sent while detached")


def offer(world: World, choose: Choose) -> None:
    for handler in world.talks.handlers(choose(BOTH)):
        world.talks.offer(handler)


def read(world: World, choose: Choose) -> None:
    side = choose(BOTH)
    for handler in world.talks.handlers(side):
        if choose((True, True, False)) and world.talks.read(handler) and world.detached(side):
            world.saw("received while detached")


def interrupt(world: World, choose: Choose) -> None:
    """One handler does something that ends a part of its conversation, or all of it."""
    side = choose(BOTH)
    handlers = world.talks.handlers(side)
    if not handlers:
        return
    handler = choose(handlers)
    alive = handler.session.state is not SessionState.CLOSED
    what = choose(("reset", "withdraw", "stop", "finish"))
    match what:
        case "reset":
            world.talks.reset(handler)
        case "withdraw":
            world.talks.withdraw(handler)
        case "stop":
            world.talks.stop_receiving(handler)
        case _:
            world.talks.finish(side, handler)
    if alive and world.detached(side):
        world.saw(f"{what} while detached")


def finish_closed(world: World, choose: Choose) -> None:
    """Handlers whose conversation is over leave."""
    side = choose(BOTH)
    for handler in world.talks.handlers(side):
        if handler.session.state is SessionState.CLOSED and not handler.session.readable:
            world.talks.finish(side, handler)


# -- what the link does


def send(world: World, choose: Choose) -> None:
    side = choose(BOTH)
    for _ in range(choose((1, 1, 2, 10))):
        if world.send(side) is None:
            return


def deliver(world: World, choose: Choose) -> None:
    """Something arrives, be it on the link of now or on one of before."""
    arriving = [(link, side) for link in _links(world) for side in BOTH if world.arriving(link, side)]
    if arriving:
        link, side = choose(arriving)
        for _ in range(choose((1, 1, 2, 10))):
            if world.arriving(link, side):
                world.deliver(link, side)


def exchange(world: World, choose: Choose) -> None:
    """All goes well for a moment."""
    for _ in range(choose((1, 3))):
        for side in BOTH:
            for handler in world.talks.handlers(side):
                world.talks.offer(handler)
            world.send(side)
            link = world.current[side]
            if link is not None and world.arriving(link, 1 - side):
                world.deliver(link, 1 - side)
            for handler in world.talks.handlers(1 - side):
                world.talks.read(handler)


def flood(world: World, choose: Choose) -> None:
    """One side says all it can, and nothing arrives."""
    side = choose(BOTH)
    most = world.limits.replay_window_bytes
    if most > MIB:
        # As if the link were known to be fast.
        world.muxes[side]._out.pacing.limit = most
    for handler in world.talks.handlers(side):
        world.talks.say_more(handler, choose((20_000, 300_000, most)), "")
    for _ in range(60):
        moved = [world.talks.offer(handler) for handler in world.talks.handlers(side)]
        if world.send(side) is None and not any(moved):
            break
    if world.muxes[side]._out.retention.room < 16 * KIB:
        world.saw("replay window full")
        if choose((True, False)):
            break_and_dial(world, choose)


def pass_time(world: World, choose: Choose) -> None:
    world.pass_time(
        choose((0.0, 0.01, 0.06, 0.06, 0.2, 0.2, 1.0, 4.0, 16.0, 31.0) if choose(range(4)) == 0 else (0.06,))
    )


def ping(world: World, choose: Choose) -> None:
    side = choose(BOTH)
    if not world.over[side]:
        world.muxes[side].ping(world.now)


# -- what happens to links


def cut(world: World, choose: Choose) -> None:
    links = [link for link in _links(world) if not link.broken]
    if links:
        link = choose(links)
        client, server = (choose((0, 1, len(wire), len(wire))) for wire in link.wires)
        world.cut(link, (client, server))


def notice(world: World, choose: Choose) -> None:
    world.notice(choose(BOTH))


def break_and_dial(world: World, choose: Choose) -> None:
    """What happens most: the link breaks, the client notices and dials; whether the server knows is left open."""
    link = world.current[CLIENT]
    if link is None or world.over[CLIENT]:
        return
    for side in BOTH:
        for _ in range(choose((0, 2, 8))):
            for handler in world.talks.handlers(side):
                world.talks.offer(handler)
            world.send(side)
    client, server = (choose((0, 1, len(wire), len(wire))) for wire in link.wires)
    world.cut(link, (client, server))
    world.notice(CLIENT)
    dial(world, choose)


def dial(world: World, choose: Choose) -> None:
    if world.detached(CLIENT) and (world.dialling is None or choose((True, False, False))):
        world.dial(choose(CODECS))


def shake_hands(world: World, choose: Choose) -> None:
    """The handshake under way goes on, all of it or a part."""
    for _ in range(choose((1, 2, 4))):
        link = world.dialling
        if world.greeting is not None:
            world.greet()
        elif link is not None and world.arriving(link, SERVER):
            world.deliver(link, SERVER)
        elif link is not None and world.arriving(link, CLIENT):
            world.deliver(link, CLIENT)


def shaky_handshake(world: World, choose: Choose) -> None:
    """The handshake gets as far as one of its steps, and there the link breaks."""
    if not world.detached(CLIENT):
        return
    world.dial(choose(CODECS))
    link = world.dialling
    assert link is not None
    steps = choose(range(4))
    if steps > 0:
        world.deliver(link, SERVER)
    for _ in range(steps - 1):
        if world.greeting is link:
            world.greet()
    if world.current[SERVER] is link:
        for _ in range(choose((0, 3, 8))):
            world.send(SERVER)
    world.cut(link, (choose((0, 1)), choose((0, 1))))


def give_up(world: World, choose: Choose) -> None:
    if choose(BOTH) == CLIENT:
        world.give_up_dialling()
    else:
        world.give_up_greeting()


def say_again(world: World, choose: Choose) -> None:
    asked = [link for link in _links(world) if link.request is not None]
    if asked:
        world.say_again(choose(asked), choose(CODECS))


def impostor(world: World, choose: Choose) -> None:
    world.impostor(choose(IMPOSTURES))


# -- what happens to the tunnel


def go_away(world: World, choose: Choose) -> None:
    side = choose(BOTH)
    mux = world.muxes[side]
    if len(world.talks) > 3 and mux.state in (TunnelState.ATTACHED, TunnelState.DETACHED):
        world.saw_busy("go_away while detached" if mux.detached else "go_away while attached")
        if not mux.detached and world.detached(1 - side):
            world.saw_busy("go_away when the other has lost the link")
        mux.go_away("draining")


def close(world: World, choose: Choose) -> None:
    side = choose(BOTH)
    if len(world.talks) > 3 and not world.over[side]:
        world.saw_busy(f"close at the {SIDE[side]}{' while detached' * world.detached(side)}")
        world.close(side)


def renew(world: World, choose: Choose) -> None:
    world.renew()


def _links(world: World) -> list[Link]:
    links = [*world.links, world.dialling, world.greeting, *world.current]
    return list(dict.fromkeys(link for link in links if link is not None))


MOVES: dict[Move, float] = {
    open_session: 8,
    answer: 6,
    say_more: 8,
    offer: 4,
    read: 5,
    interrupt: 1.5,
    finish_closed: 3,
    send: 10,
    deliver: 14,
    exchange: 10,
    flood: 3,
    pass_time: 4,
    ping: 1,
    cut: 1.5,
    notice: 1.5,
    break_and_dial: 3,
    dial: 6,
    shake_hands: 12,
    shaky_handshake: 1.5,
    give_up: 0.5,
    say_again: 0.5,
    impostor: 0.5,
    go_away: 0.5,
    close: 0.3,
    renew: 3,
}
"""Each, and how often beside the others."""

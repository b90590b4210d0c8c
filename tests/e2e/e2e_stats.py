"""What server and clients hold, read from their admin ports: at rest it is what it was before, or something has leaked.

For any suite, around any number of conversations::

    with nothing_left(tunnel, at_once=10):
        ...

Compared are sessions, handlers, waiting requests, queues, retained frames and promised credit at the server and at
each client, which must be the same again within a deadline. Tasks and open files may have grown by as many as there
were conversations at once, since some are kept for the next ones; so run several times as many.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import httpx
from e2e_topologies import Topology

SETTLED_S = 15.0
LOOK_AGAIN_S = 0.05
# Of tasks and files each conversation under way may leave so many for the next one: a connection from the visitor, one
# to the upstream, and a task for each.
KEPT_EACH = 2
GROWING = ("tasks", "open_files")

Stats = dict[str, dict[str, int]]


def ask(topology: Topology, path: str, *, of: str = "server", **options) -> httpx.Response:
    """Ask the admin port of "server" or of a client."""
    host, port = topology.admins[of]
    # Without TLS no authority is needed, and to load them all takes far longer than to ask.
    return httpx.get(f"http://{host}:{port}{path}", trust_env=False, timeout=10, verify=False, **options)


def stats(topology: Topology) -> Stats:
    """What each of them holds now."""
    return {name: ask(topology, "/api/stats", of=name).json() for name in topology.admins}


def differences(before: Stats, now: Stats, *, at_once: int) -> list[str]:
    """In words, what is held now and was not before."""
    found = []
    for name, figures in before.items():
        for key, was in figures.items():
            value = now[name][key]
            grown = key in GROWING and was is not None and value <= was + KEPT_EACH * at_once
            if value != was and not grown:
                found.append(f"{name}: {key} was {was} and is {value}")
    return found


def rest(topology: Topology) -> Stats:
    """What each of them holds once nothing is under way and all that was sent has been acknowledged."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        now = stats(topology)
        busy = [
            f"{name}: {key} is {value}"
            for name, figures in now.items()
            for key, value in figures.items()
            if value and key not in ("links", "tunnels", *GROWING)
        ]
        if not busy:
            return now
        assert time.monotonic() < deadline, f"still busy: {busy}"
        time.sleep(LOOK_AGAIN_S)


@contextlib.contextmanager
def nothing_left(topology: Topology, *, at_once: int = 1) -> Iterator[None]:
    """Fail when server and clients hold more after the body than they did before.

    Args:
        topology: At rest, with the same clients before and after.
        at_once: Most conversations that the body has under way at the same time.
    """
    before = rest(topology)
    yield
    deadline = time.monotonic() + SETTLED_S
    while found := differences(before, stats(topology), at_once=at_once):
        assert time.monotonic() < deadline, f"leaked: {found}"
        time.sleep(LOOK_AGAIN_S)


@contextlib.asynccontextmanager
async def leaving_nothing(topology: Topology, *, at_once: int = 1) -> AsyncIterator[None]:
    """``nothing_left`` for a body in an event loop, which goes on while the figures are waited for."""
    with contextlib.ExitStack() as looking:
        await asyncio.to_thread(looking.enter_context, nothing_left(topology, at_once=at_once))
        yield
        await asyncio.to_thread(looking.close)

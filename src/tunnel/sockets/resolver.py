"""Looking names up, on threads that nobody has to wait for.

The event loops look names up on a few threads that everything shares: asyncio on those of its executor, uvloop on four.
Where a name server does not answer, each lookup holds one of them for half a minute, however long ago whoever asked has
given up. The next, even of a plain address, waits for one; and the process does not end before the last has returned.

1. What is an address already is nothing to look up, and needs no thread.
2. Those who ask for the same name at the same time wait for one lookup together. So a name that is never answered holds
   one thread, however many ask.
3. Each lookup has a thread of its own, up to a bound; beyond it lookups wait in line, and what nobody waits for any
   more when its turn comes is passed over.
4. The threads are daemons: a process that ends leaves them behind.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Resolved", "Resolver", "resolve"]

_MAX_THREADS: Final = 64
"""More names than that are not unanswered at the same time, unless visitors choose them."""

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


class Resolved(NamedTuple):
    """An address that a name stands for.

    Args:
        family: Of sockets.
        at: What sockets of it connect to; the first part is the address as text.
    """

    family: socket.AddressFamily
    at: SocketAddress


_Found: TypeAlias = "tuple[Resolved, ...] | Exception"
_Lookup: TypeAlias = Callable[[str, int], tuple[Resolved, ...]]


class _Question:
    """A name that is being looked up, or waits for it."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.asking = 0
        self.answer: Future[_Found] = Future()
        # So that no one of those who wait can cancel it for the others.
        self.answer.set_running_or_notify_cancel()


class Resolver:
    """Looks names up, for any number of event loops.

    Args:
        lookup: Does it, and may take its time; None: as the system does.
        max_threads: Lookups at the same time.
    """

    def __init__(self, lookup: _Lookup | None = None, *, max_threads: int = _MAX_THREADS) -> None:
        self._lookup = _looked_up if lookup is None else lookup
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], _Question] = {}
        self._line: deque[_Question] = deque()
        self.threads = 0
        """Under way."""

    async def resolve(self, host: str, port: int) -> tuple[Resolved, ...]:
        """The addresses of ``host`` for TCP, in the system's order.

        Cancelling returns at once; the lookup goes on for others who ask, or for nobody.

        Args:
            host: Name or address; IPv6 without brackets.
            port: What the results are to have.

        Raises:
            OSError: There are none, or there is no thread to find them with.
            UnicodeError: This is no name.
        """
        try:
            return _looked_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # a name
        question = self._ask(host, port)
        try:
            found = await asyncio.wrap_future(question.answer)
        finally:
            with self._lock:
                question.asking -= 1
        if isinstance(found, Exception):
            # Afresh: the same exception raised in two tasks would mix their tracebacks.
            raise type(found)(*found.args) from found
        return found

    def _ask(self, host: str, port: int) -> _Question:
        with self._lock:
            question = self._asked.get((host, port))
            if question is None:
                question = _Question(host, port)
                if self.threads < self._max_threads:
                    self._start()
                self._asked[host, port] = question
                self._line.append(question)
            question.asking += 1
        return question

    def _start(self) -> None:
        self.threads += 1
        try:
            threading.Thread(target=self._work, name="tunnel-resolver", daemon=True).start()
        except RuntimeError as exc:
            self.threads -= 1
            if not self.threads:
                raise OSError("no thread to look a name up with") from exc

    # -- the threads

    def _work(self) -> None:
        while (question := self._next()) is not None:
            found: _Found
            try:
                found = self._lookup(question.host, question.port)
            except Exception as exc:  # noqa: BLE001 - raised where the name was asked for
                found = exc
            with self._lock:
                del self._asked[question.host, question.port]
            question.answer.set_result(found)

    def _next(self) -> _Question | None:
        with self._lock:
            while self._line:
                question = self._line.popleft()
                if question.asking:
                    return question
                del self._asked[question.host, question.port]
            self.threads -= 1
        return None


def _looked_up(host: str, port: int, flags: int = 0) -> tuple[Resolved, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return tuple(Resolved(family, at) for family, _, _, _, at in found)


resolve: Final = Resolver().resolve
"""Of the process: threads are its own to bound."""

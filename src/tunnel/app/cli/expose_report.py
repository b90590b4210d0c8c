"""What ``tunnel expose`` tells programs: URLs, or one JSON object an event."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from typing import Final, Protocol, TextIO

from tunnel.app.cli.expose_board import Exposition, Line
from tunnel.app.cli.result_lines import ResultLines
from tunnel.ports.telemetry import ClaimGranted, Event, TunnelReady

__all__ = ["JsonReport", "PlainReport", "Report"]


class Report(Protocol):
    """Told of everything that happens, as it happens. Must not block."""

    wants_requests: bool
    """Whether it is told of requests; watching them costs something."""

    def hides(self, event: Event) -> bool:
        """Whether the log need not have ``event``, since this shows it."""
        return False

    @abstractmethod
    def on_unread(self, tell: Callable[[OSError], None]) -> None:
        """Have ``tell`` called, by any thread, when nobody reads any more what a thread writes."""

    @abstractmethod
    def ready(self, expositions: tuple[Exposition, ...]) -> None:
        """Visitors reach all targets from now on. Told once.

        Raises:
            OSError: It cannot be written.
        """

    @abstractmethod
    def moved(self, exposition: Exposition) -> None:
        """The state of a target is another than before, or so is its URL."""

    @abstractmethod
    def request(self, line: Line) -> None:
        """A request is over."""

    @abstractmethod
    def closed(self, reason: str) -> None:
        """It is over; ``reason`` says why, empty when it was told to stop. Told once."""


class PlainReport(Report):
    """URLs, each on a line of its own, in the order of the targets; all else is the log's.

    Args:
        write: Takes a line.
        quiet: Whether the log does without the lines that tell of being ready.
    """

    wants_requests = False

    def __init__(self, write: Callable[[str], None], *, quiet: bool = False) -> None:
        self._write: Final = write
        self._quiet: Final = quiet

    def hides(self, event: Event) -> bool:
        return self._quiet and isinstance(event, TunnelReady | ClaimGranted)

    def on_unread(self, tell: Callable[[OSError], None]) -> None:
        """No thread writes."""

    def ready(self, expositions: tuple[Exposition, ...]) -> None:
        for each in expositions:
            self._write(each.url)

    def moved(self, exposition: Exposition) -> None:
        """The log has it."""

    def request(self, line: Line) -> None:
        """Not asked for."""

    def closed(self, reason: str) -> None:
        """The exit code and the last line of standard error have it."""


class JsonReport(Report):
    """One JSON object a line, with its kind as ``event``.

    Times are seconds of Unix time, durations seconds, and ``url`` is null where the server cannot tell it.

    Args:
        stream: Takes the lines. Whoever reads them may be slow: some megabytes wait, and what does not fit is lost and
            told.
        now_s: Tells the time.
    """

    wants_requests = True

    def __init__(self, stream: TextIO, now_s: Callable[[], float]) -> None:
        self._lines: Final = ResultLines(stream, lost_line=self._lost)
        self._now_s: Final = now_s

    def on_unread(self, tell: Callable[[OSError], None]) -> None:
        self._lines.on_failure = tell

    def ready(self, expositions: tuple[Exposition, ...]) -> None:
        for each in expositions:
            self._write("ready", target=each.target, url=each.url or None)

    def moved(self, exposition: Exposition) -> None:
        self._write(
            "state",
            target=exposition.target,
            url=exposition.url or None,
            state=exposition.state.value,
            reason=exposition.reason or None,
        )

    def request(self, line: Line) -> None:
        session = line.session
        self._write(
            "request",
            target=line.target,
            protocol=session.protocol,
            method=session.method,
            host=session.host,
            path=session.path,
            outcome=session.outcome,
            status=session.status,
            duration_s=round(session.duration_s, 6),
            received_bytes=session.received_bytes,
            sent_bytes=session.sent_bytes,
        )

    def closed(self, reason: str) -> None:
        self._write("closed", reason=reason or None)
        self._lines.settle()

    def _write(self, event: str, **fields: object) -> None:
        self._lines.write(self._object(event, **fields))

    def _lost(self, count: int) -> str:
        return self._object("lost", lines=count)

    def _object(self, event: str, **fields: object) -> str:
        return json.dumps({"event": event, "time": round(self._now_s(), 3), **fields})

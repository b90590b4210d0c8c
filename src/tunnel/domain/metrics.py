"""What a process counts: plain numbers by bounded labels, read whenever somebody asks.

Counting is adding to an integer, on the event loop; there are no locks, and nothing is computed until it is read.
Readers on other threads get numbers that may be an instant apart from each other, and never half of one.

Labels are names from the configuration, codes and classes of statuses; never what a visitor says. Should there be more
of them than ``MAX_LABELS`` all the same, as when groups come and go, the rest is counted under ``OTHER``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, final

from tunnel.domain.direction import Direction

__all__ = [
    "DURATION_BOUNDS_S",
    "MAX_LABELS",
    "OTHER",
    "Counters",
    "Histogram",
    "SessionCount",
    "SessionLabels",
    "Tally",
]

DURATION_BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
"""Upper bounds, in seconds: from a small answer of a near upstream to a WebSocket that is open all day."""

MAX_LABELS: Final = 4096
"""Of one kind; a few MiB of memory at most, and what a monitoring system takes from one process."""

OTHER: Final = "other"
"""Stands for all labels beyond ``MAX_LABELS``."""

_HTTP_CLASSES: Final = ("", "1xx", "2xx", "3xx", "4xx", "5xx", "", "", "", "")
_GRPC_CODES: Final = tuple(map(str, range(17)))


class SessionLabels(NamedTuple):
    """What ended conversations are counted by.

    Args:
        protocol: ``http``, ``grpc``, ``websocket`` or ``tcp``; ``other`` for whatever else a client wrote there.
        group: Which group; empty when none was found. To the server: whose client opened it.
        rule: ``rules[N]`` or ``forward.rules[N]`` as ``tunnel explain`` names it; empty when none matched.
        outcome: ``ok``, or an error code.
        status: Its class: ``2xx`` of HTTP, the code of gRPC, ``1xxx`` of a WebSocket that was closed; empty for none.
        direction: Which way it went.
    """

    protocol: str
    group: str
    rule: str
    outcome: str
    status: str
    direction: str = Direction.TO_CLIENT


@final
class Histogram:
    """Counts values by which bound they do not exceed. Not cumulative: each is counted once.

    Args:
        bounds: Ascending; a value above the last is counted behind it.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = DURATION_BOUNDS_S) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count ``value``."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


@final
class Tally:
    """Counts by one label. Only ever grows."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, label: str, amount: int = 1) -> None:
        """Count ``amount`` more under ``label``."""
        counts = self._counts
        if label in counts:
            counts[label] += amount
        elif len(counts) < MAX_LABELS:
            counts[label] = amount
        else:
            counts[OTHER] = counts.get(OTHER, 0) + amount

    def read(self) -> Mapping[str, int]:
        """What there is now, by label; does not change afterwards."""
        return self._counts.copy()

    @property
    def total(self) -> int:
        """Under all labels."""
        return sum(self.read().values())


@final
class SessionCount:
    """Conversations that ended with the same labels.

    Args:
        labels: Theirs.
        durations: Shared by all with this protocol and outcome.
    """

    __slots__ = ("durations", "ended", "labels", "received_bytes", "sent_bytes")

    def __init__(self, labels: SessionLabels, durations: Histogram) -> None:
        self.labels = labels
        self.durations = durations
        self.ended = 0
        self.received_bytes = 0
        """From visitors: of bodies and messages."""
        self.sent_bytes = 0
        """To visitors."""

    def add(self, duration_s: float, received_bytes: int, sent_bytes: int) -> None:
        """Count one more."""
        self.ended += 1
        self.received_bytes += received_bytes
        self.sent_bytes += sent_bytes
        durations = self.durations
        durations.counts[bisect_left(durations.bounds, duration_s)] += 1
        durations.sum += duration_s


@final
class Counters:
    """All that one server or client counts. Changed on its event loop only; read from anywhere."""

    def __init__(self) -> None:
        self.started: Final = Tally()
        """Conversations, by protocol."""
        self.routes: Final = Tally()
        """Conversations that ended and had entered at an entry, by the way they went: ``tunnel`` or ``direct``."""
        self.retries: Final = Tally()
        """Further tries at a conversation, by group."""
        self.ejections: Final = Tally()
        """Clients that were ejected, by group; on a client targets, by upstream."""
        self.returns: Final = Tally()
        """Those of them that answered again."""
        self.links_lost: Final = Tally()
        """Links that ended other than by our closing, by how: ``broken``, ``ended``, ``violated``."""
        self.tunnels_published: Final = Tally()
        """Tunnels that could be selected from then on, by transport: new ones, and those that were resumed."""
        self.tunnels_detached: Final = Tally()
        """Tunnels that lost their link and were kept, under the empty label."""
        self.tunnels_resumed: Final = Tally()
        """Tunnels that went on over another link, by its transport."""
        self.registrations_denied: Final = Tally()
        """By error code."""
        self.reloads: Final = Tally()
        """Of the settings: ``ok`` or ``failed``."""
        self.access_log_lost: Final = Tally()
        """Records that were not written to the access log, under the empty label; counted when that is told."""
        self._sessions: dict[SessionLabels, SessionCount] = {}
        self._known: dict[tuple[str, str, str, str, int, str], SessionCount] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}

    def sessions(self) -> Sequence[SessionCount]:
        """Conversations that ended, one element for each combination of labels there has been."""
        return tuple(self._sessions.values())

    def durations(self) -> Mapping[tuple[str, str], Histogram]:
        """Of conversations that ended, in seconds, by protocol and outcome."""
        return self._durations.copy()

    def active(self) -> Mapping[str, int]:
        """Conversations that go on now, by protocol."""
        # Read first: what ends meanwhile is then taken for active, and nothing for less than none.
        started = self.started.read()
        ended = Tally()
        for each in self.sessions():
            ended.add(each.labels.protocol, each.ended)
        over = ended.read()
        return {protocol: max(0, count - over.get(protocol, 0)) for protocol, count in started.items()}

    def session(
        self,
        protocol: str,
        group: str,
        rule: str,
        outcome: str,
        status: int,
        direction: Direction = Direction.TO_CLIENT,
    ) -> SessionCount:
        """Where to count a conversation that is over; it was added to ``started`` when it began.

        Args:
            protocol: As in ``SessionLabels``, like the three that follow.
            group: As there.
            rule: As there.
            outcome: As there.
            status: Of HTTP, of gRPC, or the close code of a WebSocket; 0 where there is none.
            direction: As in ``SessionLabels``.
        """
        known = self._known
        key = (protocol, group, rule, outcome, status, direction)
        count = known.get(key)
        if count is None:
            status_class = _status_class(protocol, status)
            count = self._session(SessionLabels(protocol, group, rule, outcome, status_class, direction.value))
            if len(known) < MAX_LABELS:
                known[key] = count
        return count

    def _session(self, labels: SessionLabels) -> SessionCount:
        if labels not in self._sessions and len(self._sessions) >= MAX_LABELS:
            labels = labels._replace(group=OTHER, rule=OTHER)
        durations = self._durations.setdefault((labels.protocol, labels.outcome), Histogram())
        return self._sessions.setdefault(labels, SessionCount(labels, durations))


def _status_class(protocol: str, status: int) -> str:
    if protocol == "grpc":
        return _GRPC_CODES[status] if 0 <= status <= 16 else OTHER
    if 0 <= status < 1000:
        return _HTTP_CLASSES[status // 100]
    return f"{status // 1000}xxx" if 1000 <= status < 5000 else OTHER

"""Metrics for Prometheus, made anew for each scrape of what is held and of what was counted.

Nothing is registered with the library beforehand, and nothing is counted for it: so metrics cost nothing until
somebody asks. They are written by a thread, since many labels take a while, and nothing that they are made of changes
in a way that a thread could stumble over.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Final

import anyio.to_thread
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tunnel.domain.metrics import Counters, Histogram
from tunnel.ports.inspection import GroupLoad, Measurement

__all__ = ["exposition"]

_ROUND_TRIP_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""From a neighbour to a satellite, in seconds."""

_HELD: Final = (
    ("links", "Physical connections, those in their handshake included"),
    ("tunnels", "Tunnels, attached and detached"),
    ("sessions", "Sessions that are not finished, in all tunnels"),
    ("handlers", "Conversations opened by the peer that are being handled here"),
    ("waiting_sends", "Openings, messages and sessions that wait for the next frame"),
    ("unframed_bytes", "Cost of what waits to be framed"),
    ("retained_frames", "Frames sent and not acknowledged"),
    ("retained_bytes", "Cost of the frames sent and not acknowledged"),
    ("unread_bytes", "Cost of what arrived and waits to be read"),
    ("promised_bytes", "Credit promised to peers: the windows of all sessions"),
    ("tasks", "Tasks of the event loop"),
)
"""Figures of ``Stats``, and what they are."""

_TALLIES: Final = (
    ("started", "conversations_started", "protocol", "Conversations that began"),
    ("retries", "retries", "group", "Further tries at a conversation"),
    ("ejections", "ejections", "of", "Clients ejected from a group, or targets from an upstream"),
    ("returns", "returns", "of", "Ejected clients or targets that answered again"),
    ("links_lost", "links_lost", "end", "Links that ended other than by closing them here"),
    ("tunnels_published", "tunnels_published", "transport", "Tunnels that could be selected from then on"),
    ("tunnels_detached", "tunnels_detached", "", "Tunnels that lost their link and were kept"),
    ("tunnels_resumed", "tunnels_resumed", "transport", "Tunnels that went on over another link"),
    ("routes", "entry_conversations", "route", "Conversations of entries that ended, by the way they went"),
    ("registrations_denied", "registrations_denied", "code", "Clients that were turned away"),
    ("reloads", "reloads", "result", "Reloads of the settings"),
    ("access_log_lost", "access_log_lost", "", "Records that were not written to the access log"),
)
"""Tallies of ``Counters``: attribute, name, label, and what they are."""


async def exposition(measurement: Measurement, counters: Counters, accept: str) -> tuple[str, bytes]:
    """Write all metrics in the format that suits the scraper.

    Args:
        measurement: What is held.
        counters: What was counted.
        accept: Accept field of the request.

    Returns:
        The media type, and the text.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/, OpenMetrics 1.0.
    """
    return await anyio.to_thread.run_sync(partial(_written, measurement, counters, accept))


def _written(measurement: Measurement, counters: Counters, accept: str) -> tuple[str, bytes]:
    # A registry of its own: in a process that embeds us, the common one belongs to the embedder.
    registry = CollectorRegistry()
    registry.register(_Measured(measurement, counters))
    ProcessCollector(registry=registry)
    encode, media_type = choose_encoder(accept)
    return media_type, encode(registry)


class _Measured(Collector):
    def __init__(self, measurement: Measurement, counters: Counters) -> None:
        self._measurement = measurement
        self._counters = counters

    def describe(self) -> Iterable[Metric]:
        """Nothing: names clash with nobody's in a registry of one's own."""
        return ()

    def collect(self) -> Iterator[Metric]:
        measurement = self._measurement
        yield from _process(measurement)
        yield from _held(measurement)
        yield from _groups(measurement.groups)
        yield _round_trips(measurement.round_trips_s)
        yield from _tallies(self._counters)
        yield from _conversations(self._counters)


def _process(measurement: Measurement) -> Iterator[Metric]:
    yield InfoMetricFamily("tunnel_build", "Version of the software", {"version": measurement.version})
    yield GaugeMetricFamily(
        "tunnel_ready", "1 when traffic should be sent here", value=float(measurement.readiness.ready)
    )
    yield GaugeMetricFamily(
        "tunnel_settings_version", "Settings in force: 1 at the start", value=measurement.settings_version
    )
    listeners = GaugeMetricFamily("tunnel_listener_accepting", "1 when it accepts", labels=("kind", "name"))
    for each in measurement.listeners:
        listeners.add_metric((each.kind, each.name), float(each.accepting))
    yield listeners


def _held(measurement: Measurement) -> Iterator[Metric]:
    for name, words in _HELD:
        yield GaugeMetricFamily(f"tunnel_{name}", words, value=getattr(measurement.stats, name))
    yield GaugeMetricFamily(
        "tunnel_promisable_bytes", "Most credit that may be promised at the same time", value=measurement.budget_bytes
    )


def _groups(groups: Sequence[GroupLoad]) -> Iterator[Metric]:
    clients = GaugeMetricFamily("tunnel_group_clients", "Clients, by health", labels=("group", "health"))
    tunnels = GaugeMetricFamily("tunnel_group_tunnels", "Tunnels, by state", labels=("group", "state"))
    sessions = GaugeMetricFamily("tunnel_group_sessions", "Sessions that its clients serve", labels=("group",))
    waiting = GaugeMetricFamily("tunnel_group_waiting_requests", "Requests that wait for a client", labels=("group",))
    for each in groups:
        for health, count in each.clients.items():
            clients.add_metric((each.group, health), count)
        for state, count in each.tunnels.items():
            tunnels.add_metric((each.group, state), count)
        sessions.add_metric((each.group,), each.sessions)
        waiting.add_metric((each.group,), each.waiting_requests)
    yield from (clients, tunnels, sessions, waiting)


def _round_trips(round_trips_s: Sequence[float]) -> Metric:
    counts = [0] * (len(_ROUND_TRIP_BOUNDS_S) + 1)
    for each in round_trips_s:
        counts[bisect_left(_ROUND_TRIP_BOUNDS_S, each)] += 1
    family = GaugeHistogramMetricFamily(
        "tunnel_round_trip_seconds", "Round trips of the attached tunnels, of each the shortest of late"
    )
    family.add_metric((), _buckets(_ROUND_TRIP_BOUNDS_S, counts), gsum_value=sum(round_trips_s))
    return family


def _tallies(counters: Counters) -> Iterator[Metric]:
    for attribute, name, label, words in _TALLIES:
        tally = getattr(counters, attribute)
        family = CounterMetricFamily(f"tunnel_{name}", words, labels=(label,) if label else ())
        if label:
            for value, count in tally.read().items():
                family.add_metric((value,), count)
        else:
            family.add_metric((), tally.total)
        yield family


def _conversations(counters: Counters) -> Iterator[Metric]:
    active = GaugeMetricFamily("tunnel_conversations_active", "Conversations under way", labels=("protocol",))
    for protocol, count in counters.active().items():
        active.add_metric((protocol,), count)
    yield active
    labels = ("protocol", "group", "rule", "outcome", "status", "direction")
    ended = CounterMetricFamily("tunnel_conversations_ended", "Conversations that ended", labels=labels)
    received: dict[tuple[str, str, str], int] = {}
    sent: dict[tuple[str, str, str], int] = {}
    for each in counters.sessions():
        ended.add_metric(each.labels, each.ended)
        key = (each.labels.protocol, each.labels.group, each.labels.direction)
        received[key] = received.get(key, 0) + each.received_bytes
        sent[key] = sent.get(key, 0) + each.sent_bytes
    yield ended
    yield _bytes("received", "Bytes of bodies and messages from visitors, of ended conversations", received)
    yield _bytes("sent", "Bytes of bodies and messages to visitors, of ended conversations", sent)
    yield _durations(counters.durations())


def _bytes(name: str, words: str, amounts: Mapping[tuple[str, str, str], int]) -> Metric:
    labels = ("protocol", "group", "direction")
    family = CounterMetricFamily(f"tunnel_conversation_{name}_bytes", words, labels=labels)
    for key, amount in amounts.items():
        family.add_metric(key, amount)
    return family


def _durations(durations: Mapping[tuple[str, str], Histogram]) -> Metric:
    family = HistogramMetricFamily(
        "tunnel_conversation_duration_seconds",
        "How long conversations lasted that ended",
        labels=("protocol", "outcome"),
    )
    for key, histogram in durations.items():
        family.add_metric(key, _buckets(histogram.bounds, tuple(histogram.counts)), sum_value=histogram.sum)
    return family


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts per bucket as Prometheus has them: all up to each bound."""
    names = [*map(repr, map(float, bounds)), "+Inf"]
    return list(zip(names, map(float, accumulate(counts)), strict=True))

import pytest

from tunnel.domain import metrics
from tunnel.domain.direction import Direction
from tunnel.domain.metrics import DURATION_BOUNDS_S, OTHER, Counters, Histogram, SessionLabels, Tally


def end(
    counters: Counters,
    *,
    protocol: str = "http",
    group: str = "web",
    outcome: str = "ok",
    status: int = 200,
    duration_s: float = 0.2,
    received_bytes: int = 0,
    sent_bytes: int = 0,
) -> None:
    counters.session(protocol, group, "rules[0]", outcome, status).add(duration_s, received_bytes, sent_bytes)


def test_value_is_counted_once_at_the_first_bound_it_does_not_exceed() -> None:
    histogram = Histogram((1.0, 2.0))

    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)

    assert histogram.counts == [2, 1, 1]
    assert histogram.sum == 12.0


def test_sessions_of_the_same_labels_are_counted_together() -> None:
    counters = Counters()

    end(counters, received_bytes=3, sent_bytes=5)
    end(counters, status=204, received_bytes=4)
    end(counters, status=404)

    assert [(each.labels, each.ended, each.received_bytes, each.sent_bytes) for each in counters.sessions()] == [
        (SessionLabels("http", "web", "rules[0]", "ok", "2xx"), 2, 7, 5),
        (SessionLabels("http", "web", "rules[0]", "ok", "4xx"), 1, 0, 0),
    ]


def test_durations_are_counted_by_protocol_and_outcome_alone() -> None:
    counters = Counters()

    end(counters, status=200, duration_s=0.02)
    end(counters, status=500, duration_s=7200)
    end(counters, outcome="peer_lost", status=502, duration_s=1)

    durations = counters.durations()
    assert set(durations) == {("http", "ok"), ("http", "peer_lost")}
    assert (durations["http", "ok"].counts[DURATION_BOUNDS_S.index(0.025)], durations["http", "ok"].counts[-1]) == (
        1,
        1,
    )
    assert durations["http", "ok"].sum == 7200.02


@pytest.mark.parametrize(
    ("protocol", "status", "kind"),
    [
        *(("http", status, kind) for status, kind in [(0, ""), (101, "1xx"), (599, "5xx"), (999, ""), (-1, OTHER)]),
        *(("grpc", status, kind) for status, kind in [(0, "0"), (16, "16"), (17, OTHER), (-1, OTHER)]),
        *(("websocket", status, kind) for status, kind in [(1000, "1xxx"), (4999, "4xxx"), (403, "4xx")]),
        ("tcp", 0, ""),
    ],
)
def test_status_is_counted_by_class(protocol: str, status: int, kind: str) -> None:
    counters = Counters()

    end(counters, protocol=protocol, status=status)

    assert [each.labels.status for each in counters.sessions()] == [kind]


def test_active_are_those_that_started_and_did_not_end() -> None:
    counters = Counters()
    counters.started.add("http", 3)
    counters.started.add("tcp")

    end(counters)
    end(counters, outcome="cancelled", status=0)

    assert counters.active() == {"http": 1, "tcp": 1}


def test_labels_beyond_the_bound_are_counted_under_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_LABELS", 2)
    counters, tally = Counters(), Tally()

    for group in ("a", "b", "c", "d", "a"):
        end(counters, group=group)
        tally.add(group)

    assert [(each.labels.group, each.ended) for each in counters.sessions()] == [("a", 2), ("b", 1), (OTHER, 2)]
    assert tally.read() == {"a": 2, "b": 1, OTHER: 2}
    assert tally.total == 5


def test_what_was_read_does_not_change() -> None:
    counters = Counters()
    started = counters.started.read()
    durations, sessions = counters.durations(), counters.sessions()

    counters.started.add("http")
    end(counters)

    assert (started, durations, sessions) == ({}, {}, ())


def test_bounds_of_durations_are_those_that_dashboards_know() -> None:
    milliseconds = [1, 2.5, 5, 10, 25, 50, 100, 250, 500]
    seconds = [1, 2.5, 5, 10, 30, 60, 300, 1800]
    assert list(DURATION_BOUNDS_S) == pytest.approx([each / 1000 for each in milliseconds] + seconds)
    assert len(Histogram().counts) == len(DURATION_BOUNDS_S) + 1


def test_what_ended_and_was_not_seen_to_start_is_none_that_goes_on() -> None:
    counters = Counters()
    counters.started.add("http")
    end(counters)
    end(counters)

    assert counters.active() == {"http": 0}


def test_ways_to_labels_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_LABELS", 2)
    counters = Counters()
    for status in (200, 201, 202, 203, 203):
        end(counters, status=status)

    assert len(counters._known) == 2
    assert [(each.labels.status, each.ended) for each in counters.sessions()] == [("2xx", 5)]


def test_tally_counts_by_one_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_LABELS", 1)
    tally = Tally()
    tally.add("a")
    tally.add("a", 4)
    tally.add("b", 2)
    tally.add("c")

    assert (tally.read(), tally.total) == ({"a": 5, OTHER: 3}, 8)


def test_sessions_are_counted_by_the_way_they_went() -> None:
    counters = Counters()
    counters.session("http", "web", "", "ok", 200).add(0.1, 1, 2)
    counters.session("http", "web", "", "ok", 200, Direction.TO_SERVER).add(0.1, 3, 4)

    assert [(each.labels.direction, each.received_bytes, each.sent_bytes) for each in counters.sessions()] == [
        (Direction.TO_CLIENT.value, 1, 2),
        (Direction.TO_SERVER.value, 3, 4),
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(99, ""), (100, "1xx"), (199, "1xx"), (200, "2xx"), (399, "3xx"), (600, ""), (1000, "1xxx"), (5000, OTHER)],
)
def test_classes_begin_at_whole_hundreds_and_thousands(status: int, kind: str) -> None:
    counters = Counters()

    end(counters, status=status)

    assert [each.labels.status for each in counters.sessions()] == [kind]

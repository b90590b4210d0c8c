"""Events as log records."""

from __future__ import annotations

import logging
from typing import Any, get_args

import pytest

from tunnel.adapters.logging import LoggingTelemetry
from tunnel.ports.telemetry import (
    ClientPublished,
    ClientUnpublished,
    ConfigurationApplied,
    ConnectFailed,
    Event,
    LinkLost,
    Listening,
    RegistrationDenied,
    SessionFailed,
    TunnelReady,
)

RECORDS = [
    (
        Listening("transport", "grpc", "127.0.0.1:7000"),
        logging.INFO,
        "listening kind=transport name=grpc address=127.0.0.1:7000",
    ),
    (
        TunnelReady("laptop-1", "grpc://127.0.0.1:7000", "t1"),
        logging.INFO,
        "ready client=laptop-1 server=grpc://127.0.0.1:7000",
    ),
    (
        ClientPublished("laptop-1", "web", "laptop", "t1", "ws", "[::1]:5"),
        logging.INFO,
        "client_published client=laptop-1 group=web principal=laptop tunnel=t1 transport=ws address=[::1]:5",
    ),
    (
        ClientUnpublished("laptop-1", "web", "t1", "link lost"),
        logging.INFO,
        'client_unpublished client=laptop-1 group=web tunnel=t1 reason="link lost"',
    ),
    (
        RegistrationDenied("127.0.0.1:5", "forbidden", "no"),
        logging.WARNING,
        "registration_denied address=127.0.0.1:5 code=forbidden reason=no",
    ),
    (ConfigurationApplied(2, "ab"), logging.INFO, "configuration_applied version=2 hash=ab"),
    (
        ConfigurationApplied(2, "ab", "bad"),
        logging.WARNING,
        "configuration_rejected version=2 hash=ab reason=bad",
    ),
    (LinkLost("1.2.3.4:5", "broken", ""), logging.WARNING, 'link_lost peer=1.2.3.4:5 end=broken reason=""'),
    (
        ConnectFailed("grpc://a:1", "refused", 0.12345),
        logging.WARNING,
        "connect_failed server=grpc://a:1 reason=refused retry_s=0.123",
    ),
    (
        SessionFailed("no_client", "none", ""),
        logging.INFO,
        'session_failed code=no_client reason=none detail=""',
    ),
    (
        SessionFailed("internal", "oh", "why"),
        logging.WARNING,
        "session_failed code=internal reason=oh detail=why",
    ),
    (
        SessionFailed("cancelled", "", ""),
        logging.DEBUG,
        'session_failed code=cancelled reason="" detail=""',
    ),
]


def records_of(event: Event, caplog: pytest.LogCaptureFixture) -> list[Any]:
    caplog.set_level(logging.DEBUG, logger="tunnel")
    caplog.set_level(logging.DEBUG, logger="tunnel.ready")
    LoggingTelemetry().record(event)
    return caplog.records


def test_every_event_has_a_case() -> None:
    assert {type(event) for event, _, _ in RECORDS} == set(get_args(Event))


@pytest.mark.parametrize(("event", "level", "message"), RECORDS)
def test_event_is_one_record(event: Event, level: int, message: str, caplog: pytest.LogCaptureFixture) -> None:
    [record] = records_of(event, caplog)
    assert (record.levelno, record.getMessage()) == (level, message)
    assert record.name == ("tunnel.ready" if message.startswith(("listening ", "ready ")) else "tunnel")
    assert record.event == message.partition(" ")[0]
    assert list(record.fields) == [part.partition("=")[0] for part in message.split() if "=" in part]


def test_hostile_values_do_not_break_the_line(caplog: pytest.LogCaptureFixture) -> None:
    [record] = records_of(TunnelReady('a\nlistening kind="transport" \u2028%s', "ws://a", "t"), caplog)
    assert record.getMessage() == r'ready client="a\nlistening kind=\"transport\" \u2028%s" server=ws://a'


def test_nothing_is_written_below_the_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="tunnel")
    LoggingTelemetry().record(LinkLost("a", "broken", ""))
    assert caplog.records == []

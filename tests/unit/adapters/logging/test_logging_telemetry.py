"""Events as log records."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from tunnel.adapters.logging import LoggingTelemetry
from tunnel.ports.telemetry import (
    AccessLogLost,
    CertificateOutOfDate,
    ClaimGranted,
    ClientConfigured,
    ClientPublished,
    ClientUnpublished,
    ConfigurationApplied,
    ConfigurationReloaded,
    ConnectFailed,
    Event,
    LinkLost,
    Listening,
    MemberEjected,
    MemberReturned,
    ProtocolUnanswered,
    RegistrationDenied,
    RequestRefused,
    SessionEnded,
    SessionFailed,
    TargetEjected,
    TargetReturned,
    TunnelDetached,
    TunnelReady,
    TunnelResumed,
)

RECORDS = [
    (
        CertificateOutOfDate("ingress.http.tls.certificate", "expired on 2026-01-02 03:04:05 UTC"),
        logging.WARNING,
        'certificate_out_of_date key=ingress.http.tls.certificate reason="expired on 2026-01-02 03:04:05 UTC"',
    ),
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
        ClientConfigured("laptop-1", "web", 2),
        logging.INFO,
        "client_configured client=laptop-1 group=web version=2",
    ),
    (
        ClientConfigured("laptop-1", "web", 2, "bad"),
        logging.WARNING,
        "client_rejected_configuration client=laptop-1 group=web version=2 reason=bad",
    ),
    (
        TunnelDetached("laptop-1", "t1", "reset"),
        logging.INFO,
        "tunnel_detached client=laptop-1 tunnel=t1 reason=reset",
    ),
    (
        TunnelResumed("laptop-1", "t1", "grpc", "1.2.3.4:5"),
        logging.INFO,
        "tunnel_resumed client=laptop-1 tunnel=t1 transport=grpc address=1.2.3.4:5",
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
    (
        ConfigurationReloaded("server.toml", 2),
        logging.INFO,
        "configuration_reloaded source=server.toml version=2",
    ),
    (
        ConfigurationReloaded("server.toml", 1, "server.toml: rules: bad"),
        logging.ERROR,
        'configuration_kept source=server.toml version=1 reason="server.toml: rules: bad"',
    ),
    (
        ClaimGranted("laptop-1", "demo.test", "/", "https://demo.test"),
        logging.INFO,
        "claimed client=laptop-1 host=demo.test path_prefix=/ url=https://demo.test",
    ),
    (
        ClaimGranted("laptop-1", "demo.test", "/api", None),
        logging.INFO,
        "claimed client=laptop-1 host=demo.test path_prefix=/api",
    ),
    (LinkLost("1.2.3.4:5", "broken", ""), logging.WARNING, 'link_lost peer=1.2.3.4:5 end=broken reason=""'),
    (
        ConnectFailed("grpc://a:1", "refused", 0.12345),
        logging.WARNING,
        "connect_failed server=grpc://a:1 reason=refused retry_s=0.123",
    ),
    (
        MemberEjected("web", "laptop/one", "peer_lost", 20.0),
        logging.WARNING,
        "member_ejected group=web member=laptop/one reason=peer_lost ejection_s=20.0",
    ),
    (MemberReturned("web", "laptop/one"), logging.INFO, "member_returned group=web member=laptop/one"),
    (
        TargetEjected("app", "http://a:1", "upstream_timeout", 10.0),
        logging.WARNING,
        "target_ejected upstream=app target=http://a:1 reason=upstream_timeout ejection_s=10.0",
    ),
    (
        ProtocolUnanswered("app", "grpc", 3),
        logging.WARNING,
        "protocol_unanswered upstream=app protocol=grpc conversations=3",
    ),
    (TargetReturned("app", "http://a:1"), logging.INFO, "target_returned upstream=app target=http://a:1"),
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
    (
        SessionFailed("no_client", "none", "why", "r-1"),
        logging.INFO,
        "session_failed code=no_client reason=none detail=why request_id=r-1",
    ),
    (
        SessionEnded(protocol="http", request_id="r-1", outcome="ok", duration_s=0.5),
        logging.DEBUG,
        "session_ended outcome=ok request_id=r-1 duration_s=0.5",
    ),
    (
        RequestRefused(protocol="http", code="bad_request", status=400, peer="192.0.2.1", request_id="r-1"),
        logging.DEBUG,
        "request_refused code=bad_request status=400 peer=192.0.2.1 request_id=r-1",
    ),
    (
        AccessLogLost(3, "the queue was full"),
        logging.WARNING,
        'access_log_lost records=3 reason="the queue was full"',
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
    assert record.name == ("tunnel.ready" if message.startswith(("listening ", "ready ", "claimed ")) else "tunnel")
    assert record.event == message.partition(" ")[0]
    assert list(record.fields) == [part.partition("=")[0] for part in message.split() if "=" in part]


def test_hostile_values_do_not_break_the_line(caplog: pytest.LogCaptureFixture) -> None:
    [record] = records_of(TunnelReady('a\nlistening kind="transport" \u2028%s', "ws://a", "t"), caplog)
    assert record.getMessage() == r'ready client="a\nlistening kind=\"transport\" \u2028%s" server=ws://a'


def test_nothing_is_written_below_the_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="tunnel")
    LoggingTelemetry().record(LinkLost("a", "broken", ""))
    assert caplog.records == []


def test_page_has_every_event_with_its_level_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    text = (Path(__file__).parents[4] / "docs/reference/observability.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \| (\w+) \| ([^|]+) \| [^|]+ \|$", text.partition("\n## Log\n")[2], re.MULTILINE)
    told = {name: (level, fields) for names, level, fields in rows for name in re.findall(r"`(\w+)`", names)}
    caplog.set_level(logging.DEBUG, "tunnel")
    for event, *_ in RECORDS:
        LoggingTelemetry().record(event)

    written = {record.event: record for record in caplog.records}  # type: ignore[attr-defined]
    assert told.keys() == written.keys()
    for record in caplog.records:
        level, fields = told[record.event]  # type: ignore[attr-defined]
        assert set(record.fields) <= set(re.findall(r"`(\w+)`", fields)), record.event  # type: ignore[attr-defined]
        assert level == record.levelname.lower() or record.event == "session_failed"  # type: ignore[attr-defined]

"""How the commands write logs."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from tunnel.adapters.logging import LoggingTelemetry
from tunnel.app.logging import configure_logging
from tunnel.ports.telemetry import LinkLost, Listening, TunnelReady


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, "tunnel", "tunnel.ready")]
    levels = [logger.level for logger in loggers]
    handlers = loggers[0].handlers[:]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_ready_lines_are_bare_whatever_the_level(level: str) -> None:
    stream = io.StringIO()
    configure_logging("text", stream, level)
    LoggingTelemetry().record(Listening("transport", "grpc", "127.0.0.1:7000"))
    LoggingTelemetry().record(TunnelReady("laptop-1", "grpc://127.0.0.1:7000", "t"))
    assert stream.getvalue() == (
        "listening kind=transport name=grpc address=127.0.0.1:7000\n"
        "ready client=laptop-1 server=grpc://127.0.0.1:7000\n"
    )


def test_other_events_have_time_and_level() -> None:
    stream = io.StringIO()
    configure_logging("text", stream)
    LoggingTelemetry().record(LinkLost("a:1", "broken", "reset"))
    logging.getLogger("some.library").warning("oh %s", "no")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING link_lost peer=a:1 end=broken reason=reset", first
    )
    assert re.fullmatch(r"\S+Z WARNING some\.library: oh no", second)


def test_json_lines_hold_fields_and_message() -> None:
    stream = io.StringIO()
    configure_logging("json", stream)
    LoggingTelemetry().record(Listening("ingress", "http", "[::1]:80"))
    LoggingTelemetry().record(LinkLost("a:1", "broken", 'a "b"\n'))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert re.fullmatch(r"\S+Z", first.pop("time"))
    assert first == {
        "level": "info",
        "logger": "tunnel.ready",
        "message": "listening kind=ingress name=http address=[::1]:80",
        "event": "listening",
        "kind": "ingress",
        "name": "http",
        "address": "[::1]:80",
    }
    assert second["reason"] == 'a "b"\n'


@pytest.mark.parametrize("format", ["text", "json"])
def test_exceptions_are_written(format: str) -> None:
    stream = io.StringIO()
    configure_logging(format, stream)  # type: ignore[arg-type]
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("tunnel").exception("failed")
    assert "ValueError: boom" in stream.getvalue()
    assert format == "text" or len(stream.getvalue().splitlines()) == 1


def test_level_holds_for_our_records_only() -> None:
    stream = io.StringIO()
    configure_logging("text", stream, "debug")
    logging.getLogger("tunnel.x").debug("ours")
    logging.getLogger("other").info("theirs")
    assert stream.getvalue().count("\n") == 1


def test_configuring_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", io.StringIO())
    configure_logging("text")
    logging.getLogger("tunnel").warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_closed_standard_error_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    configure_logging("text")
    logging.getLogger("tunnel").warning("nobody reads this")

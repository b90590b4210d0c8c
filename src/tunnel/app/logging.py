"""How the commands write their logs: lines for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Final, Literal, TextIO

from tunnel.adapters.logging import LOGGER_NAME, READY_LOGGER_NAME
from tunnel.app.log_writer import LogWriter

__all__ = ["LOG_FORMATS", "LOG_LEVELS", "LogFormat", "configure_logging"]

LogFormat = Literal["text", "json"]

_STDERR_FD: Final = 2

_FLUSH_S: Final = 1.0
"""For writing what is left, when the process ends."""

LOG_FORMATS: Final = ("text", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


def configure_logging(format: LogFormat = "text", stream: TextIO | None = None, level: str = "info") -> None:
    """Send the process's logs to ``stream``, each record at once; those to standard error by a thread of its own.

    Whoever logs does not wait for standard error to be read. What that does not take in time is lost, and told as
    ``log_lines_lost`` when it takes some again.

    Ours from ``level`` up, other libraries' from ``warning`` up. Ready lines pass whatever the level; as text they are
    written bare (``listening kind=...``), so that scripts can wait for them. Calling it again replaces what it did
    before.

    Args:
        format: ``text`` or ``json``.
        stream: None: whatever ``sys.stderr`` is when a record is written.
        level: One of ``LOG_LEVELS``.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _StreamHandler):
            root.removeHandler(handler)
    handler = _StreamHandler(stream, _JsonFormatter() if format == "json" else _TextFormatter())
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(LOGGER_NAME).setLevel(level.upper())
    logging.getLogger(READY_LOGGER_NAME).setLevel(logging.INFO)


class _StreamHandler(logging.Handler):
    """Like the standard library's, but looks ``sys.stderr`` up when it writes, and marks what is ours to replace."""

    def __init__(self, stream: TextIO | None, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream: Final = stream
        self._standard_error: Final = LogWriter(_STDERR_FD, lost_line=self._lost_line)

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n"
        try:
            stream = self._stream or sys.stderr
            if _is_standard_error(stream):
                self._standard_error.write(line.encode(errors="backslashreplace"))
                return
            stream.write(line)
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more; serving goes on.
            return

    def flush(self) -> None:
        self._standard_error.flush(_FLUSH_S)

    def _lost_line(self, lines: int) -> bytes:
        fields = {"lines": lines, "reason": "standard error did not take them"}
        message = f"log_lines_lost lines={lines} reason={json.dumps(fields['reason'])}"
        event = {"event": "log_lines_lost", "fields": fields}
        record = logging.makeLogRecord({"name": LOGGER_NAME, "levelname": "WARNING", "msg": message, **event})
        return f"{self.format(record)}\n".encode()


def _is_standard_error(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _STDERR_FD
    except (OSError, ValueError):
        # A stream in memory, or one that is closed.
        return False


class _TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO client_published client=...``; ready lines bare."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.name != READY_LOGGER_NAME:
            source = "" if hasattr(record, "event") else f"{record.name}: "
            message = f"{_timestamp(record.created)} {record.levelname} {source}{message}"
        details = _details(self, record)
        return f"{message}\n{details}" if details else message


class _JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": "info", "logger": ..., "message": ..., "event": ..., ...fields}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if event := getattr(record, "event", None):
            line["event"] = event
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            line = {**line, **{key: each for key, each in fields.items() if key not in line}}
        if details := _details(self, record):
            line["exception"] = details
        return json.dumps(line, default=str)


def _details(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _timestamp(created_s: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    seconds, millis = divmod(int(created_s * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{millis:03d}Z"

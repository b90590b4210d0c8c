"""Telemetry written as log records of the standard library."""

from tunnel.adapters.logging.telemetry import LOGGER_NAME, READY_LOGGER_NAME, LoggingTelemetry

__all__ = ["LOGGER_NAME", "READY_LOGGER_NAME", "LoggingTelemetry"]

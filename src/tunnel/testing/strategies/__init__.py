"""What Hypothesis draws: values of every kind that crosses a port or is configured.

Each name is a function that returns a strategy, but for ``PAYLOADS``. What is drawn of rules, requests and settings is
valid, and small enough that rules and requests meet; what is drawn of envelopes is whatever a codec has to bear.
"""

from __future__ import annotations

from tunnel.testing.strategies.configurations import (
    client_settings,
    group_settings,
    limits_settings,
    server_settings,
    upstream_settings,
)
from tunnel.testing.strategies.envelopes import PAYLOADS, envelopes, frames, headers, limits, payloads, session_ids
from tunnel.testing.strategies.faults import fault_schedules, faults
from tunnel.testing.strategies.requests import openings, requests, routed_requests
from tunnel.testing.strategies.rules import group_rules, rules

__all__ = [
    "PAYLOADS",
    "client_settings",
    "envelopes",
    "fault_schedules",
    "faults",
    "frames",
    "group_rules",
    "group_settings",
    "headers",
    "limits",
    "limits_settings",
    "openings",
    "payloads",
    "requests",
    "routed_requests",
    "rules",
    "server_settings",
    "session_ids",
    "upstream_settings",
]

"""Who is ejected because what it was given failed, and how it comes back."""

from __future__ import annotations

from tunnel.domain.health.call_status import http_status
from tunnel.domain.health.failures import MEMBER_FAILURES, TARGET_FAILURES
from tunnel.domain.health.health import Health, Permit
from tunnel.domain.health.state import TRANSITIONS, HealthInput, HealthState
from tunnel.domain.health.watch import HealthWatch, Watched

__all__ = [
    "MEMBER_FAILURES",
    "TARGET_FAILURES",
    "TRANSITIONS",
    "Health",
    "HealthInput",
    "HealthState",
    "HealthWatch",
    "Permit",
    "Watched",
    "http_status",
]

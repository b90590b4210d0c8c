"""Members with a health of their own, as a group or an upstream has them."""

from __future__ import annotations

from tunnel.domain.configuration import EjectionSettings
from tunnel.domain.health import Health, Permit

SETTINGS = EjectionSettings(after_failures=3, base_s=10, max_s=60, slow_return_s=20, max_ejected_percent=50)


class Member:
    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.health = Health()

    def __repr__(self) -> str:
        return f"{self.name}: {self.health.state}"


def always() -> bool:
    return True


def fail(health: Health, permit: Permit, now: float, settings: EjectionSettings = SETTINGS) -> bool:
    return health.failed(permit, now, settings=settings, may_eject=always)


def ejected(now: float = 0.0, *, settings: EjectionSettings = SETTINGS) -> Health:
    """The health of a member ejected at ``now``."""
    health = Health()
    while not fail(health, health.permit, now, settings):
        pass
    return health


def returning(now: float = 10.0) -> Health:
    """The health of a member whose probe succeeded at ``now``."""
    health = ejected(now - SETTINGS.base_s)
    assert health.succeeded(health.admit(now), now)
    return health

"""The ``ejection`` tables: when a client or a target is left out for a while because what it was given failed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tunnel.domain.configuration.mistakes import mistake

__all__ = ["EjectionSettings", "check_ejection"]

_Seconds = Annotated[float, Meta(ge=0.1, le=3600)]
_Status = Annotated[int, Meta(ge=400, le=599)]


class EjectionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[groups.NAME.ejection]`` for its clients, ``[groups.NAME.upstreams.NAME.ejection]`` for its targets.

    Args:
        after_failures: Failures in a row that eject; 0: nothing is ever ejected.
        base_s: How long the first ejection lasts; each further one in a row lasts twice as long as the one before.
        max_s: Longest ejection.
        slow_return_s: How long the share of whoever returns takes to grow from a tenth to the whole; 0: at once.
        max_ejected_percent: Of those that could be chosen, how many may be ejected at the same time.
        statuses: Statuses of responses that count as failures, beside the failures of the tunnel's own making. The
            status of a gRPC call counts as that of HTTP which says the same: UNAVAILABLE as 503.
    """

    after_failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 5
    base_s: _Seconds = 10.0
    max_s: _Seconds = 300.0
    slow_return_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    max_ejected_percent: Annotated[int, Meta(ge=0, le=100)] = 50
    statuses: tuple[_Status, ...] = ()


def check_ejection(ejection: EjectionSettings, path: str) -> None:
    """Refuse times that contradict each other.

    Raises:
        ConfigurationError: Naming the key below ``path``.
    """
    if ejection.max_s < ejection.base_s:
        raise mistake(f"{path}.max_s", f"at least base_s ({ejection.base_s:g})", got=ejection.max_s)

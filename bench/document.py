"""The figures as JSON: everything the table shows, and every sample behind it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.report import LaneReport, LoadReport

__all__ = ["document"]


def document(
    reports: Sequence[LoadReport],
    *,
    about: Mapping[str, object],
    not_found: Mapping[str, str],
    failed: Mapping[str, str],
) -> str:
    """One JSON object: ``about``, ``loads`` by name, each with its ``lanes`` by name, and the lanes that did not run.

    Args:
        reports: One for each load.
        about: Machine, date, command and settings.
        not_found: Lanes whose programs are not installed, with what is missing.
        failed: Lanes that did not start, with the reason.
    """
    loads = {
        report.load.name: {
            "title": report.load.title,
            "unit": report.load.unit,
            "lanes": {lane.name: _lane(lane) for lane in report.lanes},
            "failed": report.failed,
        }
        for report in reports
    }
    whole = {"about": dict(about), "loads": loads, "not_found": dict(not_found), "failed": dict(failed)}
    return json.dumps(_finite(whole), indent=2) + "\n"


def _lane(lane: LaneReport) -> dict[str, Any]:
    fields = asdict(lane)
    del fields["name"]
    return fields


def _finite(value: Any) -> Any:
    """``value`` with null for what JSON has no word for."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case _:
            return value

"""The figures as an SVG: one panel a load, one bar a lane, and a whisker from the slowest round to the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from bench.report import LaneReport, LoadReport

__all__ = ["plot"]

_COLUMNS: Final = 2
_PANEL_PX: Final = 470
_GAP_PX: Final = 30
_LABEL_PX: Final = 120
_VALUE_PX: Final = 90
_ROW_PX: Final = 20
_BAR_PX: Final = 13
_HEAD_PX: Final = 28
_TOP_PX: Final = 46
_BAR_SPACE_PX: Final = _PANEL_PX - _LABEL_PX - _VALUE_PX

_OURS: Final = ("grpc", "websocket", "memory")
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#222}.title{font-weight:600}.note{fill:#666}"
    ".ours{fill:#2a6fbb}.other{fill:#9aa4ad}.whisker{stroke:#222;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.note{fill:#aaa}.whisker{stroke:#ddd}}"
)


def plot(reports: Sequence[LoadReport], *, about: Mapping[str, object]) -> str:
    """An SVG document of the rates. Bars of different panels have different scales.

    Args:
        reports: One for each load; those without any lane are left out.
        about: ``date`` and ``machine`` are shown.
    """
    shown = [report for report in reports if report.lanes]
    rows = [shown[start : start + _COLUMNS] for start in range(0, len(shown), _COLUMNS)]
    parts, top = [], _TOP_PX
    for row in rows:
        parts += [_panel(report, (_GAP_PX + at * (_PANEL_PX + _GAP_PX), top)) for at, report in enumerate(row)]
        top += _HEAD_PX + _ROW_PX * max(len(report.lanes) for report in row) + _GAP_PX
    width = _GAP_PX + _COLUMNS * (_PANEL_PX + _GAP_PX)
    caption = f"{about.get('date', '')}  {about.get('machine', '')}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">',
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="{_GAP_PX}" y="20">Units a second, median of the rounds</text>',
            f'<text class="note" x="{_GAP_PX}" y="36">{escape(caption)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(report: LoadReport, corner: tuple[int, int]) -> str:
    x, y = corner
    most = max(lane.rate.high for lane in report.lanes) or 1.0
    title = f'<text class="title" x="{x}" y="{y + 14}">{escape(report.load.title)}, {report.load.units}/s</text>'
    bars = [_bar(lane, (x, y + _HEAD_PX + _ROW_PX * at), most) for at, lane in enumerate(report.lanes)]
    return "\n".join([title, *bars])


def _bar(lane: LaneReport, corner: tuple[int, int], most: float) -> str:
    x, y = corner
    start, middle, baseline = x + _LABEL_PX, y + _BAR_PX / 2, y + _BAR_PX - 2
    low, length, high = (_BAR_SPACE_PX * value / most for value in (lane.rate.low, lane.rate.middle, lane.rate.high))
    kind = "ours" if lane.name in _OURS else "other"
    return (
        f'<text x="{start - 8}" y="{baseline}" text-anchor="end">{escape(lane.title)}</text>'
        f'<rect class="{kind}" x="{start}" y="{y}" width="{length:.1f}" height="{_BAR_PX}"/>'
        f'<line class="whisker" x1="{start + low:.1f}" x2="{start + high:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<text x="{start + high + 6:.1f}" y="{baseline}">{lane.rate.middle:,.0f}</text>'
    )

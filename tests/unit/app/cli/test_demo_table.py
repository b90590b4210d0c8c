"""The demo's table."""

from __future__ import annotations

from tunnel.app.cli.demo_table import Table
from tunnel.app.cli.demo_visits import Outcome


def lines(*outcomes: Outcome, colour: bool = False) -> list[str]:
    written: list[str] = []
    table = Table(["short", "quite long"], written.append, colour=colour)
    table.open("over grpc")
    for outcome in outcomes:
        table.add(outcome)
    return written


def test_columns_line_up() -> None:
    assert lines(Outcome("short", 0.0123), Outcome("quite long", 2.0, 50_000_000)) == [
        "",
        "over grpc",
        "  what             ms     MB/s  result",
        "  short            12           ok",
        "  quite long     2000       25  ok",
    ]


def test_failure_says_why_and_has_no_rate() -> None:
    failed = Outcome("short", 0.001, 1000, "expected status 200, got 502")
    assert lines(failed)[-1] == "  short             1           FAILED: expected status 200, got 502"


def test_only_results_are_coloured() -> None:
    written = lines(Outcome("short", 0.001), Outcome("short", 0.001, failure="why"), colour=True)
    assert written[-2].endswith("  \x1b[32mok\x1b[0m")
    assert written[-1].endswith("  \x1b[31mFAILED\x1b[0m: why")
    assert "\x1b" not in "".join(written[:-2])


def test_no_time_at_all_is_no_division_by_zero() -> None:
    assert lines(Outcome("short", 0.0, 1))[-1].endswith("ok")

"""What is made of samples, and how it is shown."""

import json
import math
import xml.etree.ElementTree as ET

from bench_kit import report_of, sample

from bench.accounting import Meter
from bench.document import document
from bench.plot import plot
from bench.samples import Result, Sample, Spread, percentile
from bench.table import table


def metered(**figures: dict[str, float]) -> Meter:
    meter = Meter({})
    for name, by_role in figures.items():
        setattr(meter, name, by_role)
    return meter


def test_a_sample_counts_by_second_and_by_unit():
    result = Result(done=200, elapsed_s=2.0, p50_ms=1.0, p99_ms=2.0)

    made = Sample.of(result, metered(cpu_s={"server": 0.1}, growth_kib={"server": 600.0}))

    assert (made.rate, made.cpu_us, made.growth_kib) == (100, {"server": 500}, {"server": 3})


def test_a_sample_of_nothing_divides_by_nothing():
    made = Sample.of(Result(done=0, elapsed_s=0.0, p50_ms=math.nan, p99_ms=math.nan), metered(cpu_s={"server": 1}))

    assert (made.rate, made.cpu_us, made.growth_kib) == (0, {}, {})


def test_percentiles_are_values_that_occurred():
    assert [percentile(list(range(1, 101)), percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7.0], 99) == 7
    assert math.isnan(percentile([], 50))


def test_ratios_are_taken_within_each_round():
    made = report_of(grpc=[sample(10), sample(30), sample(10)], ssh=[sample(20), sample(20), sample(100)])

    grpc, ssh = made.lanes
    assert grpc.rate == Spread(10, 10, 30)
    assert grpc.ratios == {"ssh": Spread(0.5, 0.1, 1.5)}
    assert ssh.ratios == {}


def test_the_highest_peak_and_all_failures_are_reported():
    made = report_of(grpc=[sample(1, failed=2), sample(1, failed=1, peak_mib={"server": 40.0})])

    assert (made.lanes[0].failed, made.lanes[0].peak_mib) == (3, {"server": 40.0})


def test_table_has_a_row_for_each_lane_and_a_line_for_each_that_failed():
    made = report_of(grpc=[sample(1234)], direct=[sample(20_000)], failed={"ssh": "it broke"})

    heading, columns, *rows = table(made).splitlines()

    assert heading == "get-50: small GETs, 50 connections"
    assert columns.split("  ")[0] == "lane"
    assert [row.split("  ")[0] for row in rows] == ["tunnel, gRPC", "direct", "ssh -R: failed, it broke"]
    assert "1,234" in rows[0]
    assert "0.062 (0.062-0.062)" in rows[0]


def test_memory_of_both_ends_together_is_shown_where_it_is_what_counts():
    made = report_of("websocket-idle", grpc=[sample(1, done=9000.0)], direct=[sample(1, growth_kib={"upstream": 2.0})])

    _, columns, grpc, direct = table(made).splitlines()

    assert "KiB/socket" in columns
    assert "peak MiB" not in columns
    assert "9,000" in grpc
    assert "together 25.0, server 12.0, client 13.0, upstream 2.00" in grpc
    assert "together" not in direct


def test_what_has_no_latency_shows_none():
    assert "nan" not in table(report_of(grpc=[sample(1, p50_ms=math.nan, p99_ms=math.nan)]))


def test_document_holds_every_sample_and_is_json_even_without_latencies():
    text = document(
        [report_of(grpc=[sample(10, p99_ms=math.nan), sample(30)])], about={"date": "today"}, not_found={}, failed={}
    )

    lane = json.loads(text, parse_constant=lambda name: 1 / 0)["loads"]["get-50"]["lanes"]["grpc"]
    assert [each["rate"] for each in lane["rounds"]] == [10, 30]
    assert lane["rounds"][0]["p99_ms"] is None


def test_plot_draws_a_bar_for_each_lane_in_proportion():
    text = plot(
        [report_of(grpc=[sample(50)], direct=[sample(100)]), report_of("upload")], about={"machine": "<one> & only"}
    )

    bars = [element for element in ET.fromstring(text) if element.tag.endswith("rect")]
    widths = [float(bar.get("width")) for bar in bars]
    assert widths == [widths[1] / 2, widths[1]]
    assert [bar.get("class") for bar in bars] == ["ours", "other"]

"""What is made of samples, and how it is shown."""

import json
import math
import xml.etree.ElementTree as ET

from bench_kit import report_of, sample

from bench.document import document
from bench.plot import plot
from bench.samples import Result, Sample, Spread, percentile
from bench.table import table


def test_a_sample_counts_by_second_and_by_unit():
    result = Result(done=200, elapsed_s=2.0, p50_ms=1.0, p99_ms=2.0)

    made = Sample.of(result, cpu_s={"server": 0.1}, peak_mib={"server": 30.0})

    assert (made.rate, made.cpu_us) == (100, {"server": 500})


def test_a_sample_of_nothing_divides_by_nothing():
    made = Sample.of(Result(done=0, elapsed_s=0.0, p50_ms=math.nan, p99_ms=math.nan), cpu_s={"server": 1}, peak_mib={})

    assert (made.rate, made.cpu_us) == (0, {})


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

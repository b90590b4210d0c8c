"""Metrics in either format, as parsers of the library read them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from admin_kit import get, server_application
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tunnel.domain.metrics import Counters

pytestmark = pytest.mark.anyio

OPENMETRICS = ("accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


def counted() -> Counters:
    counters = Counters()
    counters.started.add("http", 3)
    counters.retries.add("web")
    counters.routes.add("direct", 4)
    counters.links_lost.add("broken", 2)
    for status, duration_s in ((200, 0.003), (204, 0.02)):
        counters.session("http", "web", "rules[0]", "ok", status).add(duration_s, 10, 100)
    return counters


def samples(text: str, parse: object) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    return {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in parse(text)  # type: ignore[operator]
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "media_type", "parse"),
    [
        ((), "text/plain", parse_text),
        (OPENMETRICS, "application/openmetrics-text", parse_openmetrics),
    ],
)
async def test_both_formats_say_the_same(accept: tuple[str, str], media_type: str, parse: object) -> None:
    got = await get(server_application(counters=counted()), "/metrics", *([accept] if accept else []))
    assert got.headers["content-type"].partition(";")[0] == media_type
    found = samples(got.body.decode(), parse)
    expected = {
        ("tunnel_build_info", "version=1.2.3"): 1,
        ("tunnel_ready",): 1,
        ("tunnel_listener_accepting", "kind=ingress", "name=http"): 1,
        ("tunnel_sessions",): 5,
        ("tunnel_retained_bytes",): 700,
        ("tunnel_promised_bytes",): 65536,
        ("tunnel_group_clients", 'group=we"b\n', "health=healthy"): 2,
        ("tunnel_group_tunnels", 'group=we"b\n', "state=detached"): 1,
        ("tunnel_group_waiting_requests", 'group=we"b\n'): 7,
        ("tunnel_conversations_started_total", "protocol=http"): 3,
        ("tunnel_conversations_active", "protocol=http"): 1,
        ("tunnel_retries_total", "group=web"): 1,
        ("tunnel_entry_conversations_total", "route=direct"): 4,
        ("tunnel_links_lost_total", "end=broken"): 2,
        ("tunnel_tunnels_detached_total",): 0,
        ("tunnel_conversation_received_bytes_total", "direction=to_client", "group=web", "protocol=http"): 20,
        ("tunnel_conversation_sent_bytes_total", "direction=to_client", "group=web", "protocol=http"): 200,
        (
            "tunnel_conversations_ended_total",
            *("direction=to_client", "group=web", "outcome=ok", "protocol=http", "rule=rules[0]", "status=2xx"),
        ): 2,
        ("tunnel_round_trip_seconds_bucket", "le=0.025"): 2,
        ("tunnel_round_trip_seconds_bucket", "le=+Inf"): 3,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert {name for name, *_ in found if name.startswith("process_")}


async def test_durations_are_cumulative_histograms() -> None:
    got = await get(server_application(counters=counted()), "/metrics", OPENMETRICS)
    found = samples(got.body.decode(), parse_openmetrics)
    name = "tunnel_conversation_duration_seconds"
    labels = ("outcome=ok", "protocol=http")
    buckets = {le: found[f"{name}_bucket", f"le={le}", *labels] for le in ("0.0025", "0.005", "0.025", "+Inf")}
    assert buckets == {"0.0025": 0, "0.005": 1, "0.025": 2, "+Inf": 2}
    assert (found[f"{name}_count", *labels], found[f"{name}_sum", *labels]) == (2, pytest.approx(0.023))


async def test_scrapes_leave_nothing_behind_in_the_common_registry() -> None:
    from prometheus_client import REGISTRY

    before = {family.name for family in REGISTRY.collect()}
    application = server_application(counters=counted())
    bodies = [(await get(application, "/metrics")).body for _ in range(3)]
    assert all(b"tunnel_ready 1.0" in body for body in bodies)
    assert {family.name for family in REGISTRY.collect()} == before


def test_the_library_is_loaded_with_the_first_scrape_only() -> None:
    code = "import tunnel.adapters.admin.listener, tunnel.adapters.admin.endpoints, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "prometheus_client" not in done.stdout.split()

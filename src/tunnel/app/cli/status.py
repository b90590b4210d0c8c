"""``tunnel status --admin URL``: show what a running server or client says of itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from tunnel.app.cli.admin_visit import AdminVisit
from tunnel.app.cli.failures import FAILED, OK
from tunnel.app.cli.output import write
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.route import Route

__all__ = ["add_arguments", "run"]

_MAX_SHOWN: Final = 1000
"""Clients; with more of them the table says how many are left out."""

_CLIENT_COLUMNS: Final = ("CLIENT", "GROUP", "HEALTH", "STATE", "VIA", "ADDRESS", "RTT", "SESSIONS", "CONFIG")
_TUNNEL_COLUMNS: Final = ("TUNNEL", "STATE", "VIA", "ADDRESS", "RTT", "SESSIONS")
_NONE: Final = "-"
_WENT: Final = {Route.TUNNEL.value: "through the tunnel", Route.DIRECT.value: "directly"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--admin", metavar="URL", required=True, help="the admin port, http://HOST:PORT")
    parser.add_argument("--token-env", metavar="NAME", help="environment variable that holds its bearer token")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the status, and one line for each tunnel.

    Returns:
        0 when it is ready, else 1.

    Raises:
        ConfigurationError: The arguments are wrong.
        AdminUnavailable: It does not answer, or not as an admin port does.
    """
    visit = AdminVisit(args.admin, token=_token(args.token_env))
    status = visit.get("/api/status")
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    if status["kind"] == "server":
        details = _clients(visit)
        rows = [row for client in details["clients"] for row in _client_rows(client)]
        columns = _CLIENT_COLUMNS
    else:
        details = visit.get("/api/tunnels")
        rows = [_tunnel_row(each) for each in details["tunnels"]]
        columns = _TUNNEL_COLUMNS
    if args.json:
        write(msgspec.json.encode({"status": status, **details}).decode())
    else:
        for line in (*_summary(status), "", *(_table(columns, rows) if rows else [])):
            write(line)
        left_out = details.get("total", 0) - len(details.get("clients", ()))
        if left_out > 0:
            write(f"and {left_out} more clients")
    return OK if status["ready"] else FAILED


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable)
    if not token:
        raise ConfigurationError(f'the environment variable "{variable}" is not set', key_path="--token-env")
    return token


def _clients(visit: AdminVisit) -> dict[str, Any]:
    page = visit.get(f"/api/clients?limit={_MAX_SHOWN}")
    return {"total": page["total"], "clients": page["clients"]}


def _summary(status: dict[str, Any]) -> Iterator[str]:
    name = f" {status['client_id']}" if status["client_id"] else ""
    state = "ready" if status["ready"] else f"not ready: {'; '.join(status['reasons'])}"
    yield f"{status['kind']}{name}, {state}"
    yield f"version    {status['version']}, up {_duration(status['uptime_s'])}, settings {status['settings_version']}"
    for each in status["listeners"]:
        accepting = "" if each["accepting"] else " (does not accept)"
        yield f"{each['kind']:10} {each['name']} {each['address']}{accepting}"
    # One of an earlier version says nothing of claims.
    if status.get("url"):
        yield f"claim      {status['url']}"
    claims = f"{status['claims']} claims, " if status.get("claims") else ""
    counts = f"{claims}{status['tunnels']} tunnels, {status['sessions']} sessions"
    yield f"now        {status['clients']} clients, {counts}" if status["kind"] == "server" else f"now        {counts}"
    if routes := status.get("routes"):  # of an older version there are none
        went = ", ".join(f"{count} {_WENT[route]}" for route, count in sorted(routes.items()))
        yield f"entries    {went}"


def _client_rows(client: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    name = f"{client['principal']}/{client['client_id']}"
    for tunnel in client["tunnels"]:
        state, *rest = _tunnel_row(tunnel)[1:]
        if state == "attached" and not tunnel["published"]:
            state = "unpublished"
        yield (name, client["group"], client["health"], state, *rest, str(tunnel["config_version"] or _NONE))


def _tunnel_row(tunnel: dict[str, Any]) -> tuple[str, ...]:
    round_trip_s = tunnel["round_trip_s"]
    return (
        tunnel["tunnel_id"][:8],
        tunnel["state"],
        tunnel["transport"] or _NONE,
        tunnel["address"] or _NONE,
        _NONE if round_trip_s is None else f"{round_trip_s * 1000:.1f} ms",
        str(tunnel["sessions"]),
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join([each for each in parts if each][:2]) or f"{rest} s"

"""The upstream that all lanes lead to: nginx for fixed answers where it is installed, and a small server of our own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import NotFound, Processes, accepts, free_port, program
from bench.upstream_server import BODY, MIB

__all__ = ["ROOT", "Upstreams", "module_environment", "start_upstreams"]

ROOT: Final = Path(__file__).parents[1]
"""Of the repository, where ``python -m bench.NAME`` works."""

_NGINX: Final = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    server {{
        listen {address} backlog=4096;
        root {directory}/files;
        location = /small {{ return 200 "ok\\n"; }}
    }}
}}
"""


@dataclass(frozen=True)
class Upstreams:
    """What answers, running.

    Args:
        kind: What it is, for the reader of the output.
        plain: ``host:port`` of the fixed answers.
        streams: ``host:port`` of uploads and events.
        large_mib: Size of a large body, MiB.
        processes: Of each, by ``plain`` and ``streams``.
    """

    kind: str
    plain: str
    streams: str
    large_mib: int
    processes: Mapping[str, int] = field(default_factory=dict)


def module_environment() -> dict[str, str]:
    """What a process needs to find the modules of this package, whatever its interpreter and folder."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def start_upstreams(processes: Processes, *, large_mib: int) -> Upstreams:
    """Start the upstream.

    Raises:
        Failed: It does not get ready.
    """
    streams = f"127.0.0.1:{free_port()}"
    server = processes.start(
        "upstream",
        *(sys.executable, "-m", "bench.upstream_server", streams.rpartition(":")[2], str(large_mib)),
        environment=module_environment(),
    )
    server.until(accepts(streams))
    try:
        nginx = program("nginx")
    except NotFound:
        return Upstreams("asyncio", streams, streams, large_mib, {"plain": server.pid, "streams": server.pid})
    plain = f"127.0.0.1:{free_port()}"
    directory = processes.directory
    _write_files(directory / "files", large_mib)
    configuration = directory / "nginx.conf"
    # As root it would serve as nobody, who may not read a temporary directory of root's.
    user = "user root root;" if os.geteuid() == 0 else ""
    configuration.write_text(_NGINX.format(user=user, directory=directory, address=plain))
    process = processes.start("nginx", nginx, "-p", directory, "-c", configuration)
    process.until(accepts(plain))
    kind = "nginx for GET, asyncio for uploads and events"
    return Upstreams(kind, plain, streams, large_mib, {"plain": process.pid, "streams": server.pid})


def _write_files(directory: Path, large_mib: int) -> None:
    directory.mkdir()
    (directory / "body").write_bytes(BODY)
    with (directory / "large").open("wb") as large:
        large.truncate(large_mib * MIB)

"""The upstreams that all lanes lead to: nginx for fixed answers where it is installed, and small servers of our own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import NotFound, Process, Processes, accepts, free_port, program
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
        addresses: ``host:port`` of each, by the names of a lane's entrances.
        large_mib: Size of a large body, MiB.
        processes: Of each, by the same names.
    """

    kind: str
    addresses: Mapping[str, str]
    large_mib: int
    processes: Mapping[str, int] = field(default_factory=dict)

    @property
    def publisher(self) -> str:
        """``host:port`` where events are published."""
        return self.addresses["streams"]


def module_environment() -> dict[str, str]:
    """What a process needs to find the modules of this package, whatever its interpreter and folder."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def start_upstreams(processes: Processes, *, large_mib: int) -> Upstreams:
    """Start the upstreams.

    Raises:
        Failed: One does not get ready.
    """
    streams, websockets, tcp = (free_port() for _ in range(3))
    server = _start_module(processes, "upstream_server", streams, large_mib)
    echo = _start_module(processes, "echo_upstream", websockets, tcp)
    calls = _start_module(processes, "grpc_upstream")
    addresses = {
        name: f"127.0.0.1:{port}" for name, port in (("streams", streams), ("websockets", websockets), ("bytes", tcp))
    }
    for process, name in ((server, "streams"), (echo, "bytes")):
        process.until(accepts(addresses[name]))
    addresses["calls"] = calls.until_logged(r"ready (\S+)")
    pids = {"streams": server.pid, "websockets": echo.pid, "bytes": echo.pid, "calls": calls.pid}
    try:
        plain, nginx = _start_nginx(processes, large_mib)
    except NotFound:
        return Upstreams(
            "asyncio, grpc.aio for calls",
            addresses | {"plain": addresses["streams"]},
            large_mib,
            pids | {"plain": server.pid},
        )
    return Upstreams(
        "nginx for GET, grpc.aio for calls, asyncio for all else",
        addresses | {"plain": plain},
        large_mib,
        pids | {"plain": nginx.pid},
    )


def _start_module(processes: Processes, name: str, *arguments: int) -> Process:
    command = (sys.executable, "-m", f"bench.{name}", *map(str, arguments))
    return processes.start(name, *command, environment=module_environment())


def _start_nginx(processes: Processes, large_mib: int) -> tuple[str, Process]:
    """Its address, and its process."""
    nginx = program("nginx")
    plain = f"127.0.0.1:{free_port()}"
    directory = processes.directory
    _write_files(directory / "files", large_mib)
    configuration = directory / "nginx.conf"
    # As root it would serve as nobody, who may not read a temporary directory of root's.
    user = "user root root;" if os.geteuid() == 0 else ""
    configuration.write_text(_NGINX.format(user=user, directory=directory, address=plain))
    process = processes.start("nginx", nginx, "-p", directory, "-c", configuration)
    return process.until(accepts(plain)), process


def _write_files(directory: Path, large_mib: int) -> None:
    directory.mkdir()
    (directory / "body").write_bytes(BODY)
    with (directory / "large").open("wb") as large:
        large.truncate(large_mib * MIB)

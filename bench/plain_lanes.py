"""What a tunnel is compared with: no tunnel at all, and HTTP in Python without one."""

from __future__ import annotations

from bench.lanes import Entrance, Lane
from bench.processes import Processes, accepts, free_port
from bench.upstreams import Upstreams, module_environment

__all__ = ["start_direct", "start_uvicorn"]


def start_direct(upstreams: Upstreams, processes: Processes) -> Lane:
    """Visitors dial the upstream themselves. Starts nothing."""
    return Lane(
        "direct",
        {name: Entrance(address) for name, address in upstreams.addresses.items()},
        upstreams.publisher,
        upstream=upstreams.processes,
    )


def start_uvicorn(python: str, upstreams: Upstreams, processes: Processes) -> Lane:
    """An application on uvicorn that gives the same answers in place of the upstream.

    Raises:
        Failed: It does not get ready.
    """
    address = f"127.0.0.1:{free_port()}"
    server = processes.start(
        "uvicorn",
        *(python, "-m", "bench.asgi_upstream", address.rpartition(":")[2], str(upstreams.large_mib)),
        environment=module_environment(),
    )
    server.until(accepts(address))
    entrances = dict.fromkeys(("plain", "streams"), Entrance(address))
    return Lane("uvicorn", entrances, address, {"server": server.pid})

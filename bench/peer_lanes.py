"""Other tunnels, where they are installed: frp, chisel, rathole, piko. Each as its manual starts it, on loopback.

Whether a peer encrypts is left at its default: frp and chisel do, rathole and piko do not.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.lanes import Entrance, Lane
from bench.processes import Process, Processes, accepts, free_port, program
from bench.upstreams import Upstreams

__all__ = ["start_chisel", "start_frp", "start_piko", "start_rathole"]

_OF_HTTP: Final = ("plain", "streams", "websockets")
"""What piko forwards as requests."""


def start_frp(upstreams: Upstreams, processes: Processes) -> Lane:
    """A TCP proxy for each upstream, with frp's multiplexing over one connection.

    Raises:
        NotFound: No frps or frpc on PATH.
        Failed: They do not get ready.
    """
    frps, frpc = program("frps"), program("frpc")
    port, ports, token = free_port(), _ports(upstreams), secrets.token_urlsafe(16)
    server_file = _write(
        processes,
        "frps.toml",
        f'bindAddr = "127.0.0.1"\nbindPort = {port}\nauth.token = "{token}"\nlog.level = "warn"\n',
    )
    client_file = _write(
        processes,
        "frpc.toml",
        f'serverAddr = "127.0.0.1"\nserverPort = {port}\nauth.token = "{token}"\nlog.level = "warn"\n'
        + "".join(
            f'[[proxies]]\nname = "{name}"\ntype = "tcp"\nlocalIP = "127.0.0.1"\n'
            f"localPort = {_port(address)}\nremotePort = {ports[name]}\n"
            for name, address in upstreams.addresses.items()
        ),
    )
    server = processes.start("frps", frps, "-c", server_file)
    server.until(accepts(f"127.0.0.1:{port}"))
    client = processes.start("frpc", frpc, "-c", client_file)
    return _forwarded("frp", upstreams, ports=ports, ends=(server, client))


def start_chisel(upstreams: Upstreams, processes: Processes) -> Lane:
    """Reverse forwarding: SSH over one WebSocket.

    Raises:
        NotFound: No chisel on PATH.
        Failed: It does not get ready.
    """
    chisel = program("chisel")
    port, ports = free_port(), _ports(upstreams)
    login = ("--auth", f"bench:{secrets.token_urlsafe(16)}")
    server = processes.start(
        "chisel-server", chisel, "server", "--host", "127.0.0.1", "--port", str(port), "--reverse", *login
    )
    server.until(accepts(f"127.0.0.1:{port}"))
    client = processes.start(
        "chisel-client",
        *(chisel, "client", *login, f"http://127.0.0.1:{port}"),
        *(f"R:127.0.0.1:{ports[name]}:{address}" for name, address in upstreams.addresses.items()),
    )
    return _forwarded("chisel", upstreams, ports=ports, ends=(server, client))


def start_rathole(upstreams: Upstreams, processes: Processes) -> Lane:
    """A service for each upstream; rathole makes a connection for each visitor's.

    Raises:
        NotFound: No rathole on PATH.
        Failed: It does not get ready.
    """
    rathole = program("rathole")
    port, ports, token = free_port(), _ports(upstreams), secrets.token_urlsafe(16)
    server_file = _write(
        processes,
        "rathole-server.toml",
        f'[server]\nbind_addr = "127.0.0.1:{port}"\ndefault_token = "{token}"\n'
        + "".join(f'[server.services.{name}]\nbind_addr = "127.0.0.1:{port}"\n' for name, port in ports.items()),
    )
    client_file = _write(
        processes,
        "rathole-client.toml",
        f'[client]\nremote_addr = "127.0.0.1:{port}"\ndefault_token = "{token}"\n'
        + "".join(
            f'[client.services.{name}]\nlocal_addr = "{address}"\n' for name, address in upstreams.addresses.items()
        ),
    )
    quiet = {"RUST_LOG": "warn"}
    server = processes.start("rathole-server", rathole, "--server", server_file, environment=quiet)
    server.until(accepts(f"127.0.0.1:{port}"))
    client = processes.start("rathole-client", rathole, "--client", client_file, environment=quiet)
    return _forwarded("rathole", upstreams, ports=ports, ends=(server, client))


def start_piko(upstreams: Upstreams, processes: Processes) -> Lane:
    """An HTTP endpoint for each upstream. Like the tunnel, and unlike the others, piko parses HTTP.

    Raises:
        NotFound: No piko on PATH.
        Failed: It does not get ready.
    """
    piko = program("piko")
    proxy, upstream, admin, gossip, agent = (f"127.0.0.1:{free_port()}" for _ in range(5))
    quiet = ("--log.level", "warn")
    server = processes.start(
        "piko-server",
        *(piko, "server", "--proxy.bind-addr", proxy, "--upstream.bind-addr", upstream),
        *("--admin.bind-addr", admin, "--gossip.bind-addr", gossip, "--proxy.access-log=false", *quiet),
    )
    for address in (proxy, upstream):
        server.until(accepts(address))
    agent_file = _write(
        processes,
        "piko-agent.yaml",
        f"connect:\n  url: http://{upstream}\nserver:\n  bind_addr: {agent}\nlisteners:\n"
        + "".join(
            f"  - endpoint_id: {name}\n    addr: {upstreams.addresses[name]}\n    access_log: false\n"
            for name in _OF_HTTP
        ),
    )
    client = processes.start("piko-agent", piko, "agent", "start", "--config.path", agent_file, *quiet)
    return Lane(
        "piko",
        {name: Entrance(proxy, (("x-piko-endpoint", name),)) for name in _OF_HTTP},
        upstreams.publisher,
        {"server": server.pid, "client": client.pid},
        upstreams.processes,
    )


def _forwarded(name: str, upstreams: Upstreams, *, ports: Mapping[str, int], ends: tuple[Process, Process]) -> Lane:
    """The lane of a peer that forwards one port of its server to each upstream, once the ports accept."""
    server, client = ends
    addresses = {name: client.until(accepts(f"127.0.0.1:{port}")) for name, port in ports.items()}
    return Lane(
        name,
        {name: Entrance(address) for name, address in addresses.items()},
        upstreams.publisher,
        {"server": server.pid, "client": client.pid},
        upstreams.processes,
    )


def _ports(upstreams: Upstreams) -> dict[str, int]:
    """A port of the peer's server for each upstream."""
    return {name: free_port() for name in upstreams.addresses}


def _write(processes: Processes, name: str, text: str) -> Path:
    path = processes.directory / name
    path.write_text(text)
    return path


def _port(address: str) -> str:
    return address.rpartition(":")[2]

"""Connections under the tunnel are reset, and no visitor notices."""

import asyncio
import contextlib
import hashlib
import signal
import time

import pytest
from e2e_data import MIB, digest
from e2e_processes import Process, start_shaping_proxy
from e2e_topologies import TOKEN, Plan, ready_line, server_toml
from e2e_visitor import Visitor, exchange_state, fetch, run

SIZE = 16 * MIB
RATE = 12 * MIB
CUTS = 3
BETWEEN_CUTS_S = 0.2
RESUMED = "tunnel_resumed"


async def download(ingress) -> str:
    sha256 = hashlib.sha256()
    async with await Visitor.connect(ingress) as visitor:
        await visitor.send_head("GET", f"/download?bytes={SIZE}")
        response = await visitor.head()
        assert response.status == 200
        async for piece in visitor.body(response):
            sha256.update(piece)
    return sha256.hexdigest()


@pytest.fixture
def cuttable(transport, deploy):
    """A tunnel over a link that can be cut; the proxy process and the topology."""
    if transport not in ("grpc", "websocket"):
        pytest.skip("nothing lies between the two ends of the in-memory transport, or there is no tunnel")
    topology = deploy(client=False)
    proxy, near = start_shaping_proxy(topology.transport_address, rate=RATE)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(proxy.kill)
        topology.start_client(via=near)
        topology.wait_for_client()
        yield proxy, topology


@pytest.mark.both_ways
def test_download_survives_a_link_that_is_reset_again_and_again(cuttable, measured):
    proxy, topology = cuttable
    client, server = topology.processes["client"], topology.processes["server"]

    async def scenario():
        loading = asyncio.create_task(download(topology.ingress))
        for _ in range(CUTS):
            await asyncio.sleep(BETWEEN_CUTS_S)
            assert not loading.done()
            said = len(client.lines)
            proxy.signal(signal.SIGUSR1)
            await asyncio.to_thread(client.wait_for, RESUMED, after_line=said)
        return await loading

    start = time.monotonic()
    assert run(scenario()) == digest(SIZE)

    measured(f"{SIZE // MIB} MiB in {time.monotonic() - start:.1f} s over {CUTS + 1} connections")
    assert len(client.matches(RESUMED)) == len(server.matches(RESUMED)) == CUTS
    assert client.matches("Traceback") == server.matches("Traceback") == []


def test_requests_in_flight_are_answered_after_a_reset(cuttable, upstream):
    proxy, topology = cuttable
    names = [f"resumed-{topology.name}-{number}" for number in range(20)]

    async def scenario():
        slow = [asyncio.create_task(fetch(topology.ingress, f"/slow?id={name}")) for name in names]
        for name in names:
            await exchange_state(upstream, name, until="started")
        proxy.signal(signal.SIGUSR1)
        await asyncio.to_thread(topology.processes["client"].wait_for, RESUMED)
        for name in names:
            await fetch(upstream, f"/release?id={name}", method="POST")
        return [(response.status, response.body) for response in await asyncio.gather(*slow)]

    assert run(scenario(), deadline_s=30) == [(200, b"slow")] * 20


@pytest.mark.rule("R11")
def test_tunnel_goes_on_over_another_transport(transport, upstream, tmp_path, spawn, measured):
    """The link over one cannot be dialled any more: the client falls back, and the download goes on."""
    if transport not in ("grpc", "websocket"):
        pytest.skip("is about one transport and another")
    other = {"grpc": "websocket", "websocket": "grpc"}[transport]
    path = tmp_path / "server.toml"
    path.write_text(f'[transports.{other}]\nlisten = "127.0.0.1:0"\n' + server_toml(Plan(upstream), transport, ""))
    server = spawn("server", "-m", "tunnel", "server", "--config", str(path))
    first, second = (address(server, "transport", name) for name in (transport, other))
    ingress = address(server, "ingress", "http")
    proxy, near = start_shaping_proxy(first, rate=RATE)
    try:
        schemes = {"grpc": "grpc", "websocket": "ws"}
        servers = [f"{schemes[transport]}://{near[0]}:{near[1]}", f"{schemes[other]}://{second[0]}:{second[1]}"]
        path = tmp_path / "client.toml"
        path.write_text(f'client_id = "client"\ngroup = "web"\ntoken = "{TOKEN}"\nservers = {servers}\n')
        client = spawn("client", "-m", "tunnel", "client", "--config", str(path))
        client.wait_for(ready_line("client"))

        async def scenario():
            loading = asyncio.create_task(download(ingress))
            await asyncio.sleep(BETWEEN_CUTS_S)
            assert not loading.done()
            proxy.kill()
            return await loading

        start = time.monotonic()
        assert run(scenario()) == digest(SIZE)
        measured(f"from {transport} to {other} in {time.monotonic() - start:.1f} s, the download included")
        assert len(client.matches(RESUMED)) == 1
    finally:
        proxy.kill()


def address(server: Process, kind: str, name: str):
    found = server.wait_for(rf"listening kind={kind} name={name} address=(\S+)")
    host, _, port = found[1].rpartition(":")
    return host, int(port)

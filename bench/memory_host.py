"""A server and a client in one process, joined by memory: ``python -m bench.memory_host SERVER_FILE CLIENT_FILE``.

Prints a line for each listener, as ``tunnel server`` does, once requests can be answered, and ends at SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

import tunnel


async def _run(server_file: str, client_file: str) -> None:
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    async with (
        tunnel.Server(tunnel.load_server_settings(server_file)) as server,
        tunnel.Client(tunnel.load_client_settings(client_file)) as client,
    ):
        await client.ready()
        for entrance, address in server.addresses.items():
            kind, _, name = entrance.partition(".")
            print(f"listening kind={kind} name={name} address={address}", flush=True)
        await terminated.wait()


if __name__ == "__main__":
    uvloop.run(_run(*sys.argv[1:]))

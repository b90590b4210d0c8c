"""A server and its clients in one process, joined by the in-memory transport, with real ingress and upstream sockets.

Commands come on stdin, one a line: `server start FILE`, `server stop`, `client start NAME FILE`, `client stop NAME`.
Ready lines go to stderr as the command line prints them; so do `stopped name=...` and `failed name=... error=...`.
`stop` cuts off what is under way. SIGTERM and the end of stdin stop everything and let it finish.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import uvloop

import tunnel
from tunnel.app.cli.output import write_error
from tunnel.app.logging import configure_logging

DRAIN_S = 10


class Host:
    def __init__(self) -> None:
        self.drain_s: float = 0
        self.stops: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, role: str, path: str) -> None:
        stop = self.stops[name] = asyncio.Event()
        serve = self.serve_server if role == "server" else self.serve_client
        self.tasks[name] = asyncio.create_task(self.supervise(name, serve(path, stop)))

    async def supervise(self, name: str, served) -> None:
        try:
            await served
        except Exception as error:  # noqa: BLE001 - whatever ended it is what the test wants to read
            write_error(f"failed name={name} error={type(error).__name__}: {error}")
        else:
            write_error(f"stopped name={name}")

    async def serve_server(self, path: str, stop: asyncio.Event) -> None:
        async with tunnel.Server(tunnel.load_server_settings(path)) as server:
            await stop.wait()
            await server.aclose(drain_s=self.drain_s)

    async def serve_client(self, path: str, stop: asyncio.Event) -> None:
        async with tunnel.Client(tunnel.load_client_settings(path)) as client:
            ready, stopped = asyncio.ensure_future(client.ready()), asyncio.ensure_future(stop.wait())
            await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
            ready.cancel()
            await stopped
            await client.aclose(drain_s=self.drain_s)

    async def run(self) -> None:
        terminated = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
        commands = asyncio.create_task(self.obey())
        signalled = asyncio.create_task(terminated.wait())
        await asyncio.wait({commands, signalled}, return_when=asyncio.FIRST_COMPLETED)
        commands.cancel()
        signalled.cancel()
        self.drain_s = DRAIN_S
        # The server first: its clients still have to answer what it drains.
        for name in sorted(self.tasks, key=lambda name: name != "server"):
            self.stops[name].set()
            await self.tasks[name]

    async def obey(self) -> None:
        async for line in stdin_lines():
            match line.split():
                case ["server", "start", path]:
                    self.start("server", "server", path)
                case ["client", "start", name, path]:
                    self.start(name, "client", path)
                case ["server", "stop"]:
                    self.stops["server"].set()
                case ["client", "stop", name]:
                    self.stops[name].set()
                case _:
                    raise ValueError(line)


async def stdin_lines() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line.decode()


if __name__ == "__main__":
    configure_logging(format="text", stream=sys.stderr, level="INFO")
    # On uvloop, as the commands do: asyncio's own listener in Python 3.13.0 writes a traceback when it is closed
    # between accepting a connection and making its transport.
    uvloop.run(Host().run())

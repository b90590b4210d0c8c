"""The listening side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable

from tunnel.domain.errors import ListenError
from tunnel.ports.transport import LinkService, Listener
from tunnel_unix.link import UnixLink
from tunnel_unix.transport import GREETING

__all__ = ["UnixListener"]


class UnixListener(Listener):
    """Accepts links at the socket ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._stopped = asyncio.Event()
        self._serving = False
        self._links: set[UnixLink] = set()

    @property
    def address(self) -> str:
        return self._path

    def bind(self) -> None:
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(self._path)
        except OSError as exc:
            bound.close()
            raise ListenError(self._path, exc.strerror or str(exc)) from exc
        self._socket = bound

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        if self._stopped.is_set():
            return
        if self._socket is None:
            self.bind()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(service, reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        self._serving = True
        server = await asyncio.start_unix_server(accept, sock=self._socket)
        try:
            started()
            await self._stopped.wait()
        finally:
            server.close()
            self._release()
            for link in list(self._links):
                link.abort()
            for task in tasks:
                task.cancel()

    def stop(self) -> None:
        self._stopped.set()
        if not self._serving:
            self._release()

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    async def _serve(self, service: LinkService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        link = UnixLink(reader, writer)
        self._links.add(link)
        try:
            await service.proxy(link)
            await link.aclose()
        except Exception:
            logging.getLogger("tunnel_unix").exception("serving a link failed")
        finally:
            link.abort()
            self._links.discard(link)

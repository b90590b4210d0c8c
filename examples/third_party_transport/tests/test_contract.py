"""The transport under the contract that every transport of hextunnel keeps."""

from __future__ import annotations

import shutil
import socket
import tempfile
from contextlib import suppress
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path

from tunnel_unix import UnixLink, UnixListener, UnixTransport

from tunnel.ports.transport import Link
from tunnel.testing.transport import TransportCapabilities, TransportContract, TransportHarness


class UnixHarness(TransportHarness):
    scheme = "ux"
    capabilities = TransportCapabilities(buffered_bytes=4 * 1024 * 1024, addresses=False)

    def __init__(self) -> None:
        # Paths of sockets are short: pytest's own directories may be too deep for them.
        self._directory = Path(tempfile.mkdtemp(prefix="ux"))
        self._names = (f"{number}.sock" for number in count())

    def listener(self) -> UnixListener:
        return self.listener_at(str(self._directory / next(self._names)))

    def listener_at(self, address: str) -> UnixListener:
        return UnixListener(address)

    def transport(self) -> UnixTransport:
        return UnixTransport()

    def nobody_url(self) -> str:
        return f"ux://{self._directory}/nobody.sock"

    async def sever(self, link: Link) -> None:
        assert isinstance(link, UnixLink)
        # A link that was closed before has no socket any more.
        with suppress(OSError):
            link._writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        shutil.rmtree(self._directory)


class TestUnixTransport(TransportContract):
    harness = UnixHarness


def test_clients_find_the_transport_by_its_scheme() -> None:
    (found,) = (each for each in entry_points(group="tunnel.transports") if each.name == "ux")
    assert found.load() is UnixTransport

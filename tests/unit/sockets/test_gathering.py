"""Which releases of Python can be given several pieces at once."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from tunnel.sockets.gathering import WRITELINES_PAUSES, writelines_pauses


@pytest.mark.parametrize(
    ("version", "pauses"),
    [
        ((3, 11, 0), True),
        ((3, 12, 0), False),
        ((3, 12, 8), False),
        ((3, 12, 9), True),
        ((3, 13, 0), False),
        ((3, 13, 1), False),
        ((3, 13, 2), True),
        ((3, 14, 0), True),
    ],
)
def test_releases_whose_transports_do_not_pause_are_known(version: tuple[int, int, int], pauses: bool) -> None:
    assert writelines_pauses(version) is pauses


class Paused(asyncio.Protocol):
    """Knows whether it was told to pause."""

    told = False

    def pause_writing(self) -> None:
        self.told = True


def test_flag_says_what_this_python_does() -> None:
    async def scenario() -> bool:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            transport, protocol = await asyncio.get_running_loop().create_connection(Paused, sock=ours)
            transport.writelines([bytes(1 << 20)] * 16)
            transport.abort()
            return protocol.told

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(scenario()) is WRITELINES_PAUSES is writelines_pauses(sys.version_info[:3])

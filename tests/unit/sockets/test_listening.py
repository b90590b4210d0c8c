from __future__ import annotations

import os
import socket

import pytest

from tunnel.domain.errors import ListenError
from tunnel.sockets.listening import address_of, listening_socket


@pytest.mark.parametrize(
    ("listen", "host"), [("127.0.0.1:0", "127.0.0.1"), ("localhost:0", "127.0.0.1"), ("[::1]:0", "[::1]")]
)
def test_it_listens_where_it_was_told(listen: str, host: str) -> None:
    try:
        listening = listening_socket(listen, backlog_connections=1)
    except ListenError:
        if host == "[::1]":
            pytest.skip("no IPv6 here")
        raise
    with listening:
        address, _, port = address_of(listening).rpartition(":")
        assert address == host
        assert not listening.getblocking()
        with socket.create_connection((address.strip("[]"), int(port)), timeout=5):
            pass


def test_no_host_is_every_address() -> None:
    with listening_socket(":0", backlog_connections=1) as listening:
        assert listening.getsockname()[0] in ("0.0.0.0", "::")


@pytest.mark.skipif(os.name != "posix", reason="another process could take the address away")
def test_an_address_is_had_again_at_once() -> None:
    with listening_socket("127.0.0.1:0", backlog_connections=1) as listening:
        address = address_of(listening)
        visitor = socket.create_connection(listening.getsockname(), timeout=5)
        listening.setblocking(True)
        listening.accept()[0].close()  # it is we who close first, so that the address lingers with us
        visitor.close()
    with listening_socket(address, backlog_connections=1) as again:
        assert address_of(again) == address


@pytest.mark.parametrize("listen", ["", ":", "127.0.0.1", "nonsense", "::1:80", "[::1:80", "a:http", "a:65536", ":-1"])
def test_what_is_no_address_is_a_listen_error(listen: str) -> None:
    with pytest.raises(ListenError, match="cannot listen on"):
        listening_socket(listen, backlog_connections=1)


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "nobody.invalid:0"])
def test_an_address_that_is_not_ours_is_a_listen_error(listen: str) -> None:
    with pytest.raises(ListenError):
        listening_socket(listen, backlog_connections=1)


def test_a_taken_address_is_a_listen_error_and_leaves_no_socket() -> None:
    with (
        listening_socket("127.0.0.1:0", backlog_connections=1) as listening,
        pytest.raises(ListenError, match="in use"),
    ):
        listening_socket(address_of(listening), backlog_connections=1)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system does not show how")
def test_visitors_that_are_silent_are_asked_for_a_sign_of_life() -> None:
    with listening_socket("127.0.0.1:0", backlog_connections=1) as listening:
        visitor = socket.create_connection(listening.getsockname(), timeout=5)
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with visitor, accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [accepted.getsockopt(socket.IPPROTO_TCP, each) for each in options] == [60, 15, 4]

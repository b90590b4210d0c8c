"""Where listeners listen and where servers are: what is an address, and what is not."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration import ServerUrl, parse_server_url
from tunnel.domain.configuration.addresses import ListenAddress, authority, check_origin, check_scheme, parse_listen
from tunnel.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7000", ListenAddress("127.0.0.1", 7000)),
        ("[::1]:65535", ListenAddress("::1", 65535)),
        ("edge.test:0", ListenAddress("edge.test", 0)),
    ],
)
def test_address_to_listen_on_is_a_host_and_a_port(text: str, address: ListenAddress) -> None:
    assert parse_listen(text) == address
    assert str(address) == text == authority(address.host, address.port)


@pytest.mark.parametrize(
    "text", ["", ":1", "a.test", "a.test:", "a.test:65536", "[::x]:1", "a..test:1", "a b:1", "::1:1"]
)
def test_other_addresses_are_mistakes_at_their_key(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r'^admin\.listen: expected an address "HOST:PORT"'):
        parse_listen(text, "admin.listen")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("memory://a..b", ServerUrl("memory", "a..b", 0, "")),
        ("grpc://edge.test:65535", ServerUrl("grpc", "edge.test", 65535)),
        ("ws://edge.test", ServerUrl("ws", "edge.test", 80, "/")),
        ("wss://edge.test", ServerUrl("wss", "edge.test", 443, "/")),
        ("wss://edge.test/a/b", ServerUrl("wss", "edge.test", 443, "/a/b")),
        ("carrier-pigeon://loft/7?b#c", ServerUrl("carrier-pigeon", "loft/7?b#c", 0, "")),
    ],
)
def test_servers_are_hosts_and_names_and_what_plug_ins_take(url: str, server: ServerUrl) -> None:
    assert parse_server_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "grpc://a..b:1",
        "grpc://[::x]:1",
        "ws://edge.test:",
        "wss://edge.test:65536",
        "grpc://edge.test:0",
        "grpc://a:1?b",
    ],
)
def test_other_urls_are_no_servers(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^servers\[0\]: expected"):
        parse_server_url(url, "servers[0]")


@pytest.mark.parametrize("url", ["grpc://a:1", "memory://m", "pigeon://loft"])
def test_schemes_are_built_in_or_installed(url: str) -> None:
    check_scheme(url, "servers[0]", {"pigeon"})


def test_scheme_that_nobody_brings_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r'^servers\[0\]: expected a URL such as .*, got "pigeon://loft"$'):
        check_scheme("pigeon://loft", "servers[0]", {"owl"})


@pytest.mark.parametrize("url", ["http://a.test", "https://a.test/", "http://a.test:1", "https://[::1]:65535"])
def test_origin_is_a_scheme_of_http_a_host_and_perhaps_a_port(url: str) -> None:
    check_origin(url, "ingress.http.public_url")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.test",
        "http://:80",
        "http://a.test:0",
        "http://a.test/x",
        "http://a.test?b",
        "http://a.test#b",
        "a.test",
    ],
)
def test_other_origins_are_mistakes_at_their_key(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ingress\.http\.public_url: expected a URL such as"):
        check_origin(url, "ingress.http.public_url")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://edge.example.test", "wss://edge.example.test"),
        ("http://127.0.0.1:7001/x", "ws://127.0.0.1:7001/x"),
        ("edge.example.test", "wss://edge.example.test"),
        ("edge.example.test/tunnel", "wss://edge.example.test/tunnel"),
        ("edge.example.test:7000", "grpcs://edge.example.test:7000"),
        ("[fd00::7]:7000", "grpcs://[fd00::7]:7000"),
        ("127.0.0.1:7000", "grpc://127.0.0.1:7000"),
        ("localhost", "ws://localhost"),
    ],
)
def test_url_that_is_nearly_a_servers_is_told_what_was_meant(written: str, meant: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_server_url(written, "servers[0]")

    assert str(caught.value).endswith(f'got "{written}"; did you mean "{meant}"?')

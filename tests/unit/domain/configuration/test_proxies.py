"""Which proxy leads to which server."""

from __future__ import annotations

import sys

import pytest

from tunnel.domain.configuration import ClientSettings, Secret, decode_client_settings
from tunnel.domain.configuration.proxies import Proxy, parse_proxy, proxy_towards
from tunnel.domain.errors import ConfigurationError

EDGE = ("edge.example.test", 443)


def chosen(
    scheme: str = "wss", host: str = EDGE[0], port: int = EDGE[1], setting: str | None = None, **env: str
) -> str:
    proxy = proxy_towards(scheme, host, port, setting=None if setting is None else Secret(setting), environment=env)
    return "" if proxy is None else proxy.revealed_url()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy.test:3128", "http://proxy.test:3128"),
        ("http://proxy.test", "http://proxy.test:80"),
        ("http://proxy.test:3128/", "http://proxy.test:3128"),
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("socks5://proxy.test", "socks5h://proxy.test:1080"),
        ("socks5h://proxy.test:9", "socks5h://proxy.test:9"),
        ("http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ("http://me:p%40ss%3A@proxy.test:1", "http://me:p%40ss%3A@proxy.test:1"),
        ("http://me@proxy.test:1", "http://me:@proxy.test:1"),
    ],
)
def test_urls_of_proxies_are_read(text: str, url: str) -> None:
    assert parse_proxy(text, "proxy").revealed_url() == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://proxy.test:3128",
        "ftp://proxy.test",
        "http://",
        "http://proxy.test:0",
        "http://proxy.test:70000",
        "http://proxy.test:",
        "http://proxy.test/path",
        "http://proxy.test?x",
        "http://pro xy.test",
        "http://proxy.test:3128\r\nX: y",
        "http://:secret@proxy.test",
        "http://a%3Ab:secret@proxy.test",
        "http://me:se%0d%0acret@proxy.test",
        "http://me:%ffsecret@proxy.test",
    ],
)
def test_others_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_proxy(text, "proxy")

    assert caught.value.key_path == "proxy"
    assert "secret" not in str(caught.value)


def test_a_proxy_shows_no_secrets() -> None:
    proxy = parse_proxy("http://me:secret@proxy.test:3128", "proxy")

    assert "secret" not in repr(proxy)
    assert "me" not in repr(proxy).replace("scheme", "")
    assert proxy.authority == "proxy.test:3128"


@pytest.mark.parametrize("scheme", ["grpc", "grpcs", "ws", "wss"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_is_never_reached_through_one(scheme: str, host: str) -> None:
    assert chosen(scheme, host, setting="http://proxy.test:1", https_proxy="http://proxy.test:1") == ""


def test_what_is_configured_wins_over_the_environment() -> None:
    assert chosen(setting="http://here.test:1", HTTPS_PROXY="http://there.test:1", NO_PROXY="*") == "http://here.test:1"
    assert chosen(setting="none", HTTPS_PROXY="http://there.test:1") == ""


@pytest.mark.parametrize(
    ("scheme", "names", "used"),
    [
        ("wss", "https_proxy HTTPS_PROXY all_proxy", "https_proxy"),
        ("grpcs", "HTTPS_PROXY all_proxy", "HTTPS_PROXY"),
        ("wss", "ALL_PROXY http_proxy", "ALL_PROXY"),
        ("ws", "ALL_PROXY http_proxy", "http_proxy"),
        ("grpc", "ALL_PROXY HTTP_PROXY", "HTTP_PROXY"),
        ("ws", "https_proxy http_proxy", "https_proxy"),
        ("wss", "http_proxy", None),
        ("wss", "grpc_proxy wss_proxy socks_proxy", None),
    ],
)
def test_variables_of_the_environment_have_an_order(scheme: str, names: str, used: str | None) -> None:
    environment = {name: f"http://p{number}.test:1" for number, name in enumerate(names.split())}

    assert chosen(scheme, **environment) == ("" if used is None else environment[used])


def test_a_variable_that_is_empty_means_none() -> None:
    assert chosen(https_proxy="", HTTPS_PROXY="http://proxy.test:1") == ""


@pytest.mark.parametrize(
    ("listed", "host", "direct"),
    [
        ("*", "edge.example.test", True),
        ("example.test", "edge.example.test", True),
        (".example.test", "edge.example.test", True),
        ("*.example.test", "edge.example.test", True),
        ("a.test, edge.example.test", "edge.example.test", True),
        ("a.test edge.example.test", "edge.example.test", True),
        ("EDGE.example.TEST", "edge.example.test", True),
        ("edge.example.test", "Edge.Example.Test.", True),
        ("ample.test", "edge.example.test", False),
        ("edge.example.test:443", "edge.example.test", True),
        ("edge.example.test:444", "edge.example.test", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.9/8", "10.1.2.3", True),
        ("edge.example.test", "10.1.2.3", False),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.0.0.0/8", "edge.example.test", False),
        ("192.168.0.0/16", "10.1.2.3", False),
        ("2001:db8::/32", "2001:db8::7", True),
        ("[2001:db8::7]:443", "2001:db8::7", True),
        ("[2001:db8::7]:444", "2001:db8::7", False),
        ("", "edge.example.test", False),
        (",", "edge.example.test", False),
        (".", "edge.example.test", False),
    ],
)
def test_exceptions_are_names_addresses_and_networks(listed: str, host: str, *, direct: bool) -> None:
    assert (chosen(host=host, HTTPS_PROXY="http://proxy.test:1", NO_PROXY=listed) == "") is direct


def test_mistakes_of_the_environment_name_the_variable_and_hide_its_value() -> None:
    with pytest.raises(ConfigurationError, match="the environment variable ALL_PROXY: expected") as caught:
        chosen(ALL_PROXY="https://me:secret@proxy.test")

    assert "secret" not in str(caught.value)


def test_grpc_through_socks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"ALL_PROXY: .*gRPC does not speak SOCKS"):
        chosen("grpcs", ALL_PROXY="socks5://proxy.test")
    with pytest.raises(ConfigurationError, match=r"^proxy: .*gRPC does not speak SOCKS"):
        ClientSettings(
            group="web", token=Secret("t"), servers=("grpcs://edge.test:1",), proxy=Secret("socks5://proxy.test")
        )


def test_socks_without_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(ConfigurationError, match=r"ALL_PROXY: .*pip install 'hextunnel\[socks\]'"):
        chosen("wss", ALL_PROXY="socks5://me:secret@proxy.test")
    with pytest.raises(ConfigurationError, match=r"^proxy: SOCKS needs the package python-socks"):
        decode_client_settings(
            {"group": "web", "token": "t", "servers": ["wss://edge.test"], "proxy": "socks5://proxy.test"}
        )
    assert chosen("wss", ALL_PROXY="http://proxy.test:1") == "http://proxy.test:1"


def test_settings_hold_a_secret() -> None:
    settings = decode_client_settings(
        {"group": "web", "token": "t", "servers": ["wss://edge.test"], "proxy": "http://me:secret@proxy.test"}
    )

    assert settings.proxy == Secret("http://me:secret@proxy.test")
    assert "secret@" not in repr(settings)


def test_settings_refuse_what_is_no_proxy() -> None:
    with pytest.raises(ConfigurationError, match=r'^proxy: expected "none", or a URL'):
        decode_client_settings({"group": "web", "token": "t", "servers": ["wss://edge.test"], "proxy": "yes please/"})


@pytest.mark.parametrize("text", ["http://m\u00e9:x@proxy.test:1", "http://me:\x7f@proxy.test:1"])
def test_url_of_a_proxy_is_printable_ascii(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^proxy: expected"):
        parse_proxy(text, "proxy")


def test_proxies_are_values() -> None:
    assert parse_proxy("proxy.test:1", "") == Proxy(scheme="http", host="proxy.test", port=1)

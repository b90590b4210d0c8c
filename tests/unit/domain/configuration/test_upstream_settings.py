"""What targets may be asked, and how they are dialled: the limit of connections, and TLS."""

from __future__ import annotations

from typing import Any

import pytest

from tunnel.domain.configuration import (
    GroupSnapshot,
    ServerSettings,
    UpstreamTlsSettings,
    decode_client_settings,
    decode_server_settings,
)
from tunnel.domain.configuration.groups import UpstreamSettings
from tunnel.domain.errors import ConfigurationError

CA = "-----BEGIN CERTIFICATE-----\nTWlJ\nQg==\n-----END CERTIFICATE-----\n"


def server(**upstream: Any) -> ServerSettings:
    app = {"targets": ["https://a.test"], **upstream}
    return decode_server_settings(
        {"transports": {"memory": {"name": "edge"}}, "groups": {"web": {"upstreams": {"app": app}}}}
    )


def test_defaults() -> None:
    app = server().groups["web"].upstreams["app"]
    assert (app.max_connections, app.tls) == (1000, UpstreamTlsSettings())
    assert UpstreamTlsSettings() == UpstreamTlsSettings(ca=None, server_name=None, verify=True)


def test_what_is_set_is_shipped() -> None:
    tls = {"ca": CA * 2, "server_name": "b.test", "verify": False}
    web = server(max_connections=7, tls=tls).groups["web"]
    assert web.upstreams["app"].max_connections == 7
    assert web.upstreams["app"].tls == UpstreamTlsSettings(ca=CA * 2, server_name="b.test", verify=False)
    snapshot = GroupSnapshot.of(web)
    assert GroupSnapshot.decode(snapshot.encode()) == snapshot


def test_upstreams_of_a_client_have_it_too() -> None:
    upstream = {"targets": ["https://a.test"], "max_connections": 1, "tls": {"ca": CA}}
    table = {"group": "web", "token": "t", "servers": ["memory://edge"], "upstreams": {"app": upstream}}
    assert decode_client_settings(table).upstreams["app"].tls.ca == CA


PEM = "expected certificates in PEM, the text from BEGIN CERTIFICATE to END CERTIFICATE"


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        ({"max_connections": 0}, "max_connections: expected an integer from 1 to 1000000, got 0"),
        ({"tls": {"ca": "ca.pem"}}, f"tls.ca: {PEM}"),
        ({"tls": {"ca": CA.replace("Qg==", "Qg")}}, f"tls.ca: {PEM}: Incorrect padding"),
        (
            {"tls": {"server_name": "a b"}},
            'tls.server_name: expected a host name such as "app.example.test", got "a b"',
        ),
        ({"tls": {"server_name": ""}}, 'tls.server_name: expected a host name such as "app.example.test", got ""'),
        ({"tls": {"verify": 1}}, "tls.verify: expected true or false, got 1"),
        ({"tls": {"cert": "x"}}, 'tls.cert: unknown key; expected one of "ca", "server_name", "verify"'),
    ],
)
def test_mistakes_name_the_key(upstream: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        server(**upstream)
    assert str(raised.value) == f"groups.web.upstreams.app.{message}"


@pytest.mark.parametrize("target", ["asgi:shop:app", "wsgi:shop:app", "app:shop"])
def test_application_in_the_process_has_the_settings_of_http(target: str) -> None:
    settings = {"targets": [target], "max_connections": 3, "connect_timeout_s": 1, "first_byte_timeout_s": 1}
    app = server(**settings, ejection={"statuses": [500]}, balance="round_robin").groups["web"].upstreams["app"]
    assert app.targets == (target,)
    assert not app.tcp


@pytest.mark.parametrize(("key", "value"), [("keepalive_s", 1), ("tls", {"verify": False}), ("host_header", "a.test")])
def test_what_is_of_connections_has_no_meaning_for_applications_in_the_process(key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        server(targets=["asgi:shop:app", "app:shop"], **{key: value})
    expected = "this is of connections, and the targets are applications in the process"
    assert str(raised.value) == f"groups.web.upstreams.app.{key}: {expected}"
    assert server(targets=["asgi:shop:app", "https://a.test"], **{key: value})


def test_applications_in_the_process_take_no_calls_of_grpc() -> None:
    with pytest.raises(ConfigurationError, match="targets of gRPC or of HTTP, not of both"):
        server(targets=["asgi:shop:app", "grpc://127.0.0.1:1"])


@pytest.mark.parametrize(
    ("targets", "protocols"),
    [
        (("http://127.0.0.1:3000",), {"http", "websocket"}),
        (("https://127.0.0.1:3000",), {"http", "websocket"}),
        (("grpc://127.0.0.1:50051",), {"grpc"}),
        (("grpcs://127.0.0.1:50051", "grpc://127.0.0.1:50051"), {"grpc"}),
        (("http://127.0.0.1:3000", "grpc://127.0.0.1:50051"), {"http", "websocket", "grpc"}),
        (("asgi:shop.main:app",), {"http", "websocket"}),
        (("wsgi:shop.main:app", "app:shop"), {"http", "websocket"}),
        (("unix:/run/app.sock",), {"http", "websocket"}),
        (("tcp://127.0.0.1:22",), {"tcp"}),
    ],
)
def test_targets_tell_which_protocols_are_answered(targets: tuple[str, ...], protocols: set[str]) -> None:
    assert UpstreamSettings(targets=targets).protocols == protocols

"""TLS tables, and where plain text has to be asked for."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration import (
    AdminSettings,
    ClientSettings,
    ClientTlsSettings,
    GrpcIngressSettings,
    GrpcTransportSettings,
    HttpIngressSettings,
    IngressSettings,
    ListenerTlsSettings,
    Secret,
    ServerSettings,
    TransportsSettings,
    WebSocketTransportSettings,
)
from tunnel.domain.configuration.client import check_client_succession
from tunnel.domain.configuration.server import check_succession
from tunnel.domain.configuration.tls import check_tls_succession, is_loopback
from tunnel.domain.errors import ConfigurationError

PAIR = ListenerTlsSettings(certificate="server.pem", key="server.key")
ASKING = ListenerTlsSettings(certificate="server.pem", key="server.key", client_ca="clients.pem")


def server(
    grpc: GrpcTransportSettings,
    *,
    calls: ListenerTlsSettings | None = None,
    admin: ListenerTlsSettings | None = None,
    **ingress: object,
) -> ServerSettings:
    http = HttpIngressSettings(listen="0.0.0.0:80", **ingress)  # type: ignore[arg-type]
    return ServerSettings(
        transports=TransportsSettings(grpc=grpc),
        ingress=IngressSettings(http=http, grpc=GrpcIngressSettings(listen="0.0.0.0:81", tls=calls)),
        admin=AdminSettings(listen="127.0.0.1:82", tls=admin),
    )


def client(*servers: str, **fields: object) -> ClientSettings:
    return ClientSettings(group="web", servers=servers, token=Secret("t"), **fields)  # type: ignore[arg-type]


LOOPBACK = ["localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"]
ELSEWHERE = ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "edge.test", "localhost.edge.test", "edge"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_stays_on_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_all_addresses_and_unknown_names_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("listen", ["0.0.0.0:7000", "[::]:7000", "edge.test:7000", "192.0.2.1:0"])
def test_plain_text_transport_for_others_has_to_be_asked_for(listen: str) -> None:
    for name, kind in (("grpc", GrpcTransportSettings), ("websocket", WebSocketTransportSettings)):
        with pytest.raises(ConfigurationError) as caught:
            ServerSettings(transports=TransportsSettings(**{name: kind(listen=listen)}))
        assert caught.value.key_path == f"transports.{name}.insecure"
        assert '"insecure = true"' in str(caught.value)
        ServerSettings(transports=TransportsSettings(**{name: kind(listen=listen, insecure=True)}))
        ServerSettings(transports=TransportsSettings(**{name: kind(listen=listen, tls=PAIR)}))


@pytest.mark.parametrize("listen", ["localhost:7000", "[::1]:7000", "127.0.0.1:0"])
def test_plain_text_transport_on_loopback_needs_nothing(listen: str) -> None:
    ServerSettings(transports=TransportsSettings(grpc=GrpcTransportSettings(listen=listen)))


def test_insecure_with_tls_is_a_contradiction() -> None:
    with pytest.raises(ConfigurationError, match=r"^transports\.grpc\.insecure: expected false"):
        server(GrpcTransportSettings(listen="127.0.0.1:1", tls=PAIR, insecure=True))


def test_ingress_may_be_plain_anywhere() -> None:
    assert server(GrpcTransportSettings(listen="127.0.0.1:1")).ingress.http is not None


@pytest.mark.parametrize("url", ["grpc://edge.test:7000", "ws://10.0.0.1", "grpc://[fd00::1]:1"])
def test_client_says_its_token_in_clear_only_when_told_to(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the token would travel in clear") as caught:
        client("memory://m", url)
    assert caught.value.key_path == "servers[1]"
    client(url, insecure=True)


@pytest.mark.parametrize(
    "url", ["grpcs://edge.test:7000", "wss://edge.test", "grpc://localhost:1", "ws://[::1]:1", "quic://edge.test"]
)
def test_client_needs_no_leave_for_tls_loopback_and_other_schemes(url: str) -> None:
    client(url)


@pytest.mark.parametrize(
    ("tls", "where"),
    [
        (ClientTlsSettings(certificate="c.pem"), "tls.key"),
        (ClientTlsSettings(key="c.key"), "tls.certificate"),
        (ClientTlsSettings(ca=""), "tls.ca"),
        (ClientTlsSettings(server_name="edge.test:443"), "tls.server_name"),
        (ClientTlsSettings(server_name="*.edge.test"), "tls.server_name"),
    ],
)
def test_clients_tls_names_its_mistake(tls: ClientTlsSettings, where: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client("grpcs://edge.test:1", tls=tls)
    assert caught.value.key_path == where


@pytest.mark.parametrize("name", ["edge.test", "192.0.2.1", "fd00::1"])
def test_certificates_may_be_for_names_and_addresses(name: str) -> None:
    client("grpcs://edge.test:1", tls=ClientTlsSettings(server_name=name))


def grpc(listen: str = "127.0.0.1:1", tls: ListenerTlsSettings | None = None) -> GrpcTransportSettings:
    return GrpcTransportSettings(listen=listen, tls=tls)


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        (server(grpc()), server(grpc(tls=PAIR)), "transports.grpc.tls"),
        (server(grpc(tls=PAIR)), server(grpc()), "transports.grpc.tls"),
        (server(grpc(tls=PAIR)), server(grpc(tls=ASKING)), "transports.grpc.tls.client_ca"),
        (server(grpc()), server(grpc(), tls=PAIR), "ingress.http.tls"),
        (server(grpc()), server(grpc(), calls=PAIR), "ingress.grpc.tls"),
        (server(grpc(), calls=ASKING), server(grpc(), calls=PAIR), "ingress.grpc.tls.client_ca"),
        (server(grpc(), admin=PAIR), server(grpc()), "admin.tls"),
    ],
)
def test_tls_neither_comes_nor_goes_while_a_listener_stays(
    before: ServerSettings, after: ServerSettings, where: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_succession(before, after)
    assert caught.value.key_path == where


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (server(grpc()), server(grpc("127.0.0.1:2", PAIR))),
        (server(grpc(tls=PAIR)), server(grpc(tls=ListenerTlsSettings(certificate="b.pem", key="b.key")))),
        (server(grpc(), tls=PAIR), server(grpc(), tls=ASKING)),
        (server(grpc(), admin=PAIR), server(grpc(), admin=ASKING)),
    ],
)
def test_other_files_and_other_addresses_may_be_followed(before: ServerSettings, after: ServerSettings) -> None:
    check_succession(before, after)


def test_clients_admin_port_keeps_or_lacks_tls_while_it_stays() -> None:
    plain, secret, elsewhere = (
        client("memory://a", admin=AdminSettings(listen=f"127.0.0.1:{port}", tls=tls))
        for port, tls in ((82, None), (82, PAIR), (83, PAIR))
    )
    for before, after in ((plain, secret), (secret, plain)):
        with pytest.raises(ConfigurationError) as caught:
            check_client_succession(before, after)
        assert caught.value.key_path == "admin.tls"
    check_client_succession(plain, elsewhere)
    check_client_succession(plain, client("memory://a"))


def test_listener_of_any_kind_may_begin_to_ask_for_certificates_unless_it_decides_for_good() -> None:
    check_tls_succession(PAIR, ASKING, "tls")
    with pytest.raises(ConfigurationError, match=r"^tls\.client_ca: expected it to come or go with another address"):
        check_tls_succession(PAIR, ASKING, "tls", asks_for_good=True)

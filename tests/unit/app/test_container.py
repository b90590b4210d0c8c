"""Every branch of the containers, and what replaces them."""

from __future__ import annotations

import importlib
import importlib.metadata
import random
import subprocess
import sys
from types import ModuleType

import pytest
from dependency_injector import containers, providers

import tunnel.app
from tunnel.adapters.clock import MonotonicClock
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.app import container as container_module
from tunnel.app.client import Client
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.app.server import Server
from tunnel.domain.configuration import (
    AuthSettings,
    ClientSettings,
    GrpcIngressSettings,
    GrpcTransportSettings,
    HttpIngressSettings,
    IngressSettings,
    LimitsSettings,
    MemoryTransportSettings,
    Secret,
    ServerSettings,
    TargetPolicy,
    TcpIngressSettings,
    TransportsSettings,
    UpstreamSettings,
    WebSocketTransportSettings,
)
from tunnel.domain.configuration.target_url import IN_PROCESS_SCHEMES
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.mux.budget import Budget

LISTENERS = {
    "grpc": GrpcTransportSettings(listen="127.0.0.1:0"),
    "websocket": WebSocketTransportSettings(listen="127.0.0.1:0"),
    "memory": MemoryTransportSettings(name="edge"),
}
HTTP = HttpIngressSettings(listen="127.0.0.1:0")
INGRESSES = {
    "http": ((HTTP, LimitsSettings()), "http"),
    "grpc": ((GrpcIngressSettings(listen="127.0.0.1:0"),), "grpc"),
    "tcp": ((TcpIngressSettings(listen="127.0.0.1:0", group="web", upstream="ssh"),), "tcp-ssh"),
}
TARGETS = {
    "http": "http://127.0.0.1:1",
    "https": "https://127.0.0.1:1",
    "tcp": "tcp://127.0.0.1:1",
    "unix": "unix:/run/app.sock",
    "grpc": "grpc://127.0.0.1:1",
    "grpcs": "grpcs://127.0.0.1:1",
}

MEMORY_SERVER = ServerSettings(transports=TransportsSettings(memory=MemoryTransportSettings(name="edge")))


def client_settings(*servers: str) -> ClientSettings:
    return ClientSettings(group="web", servers=servers or ("memory://edge",), token=Secret("t"))


def members(kind: type, port: str) -> bool:
    """Whether ``kind`` inherits the port of this name."""
    return port in [each.__name__ for each in kind.__mro__]


# -- branches


@pytest.mark.parametrize("name", ServerContainer.listeners.providers)
def test_every_listener_can_be_built(name: str) -> None:
    assert members(type(ServerContainer().listeners(name, LISTENERS[name])), "Listener")


def test_every_transport_table_has_a_listener() -> None:
    assert set(TransportsSettings.__struct_fields__) == set(ServerContainer.listeners.providers)


@pytest.mark.parametrize("name", ServerContainer.ingresses.providers)
def test_every_ingress_can_be_built(name: str) -> None:
    arguments, called = INGRESSES[name]
    ingress = ServerContainer().ingresses(name, *arguments)
    assert (members(type(ingress), "Ingress"), ingress.name) == (True, called)


def test_every_ingress_table_has_an_ingress() -> None:
    assert set(IngressSettings.__struct_fields__) == set(ServerContainer.ingresses.providers)


@pytest.mark.parametrize("scheme", ClientContainer.transports.providers)
def test_every_transport_can_be_built(scheme: str) -> None:
    assert members(type(ClientContainer().transports(scheme)), "Transport")


@pytest.mark.parametrize("scheme", sorted(ClientContainer.targets.providers.keys() - IN_PROCESS_SCHEMES))
def test_every_target_can_be_built(scheme: str) -> None:
    url = TARGETS[scheme]
    target = ClientContainer().targets(scheme, url, UpstreamSettings(targets=(url,)), TargetPolicy(("127.0.0.0/8",)))
    assert members(type(target), "ProxyTarget")
    assert callable(target.aclose)


def test_every_scheme_of_targets_in_the_process_has_a_target() -> None:
    assert ClientContainer.targets.providers.keys() >= IN_PROCESS_SCHEMES
    assert ClientContainer().applications({}) is not ClientContainer().applications({})


@pytest.mark.parametrize("kind", [ServerContainer, ClientContainer])
def test_single_parts_can_be_built_and_are_shared_within_a_container_only(
    kind: type[ServerContainer] | type[ClientContainer],
) -> None:
    one, other = kind(), kind()
    assert isinstance(one.clock(), MonotonicClock)
    assert isinstance(one.random(), random.Random)
    assert isinstance(one.budget(), Budget)
    assert members(type(one.telemetry()), "Telemetry")
    assert one.budget() is one.budget()
    assert one.budget() is not other.budget()


def test_authenticator_and_mountable_ingress_can_be_built() -> None:
    container = ServerContainer()
    assert members(type(container.authenticator(AuthSettings())), "Authenticator")
    assert callable(container.asgi_ingress(None, None, LimitsSettings()))
    assert callable(container.asgi_ingress(None, HttpIngressSettings(listen="127.0.0.1:0"), LimitsSettings()))


def test_clients_know_their_own_hops_from_those_of_others() -> None:
    one, other = ClientContainer(), ClientContainer()
    assert one.hop_token() == one.hop_token() != other.hop_token()
    assert one.is_local()("127.0.0.1")


def test_servers_and_clients_of_a_process_meet_on_one_network() -> None:
    assert ServerContainer().network() is ClientContainer().network()


# -- replacing parts


def test_an_overridden_network_reaches_listeners_and_transports() -> None:
    network = MemoryNetwork()
    server, client = ServerContainer(), ClientContainer()
    server.network.override(providers.Object(network))
    client.network.override(providers.Object(network))
    server.listeners("memory", LISTENERS["memory"]).bind()
    with pytest.raises(Exception, match="the name is taken"):
        network.take("edge")
    assert client.transports("memory")._network is network  # type: ignore[attr-defined]
    assert ServerContainer().network() is not network


def test_server_and_client_use_the_parts_they_are_given() -> None:
    made: list[str] = []

    def note(name: str, part: object) -> providers.Provider[object]:
        def make(*_: object, **__: object) -> object:
            made.append(name)
            return part

        return providers.Callable(make)

    server, client = ServerContainer(), ClientContainer()
    application = object()
    for name, part in (("clock", MonotonicClock()), ("random", random.Random(1)), ("budget", Budget(1))):
        getattr(server, name).override(note(f"server {name}", part))
        getattr(client, name).override(note(f"client {name}", part))
    for name in ("telemetry", "authenticator"):
        getattr(server, name).override(note(f"server {name}", object()))
    client.telemetry.override(note("client telemetry", object()))
    server.asgi_ingress.override(note("server asgi_ingress", application))
    client.transports.providers["memory"].override(note("client memory", object()))
    assert application is Server(MEMORY_SERVER, container=server).ingress.application
    assert client is Client(client_settings(), container=client).container
    assert {
        *(f"{side} {name}" for side in ("server", "client") for name in ("clock", "random", "budget", "telemetry")),
        "server authenticator",
        "server asgi_ingress",
        "client memory",
    } == set(made)


def test_without_a_container_each_makes_its_own() -> None:
    assert isinstance(Server(MEMORY_SERVER).container, containers.DynamicContainer)
    assert Client(client_settings()).container is not Client(client_settings()).container


def test_only_the_transports_of_configured_servers_are_made() -> None:
    container = ClientContainer()
    container.transports.providers["grpc"].override(providers.Callable(lambda: pytest.fail("made")))
    Client(client_settings("memory://a", "memory://b", "ws://127.0.0.1:1"), container=container)


def test_scheme_that_no_transport_serves_is_a_configuration_error() -> None:
    container = ClientContainer()
    container.transports.set_providers(memory=container.transports.providers["memory"])
    with pytest.raises(ConfigurationError, match='no transport is known for "ws://", only for memory') as caught:
        Client(client_settings("memory://a", "ws://127.0.0.1:1"), container=container)
    assert caught.value.key_path == "servers"


def test_client_without_its_token_is_a_configuration_error() -> None:
    settings = ClientSettings(group="web", servers=("memory://edge",), token_env="SOMEWHERE")
    with pytest.raises(ConfigurationError) as caught:
        Client(settings)
    assert caught.value.key_path == "token"


# -- entry points


class InstalledTransport:
    """Stands for another package's transport."""


@pytest.fixture
def reloaded(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The container's package as a process imports it in which another package is installed."""
    point = importlib.metadata.EntryPoint("quic", f"{__name__}:InstalledTransport", "tunnel.transports")
    clash = importlib.metadata.EntryPoint("grpc", f"{__name__}:InstalledTransport", "tunnel.transports")

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [point, clash] if group == "tunnel.transports" else []

    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    package = container_module.__name__
    for name in [each for each in sys.modules if each == package or each.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(tunnel.app, "container", container_module)
    return importlib.import_module(package)


def test_transports_of_other_packages_are_found_by_their_scheme(reloaded: ModuleType) -> None:
    transports = reloaded.ClientContainer().transports
    assert {"quic", "grpc", "grpcs", "ws", "wss", "memory"} == set(transports.providers)
    assert isinstance(transports("quic"), InstalledTransport)


def test_other_packages_do_not_replace_what_is_built_in(reloaded: ModuleType) -> None:
    assert type(reloaded.ClientContainer().transports("grpc")).__name__ == "GrpcTransport"


# -- what is imported


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import tunnel", ("grpc", "websockets", "uvicorn", "httptools", "google.protobuf", "dependency_injector")),
        (
            "from tunnel.app.server import Server\n"
            "from tunnel.domain.configuration import decode_server_settings\n"
            "server = Server(decode_server_settings({'transports': {'websocket': {'listen': '127.0.0.1:0'}}}))\n"
            "assert list(server._maker.made(server.settings)) == ['transport.websocket']",
            ("grpc", "google.protobuf"),
        ),
        (
            "from tunnel.app.client import Client\n"
            "from tunnel.domain.configuration import decode_client_settings\n"
            "Client(decode_client_settings({'group': 'g', 'token': 't', 'servers': ['ws://127.0.0.1:1']}))",
            ("grpc", "google.protobuf", "uvicorn"),
        ),
    ],
    ids=["package", "server", "client"],
)
def test_nothing_is_imported_that_is_not_configured(code: str, absent: tuple[str, ...]) -> None:
    check = f"import sys\nprint([name for name in {absent!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, timeout=30)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_mounted_ingress_follows_the_table_of_the_listener() -> None:
    settings = HttpIngressSettings(listen="127.0.0.1:0", max_body_bytes=10, forwarded="rfc7239")
    ingress = ServerContainer().asgi_ingress(None, settings, LimitsSettings(max_headers=7))
    options = ingress._settings
    assert (options.max_body_bytes, options.max_headers) == (10, 7)
    headers = options.forwarder.forward((), peer="192.0.2.1", scheme="http", host=b"a.test")
    assert headers[0].lower() == b"forwarded"

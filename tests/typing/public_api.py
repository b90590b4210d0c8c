"""The public API as its users' type checkers see it. Checked, never run.

An error that is expected is ignored by its name: should it not come any more, that is an error too.
"""

from __future__ import annotations

from typing import Any, assert_type

import tunnel
from tunnel import blocking
from tunnel.domain.registry import RegistrySnapshot


def settings() -> None:
    assert_type(tunnel.load_server_settings("server.toml"), tunnel.ServerSettings)
    assert_type(tunnel.load_client_settings("client.toml"), tunnel.ClientSettings)
    tunnel.ClientSettings("web", ("ws://127.0.0.1:7001",))  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    tunnel.ClientSettings(group="web")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    read = tunnel.load_client_settings("client.toml")
    read.group = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    tunnel.load_server_settings(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def server(given: tunnel.ServerSettings, other: tunnel.ClientSettings) -> None:
    async with tunnel.Server(given) as entered:
        assert_type(entered, tunnel.Server)
        assert_type(entered.addresses, dict[str, str])
        assert_type(entered.clients(), RegistrySnapshot)
        assert_type(await entered.reload(given), int)
        assert_type(entered.settings, tunnel.ServerSettings)
        assert_type(await entered.ingress({}, _receive, _send), None)
        await entered.aclose(drain_s=1.5)
        await entered.aclose(1.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await entered.reload(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with tunnel.Server(given):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


async def client(given: tunnel.ClientSettings, other: tunnel.ServerSettings) -> None:
    async with tunnel.Client(given) as entered:
        assert_type(entered, tunnel.Client)
        assert_type(entered.client_id, str)
        assert_type(await entered.ready(), None)
        assert_type(await entered.reload(given), int)
    tunnel.Client(other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def twins(server_settings: tunnel.ServerSettings, client_settings: tunnel.ClientSettings) -> None:
    with blocking.Server(server_settings) as served, blocking.Client(client_settings) as dialled:
        assert_type(served, blocking.Server)
        assert_type(served, tunnel.blocking.Server)
        assert_type(served.addresses, dict[str, str])
        assert_type(served.reload(server_settings), int)
        assert_type(dialled, blocking.Client)
        assert_type(dialled.ready(timeout_s=10), None)
        assert_type(dialled.client_id, str)
        assert_type(served.inner, tunnel.Server)
        assert_type(served.call(_version), int)
        dialled.ready(10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with blocking.expose(object(), to="grpc://edge:7000", token="t", limits={"drain_s": 3}) as exposed:
        assert_type(exposed, blocking.Exposed)
        assert_type(exposed.url, str)
        assert_type(exposed.inner, tunnel.Exposed)
        assert_type(exposed.wait_closed(timeout_s=10), None)
        assert_type(exposed.close(drain_s=0), None)
    blocking.expose(object())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    blocking.Server(server_settings, applications={"shop": object()})


def errors(error: tunnel.TunnelError, session: tunnel.SessionError) -> None:
    assert_type(session.code, tunnel.ErrorCode)
    assert_type(session.message, str)
    if isinstance(error, tunnel.LinkError):
        assert_type(error.reason, str)
    if isinstance(error, tunnel.ConfigurationError):
        assert_type(error.key_path, str)


async def _version(server: tunnel.Server) -> int:
    return server.version


async def _receive() -> dict[str, Any]:
    return {}


async def _send(message: Any) -> None: ...

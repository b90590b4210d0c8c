"""Exposes one application on a host that the server grants: a client that claims, with one upstream."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import anyio

from tunnel.app.application_object import import_object
from tunnel.app.client import Client
from tunnel.app.container import ClientContainer
from tunnel.domain.configuration import ClientSettings, decode_client_settings
from tunnel.domain.configuration.exposed_target import is_target, target_url
from tunnel.domain.errors import ConfigurationError, LinkEnd, LinkError

__all__ = ["TOKEN_VARIABLE", "Exposed", "established", "expose", "exposing_client", "in_arguments", "patience_s"]

TOKEN_VARIABLE: Final = "TUNNEL_TOKEN"  # noqa: S105
"""Environment variable that holds the token where none is given."""

_UPSTREAM: Final = "exposed"
_APPLICATION: Final = "exposed"
_KEYS: Final = {
    "servers": "to",
    "claim.host": "host",
    "claim.path_prefix": "path_prefix",
    "claim.upstream": "app",
    f"upstreams.{_UPSTREAM}.targets[0]": "app",
    f"upstreams.{_UPSTREAM}.host_header": "host_header",
}
"""Which argument becomes which key of a client's configuration."""


class Exposed:
    """An application that visitors of a server reach; made by ``expose``.

    Args:
        client: Running, and granted its claim.
    """

    def __init__(self, client: Client) -> None:
        self.client: Final = client
        """Keeps the tunnel up."""

    @property
    def url(self) -> str:
        """Where visitors find it, ``http://demo.example.test:8080``, with the path prefix.

        The same over reconnections and restarts of the server. Empty where the server cannot tell, because its ingress
        is mounted in another application.
        """
        grant = self.client.claim
        return "" if grant is None or grant.url is None else grant.url

    @property
    def host(self) -> str:
        """The host that was granted."""
        grant = self.client.claim
        return "" if grant is None else grant.host

    @property
    def path_prefix(self) -> str:
        """What of the host's paths was granted; ``/``: all."""
        grant = self.client.claim
        return "/" if grant is None else grant.path_prefix

    async def wait_closed(self) -> None:
        """Return once ``client.aclose`` has run.

        Raises:
            RegistrationRefused: The server took the claim back, or will not renew it.
        """
        await self.client.wait_closed()


@asynccontextmanager
async def expose(
    app: object,
    *,
    to: str | Sequence[str],
    token: str | None = None,
    host: str | None = None,
    path_prefix: str = "/",
    host_header: str | None = None,
    client_id: str | None = None,
    tls: Mapping[str, object] | None = None,
    insecure: bool = False,
    limits: Mapping[str, object] | None = None,
    timeout_s: float | None = None,
    container: ClientContainer | None = None,
) -> AsyncGenerator[Exposed]:
    """Let visitors of a server reach an application of this process or of its surroundings.

    ::

        async with tunnel.expose(app, to="grpc://edge:7000", token=..., host="demo.example.test") as exposed:
            print(exposed.url)
            await exposed.wait_closed()

    Entering returns when visitors reach the application. From then on a lost tunnel is replaced, with growing pauses,
    and what was granted stays the same. Leaving drains: conversations under way have ``limits.drain_s`` seconds to
    finish; leaving by an exception, cancellation included, closes them at once.

    Args:
        app: An application of ASGI or of WSGI, told apart by how it wants to be called; or where it is: a port of
            this machine, ``"http://127.0.0.1:3000"``, ``"unix:/run/app.sock"``, ``"grpc://127.0.0.1:50051"``,
            ``"asgi:module:attribute"``, ``"wsgi:module:attribute"``, or ``"module:attribute"`` of either kind.
        to: URL of the server, or several in order of preference.
        token: The credential; None: the environment variable ``TUNNEL_TOKEN`` holds it.
        host: To claim; None: the server chooses one that the credential allows, and it is kept.
        path_prefix: Whole segments of the paths to claim. Requests keep it.
        host_header: Host that the application sees: None the visitor's, ``"target"`` its own, else this.
        client_id: As in a client's configuration.
        tls: As the table of that name in a client's configuration: ``{"ca": "ca.pem"}``.
        insecure: Permits plain text to servers that are not on this machine. The token then travels in clear.
        limits: As the table of that name in a client's configuration: ``{"drain_s": 3}``.
        timeout_s: For the first connection; None: as long as it takes to try every server once.
        container: Parts to use instead of the usual ones.

    Yields:
        What was granted.

    Raises:
        ConfigurationError: An argument is wrong, there is no token, or the application does not start.
        RegistrationRefused: The server will not have this claim.
        LinkError: ``UNREACHABLE``: no server took it within ``timeout_s``.

    Source: docs/howto/expose-an-application.md.
    """
    client = exposing_client(
        app,
        to=to,
        token=token,
        host=host,
        path_prefix=path_prefix,
        host_header=host_header,
        client_id=client_id,
        tls=tls,
        insecure=insecure,
        limits=limits,
        container=container,
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(client)
        except ConfigurationError as error:
            raise in_arguments(error) from error
        await established(client, timeout_s=timeout_s)
        yield Exposed(client)
        await client.aclose()


def exposing_client(
    app: object,
    *,
    to: str | Sequence[str],
    token: str | None = None,
    host: str | None = None,
    path_prefix: str = "/",
    host_header: str | None = None,
    client_id: str | None = None,
    tls: Mapping[str, object] | None = None,
    insecure: bool = False,
    limits: Mapping[str, object] | None = None,
    container: ClientContainer | None = None,
) -> Client:
    """A client that will claim a host for ``app`` and serve it, yet to be entered. Arguments are those of ``expose``.

    Raises:
        ConfigurationError: An argument is wrong, or there is no token.
    """
    target, applications = _target(app)
    upstream: dict[str, object] = {"targets": [target]}
    if host_header is not None:
        upstream["host_header"] = host_header
    claim: dict[str, object] = {"path_prefix": path_prefix, "upstream": _UPSTREAM}
    if host is not None:
        claim["host"] = host
    table: dict[str, object] = {
        "servers": [to] if isinstance(to, str) else [*to],
        "token": _token(token),
        "claim": claim,
        "upstreams": {_UPSTREAM: upstream},
        "insecure": insecure,
    }
    optional = {"client_id": client_id, "tls": tls, "limits": limits}
    table |= {key: value for key, value in optional.items() if value is not None}
    return Client(_settings(table), container=container, applications=applications)


async def established(client: Client, *, timeout_s: float | None = None) -> None:
    """Return once visitors reach what a client serves.

    Args:
        client: Running.
        timeout_s: How long to wait; None: ``patience_s``.

    Raises:
        RegistrationRefused: The server will not have this client.
        LinkError: ``UNREACHABLE``: no server took it in time; ``CLOSED``: it was closed meanwhile.
    """
    limit_s = patience_s(client.settings) if timeout_s is None else timeout_s
    with anyio.move_on_after(limit_s):
        await client.ready()
        return
    why = f": {client.failure}" if client.failure else ""
    raise LinkError(LinkEnd.UNREACHABLE, f"no server took this client within {limit_s:g} s{why}")


def patience_s(settings: ClientSettings) -> float:
    """Seconds within which every server of ``settings`` has had its chance."""
    limits = settings.limits
    return limits.connect_s * len(settings.servers) + limits.handshake_s


def in_arguments(error: ConfigurationError) -> ConfigurationError:
    """An error of a client that ``exposing_client`` made, naming the arguments that are wrong."""
    return ConfigurationError.of([_in_argument(each) for each in error.mistakes])


def _in_argument(mistake: ConfigurationError) -> ConfigurationError:
    for key, argument in _KEYS.items():
        if mistake.key_path.startswith(key):
            return ConfigurationError(mistake.expected, key_path=argument + mistake.key_path.removeprefix(key))
    return mistake


def _target(app: object) -> tuple[str, dict[str, object]]:
    """The target that ``app`` is, and what has to be registered for it to be found."""
    if isinstance(app, bool) or app is None:
        raise ConfigurationError("expected an application, a port or a URL", key_path="app")
    if isinstance(app, str | int):
        target = target_url(str(app), "app")
        if is_target(target):
            return target, {}
        app = import_object(target, "app")
    return f"app:{_APPLICATION}", {_APPLICATION: app}


def _token(token: str | None) -> str:
    found = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
    if not found:
        expected = f"expected the token itself, or one in the environment variable {TOKEN_VARIABLE}"
        raise ConfigurationError(expected, key_path="token")
    return found


def _settings(table: Mapping[str, Any]) -> ClientSettings:
    try:
        return decode_client_settings(table)
    except ConfigurationError as error:
        raise in_arguments(error) from error

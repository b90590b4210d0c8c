"""Loads settings from files, and from what those files point to."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path
from typing import Final, Literal

import msgspec

from tunnel.adapters.config_file import FileConfigSource, read_table
from tunnel.adapters.tls.client import OpensslClientTls
from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.app.listener_tls import check_listener_files, read_listener_tls
from tunnel.app.tls_files import beside, tls_files
from tunnel.domain.configuration import (
    BUILT_IN_SCHEMES,
    ClientSettings,
    ClientTlsSettings,
    Secret,
    ServerSettings,
    check_scheme,
    decode_client_settings,
    decode_server_settings,
)
from tunnel.domain.configuration.key_places import CLIENT_KEYS, SERVER_KEYS
from tunnel.domain.configuration.literal_values import misread_rules, misread_tokens
from tunnel.domain.configuration.mistakes import key_path
from tunnel.domain.configuration.target_protocols import dead_ends
from tunnel.domain.configuration.upstream_tls import accepts_any_certificate
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.ports.config_source import ConfigSource

__all__ = [
    "Kind",
    "client_source",
    "default_client_id",
    "doubts",
    "load_client_settings",
    "load_server_settings",
    "read_client_settings",
    "read_server_settings",
    "server_source",
    "settings_kind",
    "token_from_environment",
    "token_from_file",
]

Kind = Literal["server", "client"]

_MAX_TOKEN_BYTES: Final = 64 * 1024
"""Larger files hold something else than a token."""

_NO_TLS: Final = ClientTlsSettings()

_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9._-]+")


def load_server_settings(path: str | PathLike[str]) -> ServerSettings:
    """Read a server's settings.

    The files that ``tls`` tables name are checked; relative ones are looked up beside the configuration file.

    Args:
        path: A file that ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``.

    Raises:
        ConfigurationError: With every mistake that does not follow from another, by file and key path.
    """
    return server_source(path).load()


def load_client_settings(path: str | PathLike[str]) -> ClientSettings:
    """Read a client's settings, its token included, ready to be used.

    ``token_env`` and ``token_file`` are read and replaced by ``token``; a relative ``token_file`` is looked up beside
    the configuration file. So are the files of ``tls`` tables, which are checked.

    Args:
        path: A file that ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``.

    Raises:
        ConfigurationError: With every mistake that does not follow from another, by file and key path; never with the
            token.
    """
    return client_source(path).load()


def read_client_settings(path: str | PathLike[str]) -> ClientSettings:
    """Read a client's settings as they are written: without looking for the token.

    Raises:
        ConfigurationError: With every mistake that does not follow from another, by file and key path.
    """
    directory = Path(path).parent
    return FileConfigSource(path, lambda table: _client_settings(table, directory)).load()


def read_server_settings(path: str | PathLike[str]) -> ServerSettings:
    """Read a server's settings as they are written: without looking at the files that ``tls`` tables name.

    Raises:
        ConfigurationError: With every mistake that does not follow from another, by file and key path.
    """
    kinds = partial(_check_kinds, unknown=False)
    return FileConfigSource(path, lambda table: decode_server_settings(table, (kinds,))).load()


def server_source(path: str | PathLike[str], *, own_kinds: bool = True) -> ConfigSource[ServerSettings]:
    """A server's settings in a file, to be loaded as ``load_server_settings`` does, and followed.

    The files that ``tls`` tables name are followed as well.

    Args:
        path: The file.
        own_kinds: Whether kinds of middleware that are not known here are let pass: a container may bring them.
    """
    directory = Path(path).parent
    kinds = partial(_check_kinds, unknown=not own_kinds)

    def decode(table: Mapping[str, object]) -> ServerSettings:
        return decode_server_settings(beside(table, directory), (kinds, _check_listener_files))

    return FileConfigSource(path, decode, files=lambda table: tls_files(table, directory))


def client_source(path: str | PathLike[str]) -> ConfigSource[ClientSettings]:
    """A client's settings in a file, to be loaded as ``load_client_settings`` does, and followed.

    The files that ``token_file`` and ``tls`` tables name are followed as well.
    """
    directory = Path(path).parent

    def decode(table: Mapping[str, object]) -> ClientSettings:
        tokens: list[Secret] = []

        def find_token(settings: ClientSettings, found: Findings) -> None:
            tokens.append(_token(settings, directory))

        settings = _client_settings(table, directory, find_token)
        return msgspec.structs.replace(settings, token=tokens[0], token_env=None, token_file=None)

    def files(table: Mapping[str, object]) -> list[str]:
        token_file = table.get("token_file")
        tokens = [os.fspath(directory / token_file)] if isinstance(token_file, str) else []
        return [*tokens, *tls_files(table, directory)]

    return FileConfigSource(path, decode, files=files)


def _check_kinds(settings: ServerSettings, found: Findings, *, unknown: bool) -> None:
    if settings.middleware:
        # Loaded when needed: commands that only read files are to start fast.
        from tunnel.app.container import ServerContainer
        from tunnel.app.middlewares import check_kinds

        check_kinds(settings, ServerContainer.middleware, found=found, unknown=unknown)


def _check_listener_files(settings: ServerSettings | ClientSettings, found: Findings) -> None:
    check_listener_files(settings, OpensslListenerTls, found)


def _check_client_files(settings: ClientSettings, found: Findings) -> None:
    if settings.tls != _NO_TLS and found.clean("tls"):
        OpensslClientTls(settings.tls)


def _check_schemes(settings: ClientSettings, found: Findings) -> None:
    for index, url in enumerate(settings.servers):
        with found:
            path = f"servers[{index}]"
            if found.clean(path):
                check_scheme(url, path, _plug_in_schemes(url))


def _client_settings(
    table: Mapping[str, object], directory: Path, *judges: Callable[[ClientSettings, Findings], None]
) -> ClientSettings:
    judges = (_check_client_files, _check_listener_files, _check_schemes, *judges)
    return decode_client_settings(beside(table, directory), judges)


def _plug_in_schemes(url: str) -> frozenset[str]:
    """Schemes of the transports that installed packages add; looked up for what is not built in."""
    if url.partition("://")[0] in BUILT_IN_SCHEMES:
        return frozenset()
    return frozenset(each.name for each in entry_points(group="tunnel.transports"))


def doubts(settings: ServerSettings | ClientSettings) -> list[tuple[str, str]]:
    """What is permitted and yet rarely meant, of TLS, rules and tokens: key paths, and what about them.

    Raises:
        ConfigurationError: A file that TLS needs is missing or wrong.
    """
    found = read_listener_tls(settings, OpensslListenerTls)
    late = {f"{path}.tls.certificate": tls.out_of_date for path, tls in found.items()}
    if isinstance(settings, ServerSettings):
        upstreams = {
            key_path("groups", group, "upstreams", name): upstream
            for group, table in settings.groups.items()
            for name, upstream in table.upstreams.items()
        }
        for name, upstream in settings.forward.upstreams.items():
            upstreams[key_path("forward", "upstreams", name)] = upstream
    else:
        late["tls.certificate"] = OpensslClientTls(settings.tls).out_of_date
        upstreams = {key_path("upstreams", name): upstream for name, upstream in settings.upstreams.items()}
    return [
        *((path, f"the certificate {why}") for path, why in late.items() if why),
        *(
            (f"{path}.tls.verify", "any certificate is accepted")
            for path, upstream in upstreams.items()
            if accepts_any_certificate(upstream.targets, upstream.tls)
        ),
        *(
            (*dead_ends(settings), *misread_rules(settings))
            if isinstance(settings, ServerSettings)
            else misread_tokens(settings)
        ),
    ]


def settings_kind(path: str | PathLike[str]) -> Kind:
    """Whose settings a file holds: with ``servers`` at the top it is a client's, else a server's.

    Where ``servers`` is missing, or misspelt, what only a client has is a client's none the less, unless there is
    something that only a server has.

    Raises:
        ConfigurationError: The file cannot be read or is malformed.
    """
    table: Mapping[str, object] = read_table(path)
    if "servers" in table or (CLIENT_KEYS & table.keys() and not SERVER_KEYS & table.keys()):
        return "client"
    return "server"


def default_client_id() -> str:
    """Host name and four random hexadecimal digits, so that clients on one host do not supersede each other."""
    host = _UNUSUAL.sub("-", socket.gethostname().partition(".")[0]).strip("-") or "client"
    return f"{host[:64]}-{secrets.token_hex(2)}"


def _token(settings: ClientSettings, directory: Path) -> Secret:
    if settings.token is not None:
        return settings.token
    if settings.token_env is not None:
        return token_from_environment(settings.token_env)
    if settings.token_file is not None:
        return token_from_file(directory / settings.token_file)
    # One is given, or that there is none has been found.
    return Secret("")


def token_from_environment(variable: str) -> Secret:
    """The token that an environment variable holds.

    Raises:
        ConfigurationError: It is not set, or empty, or not UTF-8; never with what it holds.
    """
    token = os.environ.get(variable)
    if not token:
        state = "is not set" if token is None else "is empty"
        raise ConfigurationError(f'the environment variable "{variable}" {state}', key_path="token_env")
    try:
        token.encode()
    except UnicodeEncodeError:
        # The cause would repeat the token.
        raise ConfigurationError(f'expected "{variable}" to hold UTF-8 text', key_path="token_env") from None
    return Secret(token)


def token_from_file(path: Path) -> Secret:
    """The token that a file holds, without line ends behind it.

    Raises:
        ConfigurationError: It cannot be read, or holds something else; never with what it holds.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_TOKEN_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not the name of a file"
        raise ConfigurationError(f"{path} cannot be read: {reason}", key_path="token_file") from error
    if len(content) > _MAX_TOKEN_BYTES:
        raise ConfigurationError(f"expected {path} to hold a token only", key_path="token_file")
    try:
        token = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        # The cause would repeat the contents.
        raise ConfigurationError(f"expected {path} to be UTF-8 text", key_path="token_file") from None
    if not token:
        raise ConfigurationError(f"expected {path} to hold a token; it is empty", key_path="token_file")
    return Secret(token)

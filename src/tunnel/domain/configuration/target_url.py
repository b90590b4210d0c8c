"""What an upstream's target may be written as."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tunnel.domain.configuration.addresses import authority, split_url
from tunnel.domain.configuration.mistakes import mistake

__all__ = ["IN_PROCESS_SCHEMES", "TargetUrl", "is_in_process", "is_tcp", "parse_target", "protocols_of"]

_TARGET: Final = 'a URL such as "http://127.0.0.1:3000"'
_LOWER_CASE: Final = 'a scheme in lower case, such as "http:"'
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_REQUIRED: Final = ("grpc", "grpcs")
_TCP: Final = "tcp"
_IMPORTED: Final = ("asgi", "wsgi")
_REGISTERED: Final = "app"
IN_PROCESS_SCHEMES: Final = frozenset({*_IMPORTED, _REGISTERED})
"""Of targets that are applications in the process that names them, reached by calling them."""
_KNOWN_SCHEMES: Final = frozenset({*_DEFAULT_PORTS, *_PORT_REQUIRED, _TCP, "unix", *IN_PROCESS_SCHEMES})
_SPOKEN_TO_HTTP: Final = {"ws": "http", "wss": "https"}
"""Schemes that WebSockets have for visitors, and those of the targets that answer them."""
_REQUESTS: Final = frozenset({"http", "websocket"})
_CALLS: Final = frozenset({"grpc"})
_PROTOCOLS: Final = {
    **dict.fromkeys((*_DEFAULT_PORTS, "unix", *IN_PROCESS_SCHEMES), _REQUESTS),
    **dict.fromkeys(_PORT_REQUIRED, _CALLS),
    _TCP: frozenset({_TCP}),
}
"""Applications of WSGI are among those that answer WebSockets: with a refusal."""
_PREFIX: Final = "unix:"
_DOTTED: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_APPLICATION: Final = re.compile(rf"{_DOTTED}:{_DOTTED}(?:\(\))?")
_NAME: Final = re.compile(r"[^\W\d][\w.-]{0,127}")
"""Does not begin with a digit, so that ``app:3000`` is seen to be a host and a port."""


class TargetUrl(NamedTuple):
    """One target of an upstream, taken apart.

    Args:
        scheme: ``http``, ``https``, ``grpc``, ``grpcs``, ``tcp``, ``unix``, ``asgi``, ``wsgi`` or ``app``.
        host: Name or address, IPv6 without brackets; empty for ``unix`` and applications in the process.
        port: Given or the scheme's own; 0 where there is no host.
        socket_path: Only for ``unix``: absolute path of the socket.
        application: Only for applications: ``MODULE:ATTRIBUTE`` or ``MODULE:FACTORY()``; of ``app`` the name.
    """

    scheme: str
    host: str = ""
    port: int = 0
    socket_path: str = ""
    application: str = ""

    @property
    def authority(self) -> str:
        """What the target itself is called in a Host header: no port when it is the scheme's own."""
        if not self.host:
            return "localhost"
        if self.port == _DEFAULT_PORTS.get(self.scheme):
            return f"[{self.host}]" if ":" in self.host else self.host
        return authority(self.host, self.port)


def parse_target(target: str, path: str = "") -> TargetUrl:
    """Take a target apart.

    It is one of ``http(s)://HOST[:PORT]``, ``grpc(s)://HOST:PORT``, ``tcp://HOST:PORT``, ``unix:/PATH``,
    ``asgi:MODULE:ATTRIBUTE``, ``wsgi:MODULE:ATTRIBUTE`` and ``app:NAME``. Nothing is imported.

    The scheme is in lower case: policies and factories go by how a target begins, and must not be misled.

    Args:
        target: As configured.
        path: Key path for the error.

    Raises:
        ConfigurationError: This is no target, or has a path, a query or credentials.
    """
    given = target.partition(":")[0]
    scheme = given.lower()
    if scheme in _SPOKEN_TO_HTTP and target[len(scheme) :].startswith("://"):
        raise mistake(path, f'"{_SPOKEN_TO_HTTP[scheme]}://", whose targets answer WebSockets too', got=target)
    if given != scheme and scheme in _KNOWN_SCHEMES:
        raise mistake(path, _LOWER_CASE, got=given)
    if scheme == "unix":
        return _unix(target, path)
    if scheme in IN_PROCESS_SCHEMES:
        return _application(scheme, target, path)
    parts = split_url(target, path, expected=_TARGET)
    if parts.scheme in _PORT_REQUIRED and parts.hostname and not parts.port:
        raise mistake(path, f'a target with a port, such as "{parts.scheme}://{parts.hostname}:50051"', got=target)
    if parts.scheme not in _KNOWN_SCHEMES or not parts.hostname or parts.port == 0:
        raise mistake(path, _TARGET, got=target)
    if scheme == _TCP and (parts.port is None or parts.path or "?" in target or "#" in target):
        raise mistake(path, 'a host and a port and nothing else, such as "tcp://127.0.0.1:22"', got=target)
    if parts.path or "?" in target or "#" in target:
        raise mistake(path, "a target without path, query and fragment; requests keep their own", got=target)
    return TargetUrl(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme])


def is_tcp(target: str) -> bool:
    """Whether a target, which ``parse_target`` takes, speaks whatever its visitors do."""
    return target.startswith("tcp:")


def protocols_of(target: str) -> frozenset[str]:
    """Protocols of the conversations that a target answers, which ``parse_target`` takes."""
    return _PROTOCOLS[target.partition(":")[0]]


def is_in_process(target: str) -> bool:
    """Whether a target, which ``parse_target`` takes, is an application in the process that names it."""
    return target.partition(":")[0] in IN_PROCESS_SCHEMES


def _application(scheme: str, target: str, path: str) -> TargetUrl:
    application = target[len(scheme) + 1 :]
    if scheme == _REGISTERED:
        if not _NAME.fullmatch(application):
            raise mistake(path, 'the name of an application given in code, such as "app:shop"', got=target)
    elif not _APPLICATION.fullmatch(application):
        expected = f'a module and an attribute of it, such as "{scheme}:shop.main:app", or with a factory "...:make()"'
        raise mistake(path, expected, got=target)
    return TargetUrl(scheme, application=application)


def _unix(target: str, path: str) -> TargetUrl:
    socket_path = target[len(_PREFIX) :]
    if not socket_path.startswith("/") or socket_path.startswith("//") or "\0" in socket_path:
        raise mistake(path, 'the absolute path of a socket, such as "unix:/run/app.sock"', got=target)
    return TargetUrl("unix", socket_path=socket_path)

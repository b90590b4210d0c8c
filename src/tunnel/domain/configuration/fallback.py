"""The ``[fallback]`` table, and the ``direct`` key of an entry: where conversations go while no tunnel is up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from tunnel.domain.configuration.addresses import authority, parse_listen
from tunnel.domain.configuration.mistakes import alternatives, mistake
from tunnel.domain.configuration.target_policy import TargetPolicy
from tunnel.domain.configuration.target_url import TargetUrl, parse_target
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings

__all__ = [
    "DIRECT_GRPC_SCHEMES",
    "DIRECT_HTTP_SCHEMES",
    "DIRECT_TCP_SCHEMES",
    "FallbackSettings",
    "check_direct",
    "direct_pattern",
]

DIRECT_HTTP_SCHEMES: Final = ("http", "https", "unix")
DIRECT_GRPC_SCHEMES: Final = ("grpc", "grpcs")
DIRECT_TCP_SCHEMES: Final = ("tcp",)
"""What the ``direct`` of an entry may begin with, by the entry's protocol."""

_LITERAL: Final = ("unix:", "asgi:", "wsgi:")
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  (compared with, not listened on)
_THIS_MACHINE: Final = _EVERY_ADDRESS | {"localhost", "127.0.0.1", "::1"}


class FallbackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[fallback]``: what the HTTP entry does while no tunnel is up.

    Args:
        direct: Whether it dials the authority of the request itself.
        allow: What it may dial so, as in ``allow_targets`` without socket files; nothing listed: nothing. It does not
            limit the ``direct`` of an entry, which is the client's own word.
        route_header: Whether answers of entries that have a direct way tell it in ``Tunnel-Route``.
    """

    direct: bool = False
    allow: tuple[str, ...] = ()
    route_header: bool = True

    def check(self, path: str, found: Findings) -> None:
        """Refuse what the types let pass.

        Args:
            path: Key path of the table.
            found: Takes the mistakes.
        """
        for index, pattern in enumerate(self.allow):
            with found:
                if pattern.startswith(_LITERAL):
                    expected = (
                        "a host or a network, with a port if need be; requests name no sockets and no applications"
                    )
                    raise mistake(f"{path}.allow[{index}]", expected, got=pattern)
                TargetPolicy.check_pattern(pattern, f"{path}.allow[{index}]")


def check_direct(direct: str, schemes: Collection[str], *, listen: str, path: str) -> None:
    """Refuse a ``direct`` that the entry's protocol cannot speak to, or that is the entry itself.

    Names are not resolved here: what leads back to an entry by its address is refused when it is dialled.

    Args:
        direct: As configured.
        schemes: What it may begin with.
        listen: Where the entry listens.
        path: Key path for the error.

    Raises:
        ConfigurationError: Naming ``path``.
    """
    target = parse_target(direct, path)
    if target.scheme not in schemes:
        raise mistake(path, f"a target that begins with {alternatives(f'{each}:' for each in schemes)}", got=direct)
    direct_pattern(direct, path)
    if _is_itself(target, listen):
        raise mistake(path, "another address than the entry's own", got=direct)


def direct_pattern(direct: str, path: str = "") -> str:
    """What permits an entry's ``direct`` and nothing else: the host and port written, whatever a name resolves to.

    Returns:
        A pattern of ``TargetPolicy``.

    Raises:
        ConfigurationError: The host is no name and no whole address; names ``path``.
    """
    target = parse_target(direct, path)
    pattern = direct if target.scheme == "unix" else authority(target.host, target.port)
    try:
        TargetPolicy((pattern,))
    except ConfigurationError:
        raise mistake(path, "a host name or a whole IP address", got=direct) from None
    return pattern


def _is_itself(target: TargetUrl, listen: str) -> bool:
    try:
        here = parse_listen(listen)
    except ConfigurationError:
        # Which is told where it stands.
        return False
    if target.scheme == "unix" or target.port != here.port:
        return False
    host = target.host.lower()
    return host == here.host.lower() or (here.host in _EVERY_ADDRESS and host in _THIS_MACHINE)

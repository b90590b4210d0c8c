"""The ``[[ingress.tcp]]`` tables: listeners whose connections go to one upstream of one group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tunnel.domain.configuration.groups import GroupSettings
from tunnel.domain.configuration.mistakes import check_name, key_path, mistake, unknown_name
from tunnel.domain.configuration.target_url import is_tcp
from tunnel.domain.findings import Findings

__all__ = ["TcpIngressSettings", "TcpListenerSettings", "check_tcp_ingress", "check_tcp_names"]


class TcpListenerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where TCP connections to one upstream enter.

    Args:
        listen: ``HOST:PORT``; port 0 lets the system choose.
        upstream: Its targets are ``tcp://``.
        name: Tells it from other TCP listeners; None: as the upstream.
        max_connections: Connections at the same time; further ones are reset.
    """

    listen: str
    upstream: str
    name: str | None = None
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000

    @property
    def entrance(self) -> str:
        """What it is called in ready lines: ``tcp-ssh``."""
        return f"tcp-{self.name or self.upstream}"


class TcpIngressSettings(TcpListenerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[ingress.tcp]]``: where visitors' TCP connections to one upstream of a group enter.

    Args:
        group: Whose clients carry the connections; the upstream is one of it.
    """

    group: str


def check_tcp_ingress(
    ingresses: tuple[TcpIngressSettings, ...], groups: Mapping[str, GroupSettings], found: Findings
) -> None:
    """Refuse listeners that lead nowhere, to what does not speak TCP, or that have the same name."""
    with found:
        check_tcp_names(ingresses, "ingress.tcp", found)
    for index, ingress in enumerate(ingresses):
        with found:
            _check_upstream(ingress, groups, f"ingress.tcp[{index}]", found)


def _check_upstream(
    ingress: TcpIngressSettings, groups: Mapping[str, GroupSettings], path: str, found: Findings
) -> None:
    group = groups.get(ingress.group)
    if group is None:
        raise unknown_name(ingress.group, groups, f"{path}.group", kind="group", add="[groups.NAME]")
    upstream = group.upstreams.get(ingress.upstream)
    if upstream is None:
        add = "[groups.NAME.upstreams.NAME]"
        raise unknown_name(ingress.upstream, group.upstreams, f"{path}.upstream", kind="upstream", add=add)
    targets = f"{key_path('groups', ingress.group, 'upstreams', ingress.upstream)}.targets"
    if not all(map(is_tcp, upstream.targets)) and found.clean(targets):
        expected = 'an upstream whose targets are "tcp://HOST:PORT"'
        raise mistake(f"{path}.upstream", expected, got=ingress.upstream)


def check_tcp_names(listeners: Sequence[TcpListenerSettings], path: str, found: Findings) -> None:
    """Refuse names that are malformed, or of two listeners.

    Args:
        listeners: In the order of the file.
        path: Key path of the list.
        found: Takes the mistakes.
    """
    names: set[str] = set()
    for index, listener in enumerate(listeners):
        with found:
            where = f"{path}[{index}].name"
            if listener.name is not None:
                check_name(listener.name, where, what="a name")
            if listener.entrance in names:
                expected = "a name that no other TCP listener has; without one it is the upstream's"
                raise mistake(where, expected, got=listener.name or listener.upstream)
            names.add(listener.entrance)

"""Where the conversations of a client's entries go past the tunnel, as its settings say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from tunnel.app.direct_policy import DirectPolicy
from tunnel.domain.asked_authority import asked_authority
from tunnel.domain.configuration import ClientSettings, TcpEntrySettings
from tunnel.domain.configuration.addresses import authority
from tunnel.domain.configuration.fallback import direct_pattern
from tunnel.domain.envelopes import HttpRequest, Opening

__all__ = ["DirectWay", "DirectWays", "tcp_entry"]

_LeadsBack: TypeAlias = Callable[[str, int], bool]


class DirectWay(NamedTuple):
    """Where a conversation may go.

    Args:
        url: As an upstream's target is written.
        policy: What may be dialled for it.
        configured: Whether the settings name it, rather than the visitor.
    """

    url: str
    policy: DirectPolicy
    configured: bool


class DirectWays:
    """The ways of all entries. Immutable.

    1. An entry with a ``direct`` has that one.
    2. The HTTP entry without one has, with ``[fallback] direct``, for each request the server it names itself, if
       ``allow`` may permit that.
    3. Any other entry, and any other request, has none.

    Args:
        settings: Of the client.
        leads_back: Whether a connection to an address and a port would come in at an entry of this process.
    """

    def __init__(self, settings: ClientSettings, leads_back: _LeadsBack) -> None:
        entry = settings.entry
        named = {} if entry.http is None else {"http": entry.http.direct}
        if entry.grpc is not None:
            named["grpc"] = entry.grpc.direct
        named |= {tcp_entry(each): each.direct for each in entry.tcp}
        self._configured: Final = {
            name: DirectWay(url, DirectPolicy((direct_pattern(url),), leads_back), configured=True)
            for name, url in named.items()
            if url is not None
        }
        fallback = settings.fallback
        asked = entry.http is not None and fallback.direct and "http" not in self._configured
        self._asked: Final = DirectPolicy(fallback.allow, leads_back) if asked else None
        self._secure: Final = entry.http is not None and entry.http.tls is not None
        self.marked: Final = fallback.route_header
        """Whether answers tell the route."""
        self.policies: Final = (
            *(way.policy for way in self._configured.values()),
            *(() if self._asked is None else (self._asked,)),
        )
        """Of all of them."""

    def has_any(self, entry: str) -> bool:
        """Whether conversations of an entry may have a way.

        Args:
            entry: Its key: ``http``, ``grpc``, or ``tcp_entry`` of a TCP listener.
        """
        return entry in self._configured or (entry == "http" and self._asked is not None)

    def find(self, entry: str, head: Opening) -> DirectWay | None:
        """The way of one conversation; None: it has none.

        Args:
            entry: The key of the one where it entered.
            head: With which it opened.

        Raises:
            SessionError: ``bad_request``: it names a server that cannot be one.
        """
        way = self._configured.get(entry)
        if way is not None or self._asked is None or not isinstance(head, HttpRequest):
            return way
        asked = asked_authority(head, secure=self._secure)
        if asked is None or not self._asked.may_permit(asked.host, asked.port):
            return None
        return DirectWay(f"{asked.scheme}://{authority(asked.host, asked.port)}", self._asked, configured=False)


def tcp_entry(settings: TcpEntrySettings) -> str:
    """The key of a TCP listener, which a reload does not change: its address, or its name where the system chooses."""
    return settings.entrance if settings.listen.endswith(":0") else settings.listen

"""One registered tunnel as balancing sees it, and the count of sessions it serves."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, NamedTuple, TypeVar, final

from tunnel.domain.identity import ClientId, GroupId, InstanceId, TunnelId

__all__ = ["Lease", "MemberKey", "Selectable"]

T = TypeVar("T")


class MemberKey(NamedTuple):
    """What tells one client from all others: no credential can name another credential's client."""

    principal: str
    client_id: ClientId


@final
class Selectable(Generic[T]):
    """A registered tunnel. One object for as long as the tunnel is registered, published or not.

    Attributes are for reading; only the registry and leases change them.

    Args:
        tunnel: The application's handle.
        tunnel_id: Its id.
        member: Whose it is.
        group: Which group it serves.
        instance_id: Which process of that client dialled it.
    """

    __slots__ = ("group", "in_flight", "instance_id", "member", "published", "tunnel", "tunnel_id")

    def __init__(
        self, tunnel: T, *, tunnel_id: TunnelId, member: MemberKey, group: GroupId, instance_id: InstanceId
    ) -> None:
        self.tunnel = tunnel
        self.tunnel_id = tunnel_id
        self.member = member
        self.group = group
        self.instance_id = instance_id
        self.published = False
        self.in_flight = 0

    @property
    def client_id(self) -> ClientId:
        """The client's own name, unique only within its principal."""
        return self.member.client_id

    def acquire(self) -> Lease:
        """Count one session more, until the lease is released. Allowed on a tunnel no longer registered."""
        return Lease(self)

    def __repr__(self) -> str:
        state = "published" if self.published else "unpublished"
        return f"<Selectable {self.tunnel_id} of {self.client_id}, {state}, {self.in_flight} in flight>"


@final
class Lease:
    """One session counted on one tunnel, once: releasing it again does nothing.

    Also a context manager. A lease that is lost counts until it is collected, and no longer, so that no path through
    the application can make a tunnel look busy for ever.
    """

    __slots__ = ("_selectable",)

    def __init__(self, selectable: Selectable[T]) -> None:
        self._selectable: Selectable[T] | None = selectable
        selectable.in_flight += 1

    def release(self) -> None:
        """Stop counting this session. Idempotent."""
        selectable = self._selectable
        if selectable is not None:
            self._selectable = None
            selectable.in_flight -= 1

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

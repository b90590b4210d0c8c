"""One registered tunnel, and the count of sessions it serves."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar, final

from tunnel.domain.identity import ClientId, GroupId, InstanceId, TunnelId
from tunnel.domain.registry.records import Attachment, TunnelRecord

if TYPE_CHECKING:
    from tunnel.domain.registry.group_member import GroupMember, MemberKey

__all__ = ["Lease", "Selectable"]

T = TypeVar("T")


@final
class Selectable(Generic[T]):
    """A registered tunnel. One object for as long as the tunnel is registered, published or not.

    Attributes are for reading; only the registry and leases change them.

    Args:
        tunnel: The application's handle.
        tunnel_id: Its id.
        owner: The client that dialled it, as a member of the group it serves.
        instance_id: Which process of that client dialled it.
    """

    __slots__ = (
        "_loss_noted",
        "config_hash",
        "config_version",
        "detached",
        "draining",
        "in_flight",
        "instance_id",
        "owner",
        "published",
        "tunnel",
        "tunnel_id",
    )

    def __init__(self, tunnel: T, *, tunnel_id: TunnelId, owner: GroupMember[T], instance_id: InstanceId) -> None:
        self.tunnel = tunnel
        self.tunnel_id = tunnel_id
        self.owner = owner
        self.instance_id = instance_id
        self.published = False
        self.detached = False
        self.draining = False
        self.in_flight = 0
        self.config_version = 0
        self.config_hash = ""
        self._loss_noted = False

    @property
    def member(self) -> MemberKey:
        """Whose it is."""
        return self.owner.key

    @property
    def client_id(self) -> ClientId:
        """The client's own name, unique only within its principal."""
        return self.owner.key.client_id

    @property
    def group(self) -> GroupId:
        """Which group it serves."""
        return self.owner.group

    @property
    def state(self) -> Attachment:
        """How it stands to links."""
        if self.detached:
            return Attachment.DETACHED
        return Attachment.DRAINING if self.draining else Attachment.ATTACHED

    def acquire(self) -> Lease:
        """Count one session more, until the lease is released. Allowed on a tunnel no longer registered."""
        return Lease(self)

    def note_loss(self) -> bool:
        """Take note that a session was lost with this tunnel; whether it is the first that says so."""
        first = not self._loss_noted
        self._loss_noted = True
        return first

    def record(self) -> TunnelRecord:
        """This tunnel for a status page."""
        return TunnelRecord(
            tunnel_id=self.tunnel_id,
            group=self.group,
            published=self.published,
            in_flight=self.in_flight,
            state=self.state,
            config_version=self.config_version,
            config_hash=self.config_hash,
        )

    def __repr__(self) -> str:
        state = "published" if self.published else "unpublished"
        return f"<Selectable {self.tunnel_id} of {self.client_id}, {state}, {self.in_flight} in flight>"


@final
class Lease:
    """One session counted on one tunnel and its client, once: releasing it again does nothing.

    Also a context manager. A lease that is lost counts until it is collected, and no longer, so that no path through
    the application can make a tunnel look busy for ever.
    """

    __slots__ = ("_selectable",)

    def __init__(self, selectable: Selectable[T]) -> None:
        self._selectable: Selectable[T] | None = selectable
        selectable.in_flight += 1
        selectable.owner.in_flight += 1

    def release(self) -> None:
        """Stop counting this session. Idempotent."""
        selectable = self._selectable
        if selectable is not None:
            self._selectable = None
            selectable.in_flight -= 1
            selectable.owner.in_flight -= 1

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

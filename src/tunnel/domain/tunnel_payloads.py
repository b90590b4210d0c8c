"""What a tunnel says for itself: handshake, configuration, liveness, and its end.

Source: docs/reference/protocol.md, handshake, liveness, going away.
"""

from __future__ import annotations

import msgspec

from tunnel.domain.claims.claim import Claim
from tunnel.domain.kinds import Kind
from tunnel.domain.limits import Limits

__all__ = [
    "Close",
    "ConfigApplied",
    "ConfigRejected",
    "ConfigSyncRequest",
    "ConfigSyncResponse",
    "GoAway",
    "Ping",
    "Pong",
    "Register",
    "RegisterResponse",
    "ResumeRequest",
]


class ResumeRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a client says to continue a tunnel on a new link. With ``only`` it wants that tunnel or none."""

    tunnel_id: str
    resume_token: bytes
    attempt: int
    received: int
    only: bool = False

    def __repr__(self) -> str:
        only = ", only=True" if self.only else ""
        return f"ResumeRequest(tunnel_id={self.tunnel_id!r}, attempt={self.attempt}, received={self.received}{only})"


class Register(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.REGISTER)):
    """First envelope of a link, from the client. ``repr`` leaves the credential out.

    With ``claim`` the ``group_id`` is empty: the client serves a host of its own instead of a group.
    """

    versions: tuple[int, ...]
    client_id: str
    group_id: str
    instance_id: bytes
    credential: str
    capabilities: tuple[str, ...] = ()
    config_hash: str = ""
    resume: ResumeRequest | None = None
    limits: Limits = Limits()
    claim: Claim | None = None

    def __repr__(self) -> str:
        return f"Register(versions={self.versions}, client_id={self.client_id!r}, group_id={self.group_id!r})"


class RegisterResponse(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.REGISTER_RESPONSE)
):
    """The server's acceptance. ``repr`` leaves the resume token out.

    ``config_hash`` is that of the group's configuration; when the client has applied it already, none follows.
    ``claim`` is what it was granted, None where it asked for none, and ``public_url`` where visitors find that; empty
    where the server cannot tell.
    """

    tunnel_id: str
    resume_token: bytes
    server_id: str
    version: int
    resumed: bool = False
    received: int = 0
    capabilities: tuple[str, ...] = ()
    limits: Limits = Limits()
    config_hash: str = ""
    claim: Claim | None = None
    public_url: str = ""

    def __repr__(self) -> str:
        return f"RegisterResponse(tunnel_id={self.tunnel_id!r}, server_id={self.server_id!r}, version={self.version})"


class ConfigSyncRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Asks what configuration a client of this group would get. Unary only; changes nothing."""

    client_id: str
    group_id: str
    credential: str

    def __repr__(self) -> str:
        return f"ConfigSyncRequest(client_id={self.client_id!r}, group_id={self.group_id!r})"


class ConfigSyncResponse(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CONFIG_SYNC_RESPONSE)
):
    """A group's configuration, or one part of it; ``snapshot`` is JSON. The last part has ``more`` unset."""

    version: int
    hash: str
    snapshot: bytes
    more: bool = False


class ConfigApplied(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CONFIG_APPLIED)
):
    version: int
    hash: str


class ConfigRejected(
    msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CONFIG_REJECTED)
):
    version: int
    hash: str
    why: str


class Ping(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.PING)):
    nonce: int


class Pong(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.PONG)):
    nonce: int


class GoAway(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.GO_AWAY)):
    """I take no session of yours above ``last_session_id``; those up to it finish."""

    last_session_id: int
    code: str = ""


class Close(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="kind", tag=int(Kind.CLOSE)):
    """Ends the tunnel at once."""

    code: str = ""
    message: str = ""

"""``use = "basic_auth"``: lets pass whoever knows a user's password."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar, Final

import anyio
import anyio.to_thread
import msgspec

from tunnel.domain.envelopes import Headers
from tunnel.domain.errors import ConfigurationError, ErrorCode
from tunnel.domain.middleware.header_edits import check_field_name, first_field, without_fields
from tunnel.domain.middleware.passwords import DUMMY, PasswordHash
from tunnel.domain.opening_fields import opening_fields, with_fields
from tunnel.domain.refusal import Refusal
from tunnel.ports.middleware import Middleware
from tunnel.ports.stream_around import EditedStream
from tunnel.ports.target import ProxyTarget, Stream

__all__ = ["BasicAuthMiddleware", "BasicAuthOptions"]

_AUTHORIZATION: Final = b"authorization"

_KNOWN: Final = 1024
"""Credentials that were right, remembered by a hash, so that not every request costs what a guess costs."""

_MAX_WAITING: Final = 64
"""Requests whose password is being compared or waits for that; further ones are told to come back."""

_MAX_CREDENTIAL_BYTES: Final = 1024


class BasicAuthOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[middleware.NAME]``.

    Args:
        users: Hashes of passwords by name, as ``tunnel token password`` prints them.
        realm: What visitors are asked the password for.
        remove_header: Whether the target does not get to see ``Authorization``.
        user_header: Field that tells the target who it is; None: none does.
    """

    users: Mapping[str, str]
    realm: str = "tunnel"
    remove_header: bool = False
    user_header: str | None = None


class BasicAuthMiddleware(Middleware):
    """Refuses whoever does not know a password with 401. Passwords are compared in a thread, one at a time.

    Args:
        options: Who may pass.

    Raises:
        ConfigurationError: A hash is malformed, which is not repeated.

    Source: RFC 7617; Traefik, BasicAuth.
    """

    Options: ClassVar[type[msgspec.Struct]] = BasicAuthOptions
    protocols: ClassVar[frozenset[str]] = frozenset({"http", "grpc", "websocket"})

    def __init__(self, options: BasicAuthOptions) -> None:
        if not options.users:
            raise ConfigurationError("expected at least one user", key_path="users")
        self._users = {name.encode(): _hash(name, text) for name, text in options.users.items()}
        self._slow = any(each.slow for each in self._users.values())
        if not options.realm.isprintable() or not options.realm.isascii() or set('"\\') & set(options.realm):
            raise ConfigurationError('expected printable ASCII characters but " and \\', key_path="realm")
        challenge = f'Basic realm="{options.realm}", charset="UTF-8"'.encode()
        self._challenge: Headers = (b"www-authenticate", challenge)
        self._remove_header = options.remove_header
        self._user_header: bytes | None = None
        if options.user_header is not None:
            check_field_name(options.user_header, "user_header")
            self._user_header = options.user_header.lower().encode()
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._turn: anyio.Lock | None = None
        self._waiting = 0

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        head = stream.head
        fields = opening_fields(head)
        user = await self._authenticated(first_field(fields, _AUTHORIZATION))
        if user is None:
            raise Refusal(ErrorCode.UNAUTHENTICATED, "user name and password are required", headers=self._challenge)
        if self._remove_header or self._user_header is not None:
            removed = {_AUTHORIZATION} if self._remove_header else set()
            told: Headers = ()
            if self._user_header is not None:
                removed.add(self._user_header)
                told = (self._user_header, user)
            stream = EditedStream(stream, head=with_fields(head, without_fields(fields, frozenset(removed)) + told))
        await target.handle(stream)

    async def _authenticated(self, field: bytes | None) -> bytes | None:
        """The user's name; None for nobody's."""
        credentials = _credentials(field)
        if credentials is None:
            return None
        user, password = credentials
        known = hashlib.blake2b(b"%d:%b%b" % (len(user), user, password), key=self._secret).digest()
        if known in self._known:
            self._known.move_to_end(known)
            return user
        expected = self._users.get(user)
        if not await self._fits(expected or DUMMY, password) or expected is None:
            return None
        self._known[known] = None
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return user

    async def _fits(self, expected: PasswordHash, password: bytes) -> bool:
        if not expected.slow or not self._slow:
            return expected.fits(password) if not expected.slow else False
        if self._waiting >= _MAX_WAITING:
            raise Refusal(ErrorCode.OVERLOADED, "too many passwords are being checked")
        if self._turn is None:
            self._turn = anyio.Lock()
        self._waiting += 1
        try:
            async with self._turn:
                # Not abandoned when the visitor leaves: whoever comes and goes would have as many threads busy.
                return await anyio.to_thread.run_sync(expected.fits, password)
        finally:
            self._waiting -= 1


def _credentials(field: bytes | None) -> tuple[bytes, bytes] | None:
    if field is None or len(field) > _MAX_CREDENTIAL_BYTES:
        return None
    scheme, _, encoded = field.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        return None
    user, colon, password = text.partition(b":")
    return (user, password) if colon else None


def _hash(name: str, text: str) -> PasswordHash:
    if not name or ":" in name or not name.isprintable() or not name.isascii():
        raise ConfigurationError("expected names of users, of printable ASCII characters but :", key_path="users")
    try:
        return PasswordHash.parse(text)
    except ValueError:
        expected = "expected a hash as `tunnel token password` prints it"
        raise ConfigurationError(expected, key_path=f"users.{name}") from None

"""A client's settings as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from tunnel.domain.configuration.addresses import parse_server_url
from tunnel.domain.configuration.admin import AdminSettings
from tunnel.domain.configuration.claims import ClaimSettings
from tunnel.domain.configuration.client_policy import ClientPolicy, check_own_targets
from tunnel.domain.configuration.draft import decode_settings
from tunnel.domain.configuration.entry import EntrySettings, check_entry
from tunnel.domain.configuration.fallback import FallbackSettings
from tunnel.domain.configuration.groups import UpstreamSettings, check_upstreams
from tunnel.domain.configuration.limits import LimitsSettings
from tunnel.domain.configuration.listeners import check_addresses
from tunnel.domain.configuration.mistakes import check_name, mistake
from tunnel.domain.configuration.planned import PLANNED_CLIENT_KEYS
from tunnel.domain.configuration.proxies import NO_PROXY, PROXIED_SCHEMES, parse_proxy, proxy_towards
from tunnel.domain.configuration.secret import Secret
from tunnel.domain.configuration.target_policy import TargetPolicy
from tunnel.domain.configuration.tls import ClientTlsSettings, check_client_tls, check_tls_succession, is_loopback
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings

__all__ = ["LOOPBACK_TARGETS", "ClientSettings", "check_client_succession", "decode_client_settings"]

LOOPBACK_TARGETS: Final = ("127.0.0.0/8", "[::1]")
"""What a server may have a client dial when nothing else is said."""

_CREDENTIALS: Final = ("token", "token_env", "token_file")


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a client is told.

    Contradictions are refused when the value is made, also in code. Types and ranges are checked by
    ``decode_client_settings`` only.

    Args:
        servers: In order of preference: ``grpc://HOST:PORT``, ``ws://HOST[:PORT][/PATH]``, ``memory://NAME``; with TLS
            ``grpcs://`` and ``wss://``.
        group: Group whose rules and upstreams it serves. Exactly one of ``group`` and ``claim`` is given.
        claim: Host that it serves by an upstream of its own, instead of joining a group.
        client_id: Names this client among those of its principal. None: one is made of the host name.
        token: The credential. Exactly one of ``token``, ``token_env`` and ``token_file`` is given; loading replaces the
            other two by this one. A plain text is wrapped.
        token_env: Environment variable that holds the token.
        token_file: File that holds the token.
        allow_targets: What the server may have this client dial; see ``TargetPolicy``.
        upstreams: Take the places of the upstreams of these names that the server pushes, or serve what is claimed.
            Their targets need not be in ``allow_targets``.
        tls: For servers that begin with ``grpcs:`` or ``wss:``.
        insecure: Permits plain text to servers that are not on this machine. The token then travels in clear.
        proxy: Through which servers that are not on this machine are reached: ``http://[USER:PASSWORD@]HOST:PORT`` or,
            by WebSocket only, ``socks5://...``; ``none``: directly. None: as the environment has it. A plain text is
            wrapped.
        limits: Announced to the server.
        admin: Where operators look inside; None: nowhere.
        entry: Where conversations enter that the server is to serve.
        fallback: What becomes of them while no tunnel is up.

    Raises:
        ConfigurationError: Naming the key.
    """

    servers: tuple[str, ...]
    group: str | None = None
    claim: ClaimSettings | None = None
    client_id: str | None = None
    token: Secret | None = None
    token_env: str | None = None
    token_file: str | None = None
    allow_targets: tuple[str, ...] = LOOPBACK_TARGETS
    upstreams: Mapping[str, UpstreamSettings] = {}
    tls: ClientTlsSettings = ClientTlsSettings()
    insecure: bool = False
    proxy: Secret | None = None
    limits: LimitsSettings = LimitsSettings()
    admin: AdminSettings | None = None
    entry: EntrySettings = EntrySettings()
    fallback: FallbackSettings = FallbackSettings()

    def __post_init__(self) -> None:
        if isinstance(self.token, str):
            msgspec.structs.force_setattr(self, "token", Secret(self.token))
        if isinstance(self.proxy, str):
            msgspec.structs.force_setattr(self, "proxy", Secret(self.proxy))
        found = Findings()
        self.check(found)
        found.tell()

    def check(self, found: Findings) -> None:
        """Look for contradictions."""
        with found:
            self._check_service()
        with found:
            if self.client_id is not None:
                check_name(self.client_id, "client_id", what="a name")
        with found:
            self._check_credential()
        with found:
            self._check_servers(found)
        with found:
            self._check_proxy(found)
        with found:
            check_client_tls(self.tls, "tls", found)
        with found:
            check_upstreams(self.upstreams, "", found)
        with found:
            if self.claim is not None:
                self.claim.check(self.upstreams, found)
        with found:
            check_own_targets(self.upstreams, found)
        with found:
            for index, pattern in enumerate(self.allow_targets):
                with found:
                    TargetPolicy.check_pattern(pattern, f"allow_targets[{index}]")
        with found:
            self.limits.check("limits", found)
        with found:
            check_entry(self.entry, found)
        with found:
            if self.admin is not None:
                self.admin.check("admin", found)
        with found:
            self.fallback.check("fallback", found)
        with found:
            check_addresses(self._addresses(), found)

    @property
    def servers_with_tls(self) -> bool:
        """Whether any server is dialled with TLS by this library."""
        return any(url.startswith(("grpcs:", "wss:")) for url in self.servers)

    def policy(self) -> ClientPolicy:
        """What this client makes of the snapshots it is sent."""
        claimed_by = None if self.claim is None else self.claim.served_by(self.upstreams)
        return ClientPolicy(self.allow_targets, self.upstreams, claimed_by=claimed_by)

    def _check_service(self) -> None:
        if self.group is not None:
            check_name(self.group, "group", what="a name")
            if self.claim is not None:
                raise ConfigurationError('expected either "group" or [claim], not both', key_path="claim")
        elif self.claim is None:
            raise ConfigurationError('missing the required key "group", or the table [claim] in its place')

    def _addresses(self) -> Iterator[tuple[str, str]]:
        yield from self.entry.addresses()
        if self.admin is not None:
            yield "admin.listen", self.admin.listen

    def _check_servers(self, found: Findings) -> None:
        if isinstance(self.servers, str):
            # Else each of its letters would be told to be no URL.
            raise mistake("servers", "a sequence of URLs", got=self.servers)
        if not self.servers:
            raise mistake("servers", 'at least one URL such as "grpc://127.0.0.1:7000"', got=self.servers)
        for index, url in enumerate(self.servers):
            with found:
                self._check_server(url, f"servers[{index}]")

    def _check_server(self, url: str, path: str) -> None:
        server = parse_server_url(url, path)
        if server.scheme in ("grpc", "ws") and not self.insecure and not is_loopback(server.host):
            expected = f'"{server.scheme}s://", or "insecure = true": the token would travel in clear'
            raise mistake(path, expected, got=url)

    def _check_proxy(self, found: Findings) -> None:
        if self.proxy is None or self.proxy.reveal() == NO_PROXY:
            return
        parse_proxy(self.proxy.reveal(), "proxy")
        for index, url in enumerate(self.servers):
            if not found.clean(f"servers[{index}]"):
                continue
            server = parse_server_url(url)
            if server.scheme in PROXIED_SCHEMES:
                proxy_towards(server.scheme, server.host, server.port, setting=self.proxy, environment={})

    def _check_credential(self) -> None:
        given = [name for name in _CREDENTIALS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f'"{name}"' for name in given) or "none of them"
            expected = 'expected exactly one of "token", "token_env" and "token_file"'
            raise ConfigurationError(f"{expected}, got {found}", key_path=given[-1] if given else "")
        if not getattr(self, given[0]):
            raise mistake(given[0], "a value that is not empty")
        if self.token is not None and not _is_text(self.token.reveal()):
            raise mistake("token", "text that can be written in UTF-8")


def _is_text(token: str) -> bool:
    """Whether there are no halves of surrogate pairs, as bytes of the environment that are not UTF-8 become."""
    return not any("\ud800" <= each <= "\udfff" for each in token)


def check_client_succession(before: ClientSettings, after: ClientSettings) -> None:
    """Refuse what a listener cannot become while it listens: with TLS what was without, or the other way round.

    Raises:
        ConfigurationError: Naming the key.
    """
    pairs = (
        ("admin", before.admin, after.admin),
        ("entry.http", before.entry.http, after.entry.http),
        ("entry.grpc", before.entry.grpc, after.entry.grpc),
    )
    for where, old, new in pairs:
        if old is not None and new is not None and old.listen == new.listen:
            # gRPC decides once for each port whether it asks for certificates.
            check_tls_succession(old.tls, new.tls, f"{where}.tls", asks_for_good=where == "entry.grpc")


class _Draft(ClientSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may hold mistakes, and is looked through for more of them."""

    def __post_init__(self) -> None:
        """Refuse nothing."""


def decode_client_settings(
    table: Mapping[str, object], judges: Iterable[Callable[[ClientSettings, Findings], None]] = ()
) -> ClientSettings:
    """Make a client's settings of the table a configuration file holds.

    The token is taken as written; ``token_env`` and ``token_file`` are left for the loader to resolve.

    Args:
        table: As read from a file.
        judges: Look for further mistakes, of what the settings point to, while the rest of them may be wrong.

    Raises:
        ConfigurationError: Things are unknown, malformed, contradictory or not built yet; with each of them that does
            not follow from another, in the order of the table. The token is never in it.
    """
    return decode_settings(table, ClientSettings, _Draft, PLANNED_CLIENT_KEYS, judges)

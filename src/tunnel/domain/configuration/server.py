"""A server's settings as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from tunnel.domain.configuration.access_log import AccessLogSettings
from tunnel.domain.configuration.admin import AdminSettings
from tunnel.domain.configuration.claims import ClaimsSettings
from tunnel.domain.configuration.draft import decode_settings
from tunnel.domain.configuration.forward import ForwardSettings, check_forward
from tunnel.domain.configuration.groups import GroupSettings, check_group, check_server_rule
from tunnel.domain.configuration.limits import LimitsSettings
from tunnel.domain.configuration.listeners import IngressSettings, TransportsSettings, check_listeners
from tunnel.domain.configuration.middleware import MiddlewareSettings, check_middleware, check_rules_middleware
from tunnel.domain.configuration.mistakes import key_path
from tunnel.domain.configuration.planned import PLANNED_SERVER_KEYS
from tunnel.domain.configuration.tcp_ingress import check_tcp_ingress
from tunnel.domain.configuration.tls import check_tls_succession
from tunnel.domain.configuration.tokens import AuthSettings
from tunnel.domain.findings import Findings
from tunnel.domain.rules.rule import Rule

__all__ = ["ServerSettings", "check_succession", "decode_server_settings"]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a server is told.

    Contradictions are refused when the value is made, also in code. Types and ranges are checked by
    ``decode_server_settings`` only.

    Args:
        transports: How clients reach it.
        ingress: How visitors reach it.
        auth: Who may register.
        rules: Which group serves a request.
        groups: By name.
        claims: What holds for the hosts that clients claim.
        forward: What is served of the sessions that clients open.
        limits: Announced to clients.
        middleware: What rules of either hop send their conversations through, by name.
        access_log: Where conversations are recorded; None: nowhere.
        admin: Where operators look inside; None: nowhere.

    Raises:
        ConfigurationError: Naming the keys.
    """

    transports: TransportsSettings
    ingress: IngressSettings = IngressSettings()
    auth: AuthSettings = AuthSettings()
    rules: tuple[Rule, ...] = ()
    groups: Mapping[str, GroupSettings] = {}
    claims: ClaimsSettings = ClaimsSettings()
    forward: ForwardSettings = ForwardSettings()
    limits: LimitsSettings = LimitsSettings()
    middleware: Mapping[str, MiddlewareSettings] = {}
    access_log: AccessLogSettings | None = None
    admin: AdminSettings | None = None

    def __post_init__(self) -> None:
        found = Findings()
        self.check(found)
        found.tell()

    def check(self, found: Findings) -> None:
        """Look for contradictions."""
        with found:
            check_middleware(self.middleware, found)
        with found:
            check_listeners(self.transports, self.ingress, self.admin, found)
        with found:
            self.auth.check(self.groups, found)
        with found:
            for name, group in self.groups.items():
                with found:
                    check_group(name, group, found)
        with found:
            for index, rule in enumerate(self.rules):
                with found:
                    check_server_rule(rule, self.groups, f"rules[{index}]", found)
        with found:
            check_forward(self.forward, self.groups, found)
        with found:
            check_tcp_ingress(self.ingress.tcp, self.groups, found)
        with found:
            self._check_rule_middleware(found)
        with found:
            self.claims.check(found)
        with found:
            self.limits.check("limits", found)
        with found:
            if self.access_log is not None:
                self.access_log.check()

    def _check_rule_middleware(self, found: Findings) -> None:
        with found:
            check_rules_middleware(self.rules, self.middleware, "rules", found)
        with found:
            check_rules_middleware(self.forward.rules, self.middleware, "forward.rules", found)
        for name, group in self.groups.items():
            with found:
                check_rules_middleware(group.rules, self.middleware, key_path("groups", name, "rules"), found)


def check_succession(before: ServerSettings, after: ServerSettings) -> None:
    """Refuse what a listener cannot become while it listens: with TLS what was without, or the other way round.

    Raises:
        ConfigurationError: Naming the key.
    """
    pairs = (
        ("transports.grpc", before.transports.grpc, after.transports.grpc),
        ("transports.websocket", before.transports.websocket, after.transports.websocket),
        ("ingress.http", before.ingress.http, after.ingress.http),
        ("ingress.grpc", before.ingress.grpc, after.ingress.grpc),
        ("admin", before.admin, after.admin),
    )
    for where, old, new in pairs:
        if old is not None and new is not None and old.listen is not None and old.listen == new.listen:
            # gRPC decides once for each port whether it asks for certificates.
            check_tls_succession(old.tls, new.tls, f"{where}.tls", asks_for_good=where.endswith(".grpc"))


class _Draft(ServerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may hold mistakes, and is looked through for more of them."""

    def __post_init__(self) -> None:
        """Refuse nothing."""


def decode_server_settings(
    table: Mapping[str, object], judges: Iterable[Callable[[ServerSettings, Findings], None]] = ()
) -> ServerSettings:
    """Make a server's settings of the table a configuration file holds.

    Args:
        table: As read from a file.
        judges: Look for further mistakes, of what the settings point to, while the rest of them may be wrong.

    Raises:
        ConfigurationError: Things are unknown, malformed, contradictory or not built yet; with each of them that does
            not follow from another, in the order of the table.
    """
    return decode_settings(table, ServerSettings, _Draft, PLANNED_SERVER_KEYS, judges)

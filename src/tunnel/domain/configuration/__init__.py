"""The configuration model: what may be set, what each setting means, and which combinations are refused.

Settings are frozen values. ``decode_server_settings`` and ``decode_client_settings`` make them from the tables a
configuration file holds; code may also build them directly. Either way a contradiction is a ``ConfigurationError`` that
names the key.
"""

from tunnel.domain.configuration.access_log import AccessLogSettings
from tunnel.domain.configuration.addresses import (
    BUILT_IN_SCHEMES,
    ListenAddress,
    ServerUrl,
    check_scheme,
    parse_listen,
    parse_server_url,
)
from tunnel.domain.configuration.admin import AdminSettings
from tunnel.domain.configuration.claims import ClaimSettings, ClaimsSettings
from tunnel.domain.configuration.client import LOOPBACK_TARGETS, ClientSettings, decode_client_settings
from tunnel.domain.configuration.client_policy import ClientPolicy
from tunnel.domain.configuration.ejection import EjectionSettings
from tunnel.domain.configuration.entry import (
    EntrySettings,
    GrpcEntrySettings,
    HttpEntrySettings,
    TcpEntrySettings,
)
from tunnel.domain.configuration.fallback import FallbackSettings
from tunnel.domain.configuration.forward import ForwardRule, ForwardSettings
from tunnel.domain.configuration.groups import GroupSettings, UpstreamSettings
from tunnel.domain.configuration.limits import LimitsSettings
from tunnel.domain.configuration.listeners import (
    GrpcIngressSettings,
    GrpcTransportSettings,
    HttpIngressSettings,
    HttpListenerSettings,
    IngressSettings,
    MemoryTransportSettings,
    TransportsSettings,
    WebSocketTransportSettings,
)
from tunnel.domain.configuration.middleware import MiddlewareSettings
from tunnel.domain.configuration.operator_policy import OPERATORS_CHOICE
from tunnel.domain.configuration.secret import Secret
from tunnel.domain.configuration.server import ServerSettings, decode_server_settings
from tunnel.domain.configuration.snapshot import GroupSnapshot
from tunnel.domain.configuration.target_policy import TargetPolicy
from tunnel.domain.configuration.target_url import TargetUrl, parse_target
from tunnel.domain.configuration.tcp_ingress import TcpIngressSettings, TcpListenerSettings
from tunnel.domain.configuration.tls import ClientTlsSettings, ListenerTlsSettings
from tunnel.domain.configuration.tokens import AuthSettings, TokenSettings
from tunnel.domain.configuration.upstream_tls import UpstreamTlsSettings

__all__ = [
    "BUILT_IN_SCHEMES",
    "LOOPBACK_TARGETS",
    "OPERATORS_CHOICE",
    "AccessLogSettings",
    "AdminSettings",
    "AuthSettings",
    "ClaimSettings",
    "ClaimsSettings",
    "ClientPolicy",
    "ClientSettings",
    "ClientTlsSettings",
    "EjectionSettings",
    "EntrySettings",
    "FallbackSettings",
    "ForwardRule",
    "ForwardSettings",
    "GroupSettings",
    "GroupSnapshot",
    "GrpcEntrySettings",
    "GrpcIngressSettings",
    "GrpcTransportSettings",
    "HttpEntrySettings",
    "HttpIngressSettings",
    "HttpListenerSettings",
    "IngressSettings",
    "LimitsSettings",
    "ListenAddress",
    "ListenerTlsSettings",
    "MemoryTransportSettings",
    "MiddlewareSettings",
    "Secret",
    "ServerSettings",
    "ServerUrl",
    "TargetPolicy",
    "TargetUrl",
    "TcpEntrySettings",
    "TcpIngressSettings",
    "TcpListenerSettings",
    "TokenSettings",
    "TransportsSettings",
    "UpstreamSettings",
    "UpstreamTlsSettings",
    "WebSocketTransportSettings",
    "check_scheme",
    "decode_client_settings",
    "decode_server_settings",
    "parse_listen",
    "parse_server_url",
    "parse_target",
]

"""Maps telemetry events to log records."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Final, TypeAlias, assert_never

from tunnel.domain.errors import ErrorCode
from tunnel.ports.telemetry import (
    AccessLogLost,
    CertificateOutOfDate,
    ClaimGranted,
    ClientConfigured,
    ClientPublished,
    ClientUnpublished,
    ConfigurationApplied,
    ConfigurationReloaded,
    ConnectFailed,
    Event,
    LinkLost,
    Listening,
    MemberEjected,
    MemberReturned,
    ProtocolUnanswered,
    RegistrationDenied,
    RequestRefused,
    SessionEnded,
    SessionFailed,
    TargetEjected,
    TargetReturned,
    Telemetry,
    TunnelDetached,
    TunnelReady,
    TunnelResumed,
)

__all__ = ["LOGGER_NAME", "READY_LOGGER_NAME", "LoggingTelemetry"]

LOGGER_NAME: Final = "tunnel"
READY_LOGGER_NAME: Final = "tunnel.ready"
"""Child that carries the ready lines, so that whoever configures logging can let them pass whatever the level is."""

Fields: TypeAlias = Mapping[str, str | int | float]

_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]+")
_OURS: Final = frozenset({ErrorCode.INTERNAL, ErrorCode.PROTOCOL_ERROR, ErrorCode.FLOW_CONTROL})


class LoggingTelemetry(Telemetry):
    """Writes each event as one record of the logger ``tunnel``, ready lines as records of ``tunnel.ready``.

    The message is ``name key=value ...``. Formatters find the parts in the record's attributes ``event`` (its name) and
    ``fields`` (a mapping). Values that are not plain words are quoted as JSON, so that no value breaks the line.
    """

    def __init__(self) -> None:
        self._logger: Final = logging.getLogger(LOGGER_NAME)
        self._ready: Final = logging.getLogger(READY_LOGGER_NAME)

    def record(self, event: Event) -> None:
        logger = self._ready if isinstance(event, Listening | TunnelReady | ClaimGranted) else self._logger
        level = _level(event)
        if not logger.isEnabledFor(level):
            return
        name, fields = _described(event)
        logger.log(level, "%s", _line(name, fields), extra={"event": name, "fields": fields})


def _level(event: Event) -> int:
    match event:
        case RegistrationDenied() | LinkLost() | ConnectFailed() | MemberEjected() | TargetEjected() | AccessLogLost():
            return logging.WARNING
        case SessionEnded() | RequestRefused():
            return logging.DEBUG
        case CertificateOutOfDate() | ProtocolUnanswered():
            return logging.WARNING
        case ConfigurationApplied(rejected=rejected) | ClientConfigured(rejected=rejected):
            return logging.WARNING if rejected else logging.INFO
        case ConfigurationReloaded(error=error):
            return logging.ERROR if error else logging.INFO
        case SessionFailed(code=code):
            if code == ErrorCode.CANCELLED:
                return logging.DEBUG
            return logging.WARNING if code in _OURS else logging.INFO
        case _:
            return logging.INFO


def _described(event: Event) -> tuple[str, Fields]:
    match event:
        case Listening(kind=kind, name=name, address=address):
            return "listening", {"kind": kind, "name": name, "address": address}
        case TunnelReady(client_id=client, server=server):
            return "ready", {"client": client, "server": server}
        case ClaimGranted(client_id=client, host=host, path_prefix=path_prefix, url=url):
            granted: Fields = {"client": client, "host": host, "path_prefix": path_prefix}
            return "claimed", granted if url is None else {**granted, "url": url}
        case ClientPublished():
            return "client_published", {
                "client": event.client_id,
                "group": event.group,
                "principal": event.principal,
                "tunnel": event.tunnel_id,
                "transport": event.transport,
                "address": event.address,
            }
        case ClientUnpublished(client_id=client, group=group, tunnel_id=tunnel, reason=reason):
            return "client_unpublished", {"client": client, "group": group, "tunnel": tunnel, "reason": reason}
        case ClientConfigured(client_id=client, group=group, version=version, rejected=rejected):
            fields: Fields = {"client": client, "group": group, "version": version}
            if rejected:
                return "client_rejected_configuration", {**fields, "reason": rejected}
            return "client_configured", fields
        case TunnelDetached(client_id=client, tunnel_id=tunnel, reason=reason):
            return "tunnel_detached", {"client": client, "tunnel": tunnel, "reason": reason}
        case TunnelResumed(client_id=client, tunnel_id=tunnel, transport=transport, address=address):
            where = {"transport": transport, "address": address}
            return "tunnel_resumed", {"client": client, "tunnel": tunnel, **where}
        case RegistrationDenied(address=address, code=code, reason=reason):
            return "registration_denied", {"address": address, "code": code, "reason": reason}
        case ConfigurationApplied(version=version, hash=digest, rejected=rejected):
            if rejected:
                return "configuration_rejected", {"version": version, "hash": digest, "reason": rejected}
            return "configuration_applied", {"version": version, "hash": digest}
        case ConfigurationReloaded(source=source, version=version, error=error):
            if error:
                return "configuration_kept", {"source": source, "version": version, "reason": error}
            return "configuration_reloaded", {"source": source, "version": version}
        case CertificateOutOfDate(where=key_path, reason=reason):
            return "certificate_out_of_date", {"key": key_path, "reason": reason}
        case LinkLost(peer=peer, end=end, reason=reason):
            return "link_lost", {"peer": peer, "end": end, "reason": reason}
        case ConnectFailed(server=server, reason=reason, retry_s=retry_s):
            return "connect_failed", {"server": server, "reason": reason, "retry_s": round(retry_s, 3)}
        case MemberEjected(group=group, member=member, reason=reason, ejection_s=ejection_s):
            where = {"group": group, "member": member}
            return "member_ejected", {**where, "reason": reason, "ejection_s": round(ejection_s, 3)}
        case MemberReturned(group=group, member=member):
            return "member_returned", {"group": group, "member": member}
        case TargetEjected(upstream=upstream, target=target, reason=reason, ejection_s=ejection_s):
            where = {"upstream": upstream, "target": target}
            return "target_ejected", {**where, "reason": reason, "ejection_s": round(ejection_s, 3)}
        case TargetReturned(upstream=upstream, target=target):
            return "target_returned", {"upstream": upstream, "target": target}
        case ProtocolUnanswered(upstream=upstream, protocol=protocol, conversations=conversations):
            return "protocol_unanswered", {"upstream": upstream, "protocol": protocol, "conversations": conversations}
        case SessionFailed(code=code, message=message, detail=detail, request_id=request_id):
            named = {"request_id": request_id} if request_id else {}
            return "session_failed", {"code": code, "reason": message, "detail": detail, **named}
        case SessionEnded(outcome=outcome, request_id=request_id, duration_s=duration_s):
            return "session_ended", {
                "outcome": outcome,
                "request_id": request_id,
                "duration_s": round(duration_s, 6),
            }
        case RequestRefused(code=code, status=status, peer=peer, request_id=request_id):
            return "request_refused", {"code": code, "status": status, "peer": peer, "request_id": request_id}
        case AccessLogLost(records=records, reason=reason):
            return "access_log_lost", {"records": records, "reason": reason}
        case _:
            assert_never(event)


def _line(name: str, fields: Fields) -> str:
    return " ".join([name, *(f"{key}={_quoted(value)}" for key, value in fields.items())])


def _quoted(value: str | int | float) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)

"""What concerns the tunnel itself, to and from protobuf: registration, configuration, liveness, departure.

Registration and configuration are also messages of the unary methods, so these encoders fill in a message, whether it
stands in an envelope or alone.
"""

from __future__ import annotations

from typing import Final

from tunnel.adapters.grpc._generated import tunnel_pb2 as pb
from tunnel.adapters.grpc.codec_session import Decoder, Encoder
from tunnel.domain.claims.claim import Claim
from tunnel.domain.envelopes import (
    Close,
    ConfigApplied,
    ConfigRejected,
    ConfigSyncRequest,
    ConfigSyncResponse,
    GoAway,
    Ping,
    Pong,
    Register,
    RegisterResponse,
    ResumeRequest,
)
from tunnel.domain.limits import Limits

__all__ = [
    "TUNNEL_DECODERS",
    "TUNNEL_ENCODERS",
    "decode_config_sync_request",
    "decode_config_sync_response",
    "decode_register",
    "decode_register_response",
    "encode_config_sync_request",
    "encode_config_sync_response",
    "encode_register",
    "encode_register_response",
]


def _encode_limits(message: pb.Limits, limits: Limits) -> None:
    for field in Limits.__struct_fields__:
        setattr(message, field, getattr(limits, field))


def _decode_limits(message: pb.Limits) -> Limits:
    # The message's class names its fields as the struct does; what is absent keeps the default.
    return Limits(**{field.name: value for field, value in message.ListFields()})


def encode_register(message: pb.Register, payload: Register) -> None:
    message.versions.extend(payload.versions)
    message.client_id = payload.client_id
    message.group_id = payload.group_id
    message.instance_id = payload.instance_id
    message.credential = payload.credential
    message.capabilities.extend(payload.capabilities)
    message.config_hash = payload.config_hash
    if payload.resume is not None:
        message.resume.SetInParent()
        message.resume.tunnel_id = payload.resume.tunnel_id
        message.resume.resume_token = payload.resume.resume_token
        message.resume.attempt = payload.resume.attempt
        message.resume.received = payload.resume.received
        message.resume.only = payload.resume.only
    _encode_limits(message.limits, payload.limits)
    _encode_claim(message, payload.claim)


def _encode_claim(message: pb.Register | pb.RegisterResponse, claim: Claim | None) -> None:
    if claim is not None:
        message.claim.SetInParent()
        message.claim.host = claim.host
        message.claim.path_prefix = claim.path_prefix


def _decode_claim(message: pb.Register | pb.RegisterResponse) -> Claim | None:
    return Claim(message.claim.host, message.claim.path_prefix) if message.HasField("claim") else None


def decode_register(message: pb.Register) -> Register:
    return Register(
        tuple(message.versions),
        message.client_id,
        message.group_id,
        message.instance_id,
        message.credential,
        tuple(message.capabilities),
        message.config_hash,
        _decode_resume(message.resume) if message.HasField("resume") else None,
        _decode_limits(message.limits),
        _decode_claim(message),
    )


def _decode_resume(message: pb.ResumeRequest) -> ResumeRequest:
    return ResumeRequest(message.tunnel_id, message.resume_token, message.attempt, message.received, message.only)


def encode_register_response(message: pb.RegisterResponse, payload: RegisterResponse) -> None:
    message.tunnel_id = payload.tunnel_id
    message.resume_token = payload.resume_token
    message.server_id = payload.server_id
    message.version = payload.version
    message.resumed = payload.resumed
    message.received = payload.received
    message.capabilities.extend(payload.capabilities)
    _encode_limits(message.limits, payload.limits)
    message.config_hash = payload.config_hash
    _encode_claim(message, payload.claim)
    message.public_url = payload.public_url


def decode_register_response(message: pb.RegisterResponse) -> RegisterResponse:
    return RegisterResponse(
        message.tunnel_id,
        message.resume_token,
        message.server_id,
        message.version,
        message.resumed,
        message.received,
        tuple(message.capabilities),
        _decode_limits(message.limits),
        message.config_hash,
        _decode_claim(message),
        message.public_url,
    )


def encode_config_sync_request(message: pb.ConfigSyncRequest, request: ConfigSyncRequest) -> None:
    message.client_id = request.client_id
    message.group_id = request.group_id
    message.credential = request.credential


def decode_config_sync_request(message: pb.ConfigSyncRequest) -> ConfigSyncRequest:
    return ConfigSyncRequest(message.client_id, message.group_id, message.credential)


def encode_config_sync_response(message: pb.ConfigSyncResponse, payload: ConfigSyncResponse) -> None:
    message.version = payload.version
    message.hash = payload.hash
    message.snapshot = payload.snapshot
    message.more = payload.more


def decode_config_sync_response(message: pb.ConfigSyncResponse) -> ConfigSyncResponse:
    return ConfigSyncResponse(message.version, message.hash, message.snapshot, message.more)


def _encode_register(envelope: pb.TunnelEnvelope, payload: Register) -> None:
    envelope.register.SetInParent()
    encode_register(envelope.register, payload)


def _encode_register_response(envelope: pb.TunnelEnvelope, payload: RegisterResponse) -> None:
    envelope.register_response.SetInParent()
    encode_register_response(envelope.register_response, payload)


def _encode_config_sync_response(envelope: pb.TunnelEnvelope, payload: ConfigSyncResponse) -> None:
    envelope.config_sync_response.SetInParent()
    encode_config_sync_response(envelope.config_sync_response, payload)


def _encode_config_applied(envelope: pb.TunnelEnvelope, payload: ConfigApplied) -> None:
    message = envelope.config_applied
    message.SetInParent()
    message.version = payload.version
    message.hash = payload.hash


def _decode_config_applied(envelope: pb.TunnelEnvelope) -> ConfigApplied:
    return ConfigApplied(envelope.config_applied.version, envelope.config_applied.hash)


def _encode_config_rejected(envelope: pb.TunnelEnvelope, payload: ConfigRejected) -> None:
    message = envelope.config_rejected
    message.SetInParent()
    message.version = payload.version
    message.hash = payload.hash
    message.why = payload.why


def _decode_config_rejected(envelope: pb.TunnelEnvelope) -> ConfigRejected:
    message = envelope.config_rejected
    return ConfigRejected(message.version, message.hash, message.why)


def _encode_ping(envelope: pb.TunnelEnvelope, payload: Ping) -> None:
    envelope.ping.SetInParent()
    envelope.ping.nonce = payload.nonce


def _encode_pong(envelope: pb.TunnelEnvelope, payload: Pong) -> None:
    envelope.pong.SetInParent()
    envelope.pong.nonce = payload.nonce


def _encode_go_away(envelope: pb.TunnelEnvelope, payload: GoAway) -> None:
    message = envelope.go_away
    message.SetInParent()
    message.last_session_id = payload.last_session_id
    message.code = payload.code


def _decode_go_away(envelope: pb.TunnelEnvelope) -> GoAway:
    return GoAway(envelope.go_away.last_session_id, envelope.go_away.code)


def _encode_close(envelope: pb.TunnelEnvelope, payload: Close) -> None:
    message = envelope.close
    message.SetInParent()
    message.code = payload.code
    message.message = payload.message


def _decode_close(envelope: pb.TunnelEnvelope) -> Close:
    return Close(envelope.close.code, envelope.close.message)


TUNNEL_ENCODERS: Final[dict[type, Encoder]] = {
    Register: _encode_register,
    RegisterResponse: _encode_register_response,
    ConfigSyncResponse: _encode_config_sync_response,
    ConfigApplied: _encode_config_applied,
    ConfigRejected: _encode_config_rejected,
    Ping: _encode_ping,
    Pong: _encode_pong,
    GoAway: _encode_go_away,
    Close: _encode_close,
}
"""By payload class."""

TUNNEL_DECODERS: Final[dict[str, Decoder]] = {
    "register": lambda envelope: decode_register(envelope.register),
    "register_response": lambda envelope: decode_register_response(envelope.register_response),
    "config_sync_response": lambda envelope: decode_config_sync_response(envelope.config_sync_response),
    "config_applied": _decode_config_applied,
    "config_rejected": _decode_config_rejected,
    "ping": lambda envelope: Ping(envelope.ping.nonce),
    "pong": lambda envelope: Pong(envelope.pong.nonce),
    "go_away": _decode_go_away,
    "close": _decode_close,
}
"""By field name in proto oneof ``TunnelEnvelope.payload``."""

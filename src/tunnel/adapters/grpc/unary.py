"""The unary methods: what a registration on a link would be told, without one."""

from __future__ import annotations

import logging
from typing import Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from tunnel.adapters.grpc._generated import tunnel_pb2 as pb
from tunnel.adapters.grpc.codec_tunnel import (
    decode_config_sync_request,
    decode_register,
    encode_config_sync_response,
    encode_register_response,
)
from tunnel.adapters.grpc.server_stream import BytesContext, peer_of
from tunnel.adapters.grpc.status import refusal_status
from tunnel.domain.errors import RegistrationRefused
from tunnel.ports.transport import LinkService

__all__ = ["answer_config_sync", "answer_register"]

_LOGGER: Final = logging.getLogger(__name__)


async def answer_register(service: LinkService, data: bytes, context: BytesContext, scheme: str) -> bytes:
    """Proto method ``TunnelService.Register``."""
    try:
        request = decode_register(pb.Register.FromString(data))
        response = await service.register(request, peer_of(context, scheme))
    except Exception as error:  # noqa: BLE001  # told apart there
        await _refuse(context, error)
    message = pb.RegisterResponse()
    encode_register_response(message, response)
    return message.SerializeToString()


async def answer_config_sync(service: LinkService, data: bytes, context: BytesContext, scheme: str) -> bytes:
    """Proto method ``TunnelService.ConfigSync``."""
    try:
        request = decode_config_sync_request(pb.ConfigSyncRequest.FromString(data))
        response = await service.config_sync(request, peer_of(context, scheme))
    except Exception as error:  # noqa: BLE001  # told apart there
        await _refuse(context, error)
    message = pb.ConfigSyncResponse()
    encode_config_sync_response(message, response)
    return message.SerializeToString()


async def _refuse(context: BytesContext, error: Exception) -> NoReturn:
    match error:
        case RegistrationRefused():
            await context.abort(refusal_status(error.code), str(error))
        case DecodeError():
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be decoded")
        case _:
            # gRPC would send the error's text, which is nobody's business.
            _LOGGER.error("answering a call failed", exc_info=error)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")

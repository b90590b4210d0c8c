"""What a visitor is answered whose conversation was refused."""

from __future__ import annotations

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, HttpResponse, Opening
from tunnel.domain.error_statuses import GRPC_STATUS
from tunnel.domain.problem import problem
from tunnel.domain.refusal import Refusal
from tunnel.domain.request_ids import request_id_of

__all__ = ["refused_answer"]


def refused_answer(head: Opening, refusal: Refusal) -> HttpResponse | GrpcFrame | None:
    """The whole answer to a conversation that ``refusal`` keeps out; None where there is none but a reset, for TCP.

    Args:
        head: The opening.
        refusal: Why, and with which status and fields.

    Returns:
        A problem document, also for the handshake of a WebSocket; or a status of gRPC.

    Source: RFC 9457; docs/reference/protocol.md, error codes.
    """
    match head:
        case HttpRequest():
            return problem(refusal, request_id=request_id_of(head).encode())
        case GrpcFrame():
            return GrpcFrame(
                GrpcFrameType.TRAILER,
                status=GRPC_STATUS[refusal.code],
                message=refusal.message or refusal.code.value.replace("_", " "),
            )
        case _:
            return None

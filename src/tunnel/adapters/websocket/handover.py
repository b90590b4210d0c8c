"""Connections that another listener accepted, whose handshake it has read already."""

from __future__ import annotations

import asyncio
import logging

from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from tunnel.adapters.websocket.connection import Flow, connection_options

__all__ = ["switch"]


def switch(transport: asyncio.Transport, *, handshake: bytes, early: bytes, logger: logging.Logger) -> Flow | None:
    """Answer ``handshake``, and make what follows on ``transport`` a connection of links, which is its protocol then.

    From here on it costs what one costs that came in on a listener for links: the same code serves it.

    Args:
        transport: Is not reading.
        handshake: The request, whole.
        early: What came after it.
        logger: The library's.

    Returns:
        The connection; None when the handshake was refused, which ends it.
    """
    options = connection_options()
    protocol = ServerProtocol(subprotocols=options["subprotocols"], max_size=options["max_size"], logger=logger)
    protocol.receive_data(handshake)
    for event in protocol.events_received():
        assert isinstance(event, Request)
        protocol.send_response(protocol.accept(event))
    transport.write(b"".join(protocol.data_to_send()))
    if protocol.state is not State.OPEN:
        transport.close()
        return None
    connection = Flow(
        protocol,
        ping_interval=options["ping_interval"],
        close_timeout=options["close_timeout"],
        max_queue=options["max_queue"],
        write_limit=options["write_limit"],
    )
    transport.set_protocol(connection)
    connection.connection_made(transport)
    transport.resume_reading()  # before it is given anything: it may be too much at once
    if early:
        connection.data_received(early)
    return connection

"""Bytes in bulk over one TCP connection, in one direction at a time."""

from __future__ import annotations

import socket
from typing import Final

from bench.accounting import Meter
from bench.echo_upstream import ARRIVED, DOWN, SIZE_BYTES, UP
from bench.lanes import Lane
from bench.processes import Failed
from bench.samples import Result
from bench.upstream_server import MIB

__all__ = ["run_bulk"]

_TIMEOUT_S: Final = 30.0
_MS_PER_S: Final = 1000


def run_bulk(lane: Lane, meter: Meter, *, up: bool, bulk_mib: int, seconds: float) -> Result:
    """Move ``bulk_mib`` once, whatever ``seconds``; what goes up has arrived when the upstream says so. Counts MiB.

    Raises:
        Failed: It breaks off, or stands still.
    """
    host, _, port = lane.entrances["bytes"].address.rpartition(":")
    order = (UP if up else DOWN) + (bulk_mib * MIB).to_bytes(SIZE_BYTES, "big")
    try:
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as connection, meter:
            connection.sendall(order)
            if up:
                _send(connection, bulk_mib)
            else:
                _receive(connection, bulk_mib * MIB)
    except OSError as exc:
        raise Failed(f"{bulk_mib} MiB {'up' if up else 'down'}: {exc!r}") from exc
    took_ms = meter.elapsed_s * _MS_PER_S
    return Result(done=bulk_mib, elapsed_s=meter.elapsed_s, p50_ms=took_ms, p99_ms=took_ms)


def _send(connection: socket.socket, mib: int) -> None:
    piece = bytes(MIB)
    for _ in range(mib):
        connection.sendall(piece)
    if connection.recv(1) != ARRIVED:
        raise Failed("the connection was closed before all had arrived")


def _receive(connection: socket.socket, size_bytes: int) -> None:
    buffer, left = bytearray(MIB), size_bytes
    while left:
        got = connection.recv_into(buffer)
        if not got:
            raise Failed(f"the connection was closed {left} bytes early")
        left -= got

"""gRPC calls by many callers at once, made by ``bench.grpc_caller``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import IO, Final

from bench.accounting import Meter
from bench.lanes import Lane
from bench.processes import Failed
from bench.samples import Result
from bench.upstreams import module_environment

__all__ = ["MESSAGE", "STREAM", "STREAM_MESSAGES", "UNARY", "run_calls"]

UNARY: Final = "/bench.Echo/Unary"
STREAM: Final = "/bench.Echo/Stream"
MESSAGE: Final = b"0123456789" * 10
STREAM_MESSAGES: Final = 1000
"""Of one call of ``STREAM``."""

_PATIENCE_S: Final = 30


def run_calls(lane: Lane, meter: Meter, *, method: str, callers: int, seconds: float) -> Result:
    """Call ``method`` for ``seconds``. Counts answers, or messages of streams.

    Args:
        lane: Leads to the upstream.
        meter: Measures while calls are made.
        method: Of ``bench.grpc_upstream``.
        callers: How many call at the same time; each makes the next call when the last is over.
        seconds: Calls under way after that are finished.

    Raises:
        Failed: The first call is not answered, or the caller does not end.
    """
    address = lane.entrances["calls"].address
    caller = subprocess.Popen(
        [sys.executable, "-m", "bench.grpc_caller", address, method, str(callers), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **module_environment()},
        text=True,
    )
    with caller:
        try:
            _wait_until_ready(caller.stdout)
            with meter:
                output, _ = caller.communicate("go\n", timeout=seconds + _PATIENCE_S)
            return Result(**json.loads(output))
        except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
            raise Failed(f"calls to {address}: {exc!r}") from exc
        finally:
            caller.kill()


def _wait_until_ready(output: IO[str] | None) -> None:
    assert output is not None
    if output.readline() != "ready\n":
        raise Failed("the first call was not answered")

"""Running out of file descriptors, for as long as a test wants to."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

__all__ = ["no_descriptors_left"]


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Nothing more can be opened by this process, or accepted."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

"""One line for each conversation, in a file or on standard error, written by a thread of its own."""

from __future__ import annotations

from tunnel.adapters.access_log.access_log import ThreadedAccessLog

__all__ = ["ThreadedAccessLog"]

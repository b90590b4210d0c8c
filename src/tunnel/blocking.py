"""Blocking twins of ``tunnel.Server`` and ``tunnel.Client``, for scripts and notebooks.

::

    from tunnel import blocking

    with blocking.Client(settings) as client:
        client.ready(timeout_s=10)
"""

from __future__ import annotations

from tunnel.app.blocking import Blocking, Client, Server

__all__ = ["Blocking", "Client", "Server"]

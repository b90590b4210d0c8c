"""Blocking twins of ``tunnel.Server``, ``tunnel.Client`` and ``tunnel.expose``, for scripts and notebooks.

::

    from tunnel import blocking

    with blocking.Client(settings) as client:
        client.ready(timeout_s=10)

    with blocking.expose(app, to="grpc://edge:7000", token=...) as exposed:
        print(exposed.url)
"""

from __future__ import annotations

from tunnel.app.blocking import Blocking, Client, Server
from tunnel.app.blocking_exposure import Exposed, expose

__all__ = ["Blocking", "Client", "Exposed", "Server", "expose"]

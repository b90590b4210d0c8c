"""Which adapter fills which role. The only package that knows dependency_injector.

``server`` and ``client`` name the parts of each side, one by one, though most are the same: what is overridden in a
class must not reach the other. The modules beside them know where to find the adapters of a role. Those are imported
when they are first asked for: a server that listens on WebSocket alone loads no gRPC. Replace a part by overriding its
provider, for example::

    container = ServerContainer()
    container.clock.override(providers.Object(MyClock()))
    server = Server(settings, container=container)

The aggregates ``transports`` and ``targets`` are keyed by URL scheme, ``listeners`` and ``ingresses`` by the name of
their configuration table; one of their parts is replaced by ``container.transports.providers["ws"].override(...)``,
``set_providers`` takes all parts that there shall be, so others are added by
``container.transports.set_providers(**container.transports.providers, own=...)``. Packages add to ``transports`` by
an entry point of the group ``tunnel.transports``, whose name is the scheme and whose value is a callable without
arguments that returns a ``Transport``. Those of ``grpcs`` and ``wss`` are called with the client's
``ClientTlsSettings``, those of these and of ``grpc`` and ``ws`` with ``proxies``, by URLs of servers, when there is
one to go through. Listeners, ingresses and admin ports that have TLS are called with their ``ListenerTls`` as
``tls``, and HTTP ingresses that let links in with ``links``. ``targets`` of ``asgi``, ``wsgi`` and ``app`` are called
with the ``Applications`` that run in the process.

The aggregate ``middleware`` is keyed by kind, and each of its parts returns a ``MiddlewareKind``. Packages add to it by
an entry point of the group ``tunnel.middleware``, whose name is the kind and whose value is the class.

What a client's conversations are given to first is ``front``, made of the target that chooses among its upstreams; by
default it is that target itself. Whoever wants to watch puts ``tunnel.app.served_target`` there.
"""

from tunnel.app.container.client import ClientContainer
from tunnel.app.container.server import ServerContainer

__all__ = ["ClientContainer", "ServerContainer"]

"""Applications in this process as targets: ASGI, called directly, without a socket.

A target is one of

- ``asgi:MODULE:ATTRIBUTE`` and ``wsgi:MODULE:ATTRIBUTE``, imported; ``...:FACTORY()`` calls what it finds there;
- ``app:NAME``, an object that the client or the server was given in code, of ASGI or WSGI, which is found out::

    settings = ClientSettings(..., upstreams={"app": UpstreamSettings(targets=("app:shop",))})
    async with Client(settings, applications={"shop": application}) as client: ...

``tunnel.app.applications`` starts them, each object once for each client and each server, and ends them; targets are
made of those that run, by the container. Written with anyio, so it runs on trio, in virtual time too.

Source: ASGI specification 3.0, HTTP & WebSocket 2.5, Lifespan 2.0.
"""

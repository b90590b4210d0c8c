"""WSGI applications as ASGI ones: each request in a thread, bodies streamed both ways. Source: PEP 3333."""

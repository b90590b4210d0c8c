"""HTTP/1.1 on the wire: the ASGI ingress and the upstream on httptools. Importing this package loads neither."""

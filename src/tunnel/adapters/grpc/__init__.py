"""The gRPC transport: a link is one ``Proxy`` stream of proto service ``TunnelService``."""

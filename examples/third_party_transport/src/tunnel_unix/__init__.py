"""Links of hextunnel over Unix sockets: ``ux:///path/of/socket``."""

from tunnel_unix.link import UnixLink
from tunnel_unix.listener import UnixListener
from tunnel_unix.transport import UnixTransport

__all__ = ["UnixLink", "UnixListener", "UnixTransport"]

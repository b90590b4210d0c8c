"""What this process holds, as its event loop and its system tell."""

from tunnel.adapters.process.load import process_load

__all__ = ["process_load"]

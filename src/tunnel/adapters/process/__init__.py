"""What this process holds, as its event loop and its system tell, and where it is."""

from tunnel.adapters.process.load import process_load
from tunnel.adapters.process.local_address import is_local_address

__all__ = ["is_local_address", "process_load"]

"""What adapters that listen have in common, on asyncio and uvloop. Knows no adapter and nothing above sockets."""

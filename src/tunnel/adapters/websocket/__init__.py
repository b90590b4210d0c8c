"""The WebSocket transport: one binary message per frame, on the ``websockets`` library. asyncio only."""

"""The in-memory transport: links inside one process, on any event loop that anyio knows, virtual time included."""

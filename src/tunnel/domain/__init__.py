"""The pure core: no I/O, no event loop, no clock and no randomness of its own."""

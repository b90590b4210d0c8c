"""The sans-I/O multiplexer: sessions, windows, numbered frames, acknowledgement, retention, and what goes next."""

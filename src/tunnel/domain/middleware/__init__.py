"""What the built-in middleware decides, without I/O: values in, values out, and the time as an argument."""

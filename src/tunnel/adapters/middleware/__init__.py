"""Built-in middleware, one kind for each module."""

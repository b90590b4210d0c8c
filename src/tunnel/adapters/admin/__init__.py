"""The admin port: health, metrics and what is connected, over HTTP/1.1."""

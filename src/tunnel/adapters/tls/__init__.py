"""TLS by Python's ``ssl``: reading certificates and keys, and contexts made of them."""

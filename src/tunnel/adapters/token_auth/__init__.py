"""Authentication by tokens of which only hashes are configured."""

from tunnel.adapters.token_auth.authenticator import TokenAuthenticator

__all__ = ["TokenAuthenticator"]

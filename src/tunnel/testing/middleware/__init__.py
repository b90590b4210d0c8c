"""The contract of middleware. In a dozen lines::

    class GreetingHarness(MiddlewareHarness):
        kind = Greeting
        options = {"word": "hello"}
        wrong = (({"word": ""}, "word"),)

        def passed(self, head: Opening) -> Opening:
            return with_fields(head, (*opening_fields(head), b"x-greeting", b"hello"))

    class TestGreeting(MiddlewareContract):
        harness = GreetingHarness

A check holds conversations of every protocol that the kind has a meaning for, with something behind the middleware that
echoes, floods, listens to nothing or breaks off. Conversations of other protocols never reach middleware, which is the
business of whoever runs it.
"""

from tunnel.testing.middleware.contract import MiddlewareContract
from tunnel.testing.middleware.harness import MiddlewareHarness
from tunnel.testing.middleware.rules import MIDDLEWARE

__all__ = ["MIDDLEWARE", "MiddlewareContract", "MiddlewareHarness"]

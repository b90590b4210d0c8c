"""What middleware is made of, and what it is for."""

from __future__ import annotations

import msgspec

from tunnel.domain.errors import ConfigurationError
from tunnel.testing.middleware import rules
from tunnel.testing.middleware.harness import MiddlewareHarness
from tunnel.testing.middleware.rules import MIDDLEWARE
from tunnel.testing.target.dialects import DIALECTS

__all__: list[str] = []


@MIDDLEWARE.shows(rules.SETTINGS)
async def wrong_options_are_named(harness: MiddlewareHarness) -> None:
    harness.make()
    assert harness.wrong or not _has_options(harness), "it has options, and none is said to be wrong in any way"
    for options, key in harness.wrong:
        try:
            harness.make(options)
        except ConfigurationError as error:
            assert error.key_path == key, f"{options} are said to be wrong in {error.key_path!r} instead of {key!r}"
            assert error.expected, f"of {options} it does not say what was expected"
        else:
            raise AssertionError(f"{options} are taken")


def _has_options(harness: MiddlewareHarness) -> bool:
    shape = getattr(type(harness).kind, "Options", None)
    return shape is not None and bool(msgspec.structs.fields(shape))


@MIDDLEWARE.shows(rules.PROTOCOLS)
async def protocols_are_those_there_are(harness: MiddlewareHarness) -> None:
    protocols = getattr(type(harness).kind, "protocols", frozenset(DIALECTS))
    assert isinstance(protocols, frozenset), f"{protocols!r} is no frozenset"
    assert protocols, "it has a meaning for nothing"
    assert protocols <= set(DIALECTS), f"there is no {', '.join(sorted(protocols - set(DIALECTS)))}"

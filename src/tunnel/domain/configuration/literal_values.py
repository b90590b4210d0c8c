"""Values that look as if something were made of them, and are taken as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tunnel.domain.configuration.client import ClientSettings
from tunnel.domain.configuration.mistakes import key_path, shown
from tunnel.domain.configuration.server import ServerSettings
from tunnel.domain.rules.rule import Rule

__all__ = ["misread_rules", "misread_tokens"]

_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_STANDARD_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})


def misread_rules(settings: ServerSettings) -> Iterator[tuple[str, str]]:
    """Key paths of rules whose paths or methods most likely match nothing, and what about them."""
    yield from _misread(settings.rules, "rules")
    for name, group in settings.groups.items():
        yield from _misread(group.rules, key_path("groups", name, "rules"))
    yield from _misread(settings.forward.rules, "forward.rules")


def misread_tokens(settings: ClientSettings) -> Iterator[tuple[str, str]]:
    """Key paths of a client's token keys that name an environment variable as shells do, and what about them."""
    if settings.token is not None and _VARIABLE.fullmatch(settings.token.reveal()):
        yield "token", "nothing is filled in here; token_env names the environment variable that holds the token"
    if settings.token_env is not None and (found := _VARIABLE.fullmatch(settings.token_env)):
        yield "token_env", f"the variable is {shown(found[1])}, without $"


def _misread(rules: Iterable[Rule], path: str) -> Iterator[tuple[str, str]]:
    for index, rule in enumerate(rules):
        for key, value in (("path", rule.path), ("path_prefix", rule.path_prefix)):
            if value is not None and value.endswith("*"):
                prefix = shown(value.rstrip("*").rstrip("/") or "/")
                yield f"{path}[{index}].{key}", f'"*" stands for itself; path_prefix = {prefix} has all below it'
        for number, method in enumerate(rule.methods or ()):
            if method not in _STANDARD_METHODS and method.upper() in _STANDARD_METHODS:
                where = f"{path}[{index}].methods[{number}]"
                yield where, f"methods compare with case; the usual one is {shown(method.upper())}"

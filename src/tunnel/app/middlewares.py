"""Middleware by name, as one configuration has it: made of its tables, or taken over from the configuration before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

import anyio
import msgspec

from tunnel.app.middleware_layer import MiddlewareChain, MiddlewareLayer
from tunnel.domain.configuration import MiddlewareSettings, ServerSettings
from tunnel.domain.configuration.decoding import decode_table
from tunnel.domain.configuration.middleware import in_use
from tunnel.domain.configuration.mistakes import key_path, mistake, unknown_name
from tunnel.domain.configuration.planned import PlannedKeys
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.domain.kinds import PROTOCOLS
from tunnel.domain.rules.rule import Rule
from tunnel.ports.middleware import Middleware, MiddlewareKind

__all__ = ["KindProvider", "Middlewares", "check_kinds"]

_logger: Final = logging.getLogger("tunnel.middleware")

_CLOSING_S: Final = 5.0
"""For which a middleware may keep a server or a client from ending."""

KindProvider = Any
"""The container's aggregate ``middleware``: called with the name of a kind it returns that; ``providers`` has them."""

_Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


class Middlewares:
    """The middleware that some rules name. Of each table there is one, whatever number of rules name it.

    A table that is as it was before keeps its middleware, and so what that has counted. Held from the start: either
    ``release`` or ``aclose`` is called, once.

    Args:
        tables: By name.
        rules: Whose middleware is wanted.
        place: Key path of the rules, ``rules``.
        kinds: Makes it.
        start: Runs something in the background.
        previous: Those of the configuration before; None for none.

    Raises:
        ConfigurationError: A kind is unknown, options do not fit, or a rule is for a protocol for which its middleware
            has no meaning. Nothing is held then.
    """

    def __init__(
        self,
        tables: Mapping[str, MiddlewareSettings],
        rules: Sequence[Rule],
        *,
        place: str,
        kinds: KindProvider,
        start: _Start,
        previous: Middlewares | None = None,
    ) -> None:
        self._start = start
        self._layers: dict[str, MiddlewareLayer] = {}
        for name, settings in in_use(rules, tables).items():
            before = None if previous is None else previous._layers.get(name)
            if before is not None and before.settings == settings:
                self._layers[name] = before
            else:
                middleware, protocols = _made(name, settings, kinds)
                self._layers[name] = MiddlewareLayer(settings, middleware, protocols=protocols, close=self._retire)
        meant = {name: layer.protocols for name, layer in self._layers.items()}
        self._chains = {
            id(rule): self._chain(rule, meant, f"{place}[{index}]")
            for index, rule in enumerate(rules)
            if rule.middleware
        }
        # Rules are told apart by what they are: two may say the same.
        self._rules = tuple(rules)
        for layer in self._layers.values():
            layer.hold()

    def chain(self, rule: Rule) -> MiddlewareChain | None:
        """What the conversations of ``rule`` go through; None when it names nothing."""
        return self._chains.get(id(rule))

    def release(self) -> None:
        """Let go: what nobody else holds is closed as soon as the last conversation in it is over."""
        for layer in self._layers.values():
            layer.release()

    async def aclose(self) -> None:
        """Let go, when no conversation is under way any more, and close what nobody else holds."""
        for layer in self._layers.values():
            middleware = layer.part()
            if middleware is not None:
                await _close(middleware)

    def _chain(self, rule: Rule, protocols: Mapping[str, frozenset[str]], path: str) -> MiddlewareChain:
        _check_protocol(rule, protocols, path)
        return MiddlewareChain(tuple(self._layers[name] for name in rule.middleware or ()))

    def _retire(self, middleware: Middleware) -> None:
        if hasattr(middleware, "aclose"):
            self._start(partial(_close, middleware))


def check_kinds(settings: ServerSettings, kinds: KindProvider, *, found: Findings, unknown: bool = True) -> None:
    """Refuse options that do not fit, by making what they describe, and rules of either hop for which it is nothing.

    Args:
        settings: A server's.
        kinds: Makes it.
        found: Takes the mistakes.
        unknown: Whether kinds that are not known are refused too.
    """
    protocols: dict[str, frozenset[str]] = {}
    with found:
        for name, table in settings.middleware.items():
            with found:
                if unknown or table.use in kinds.providers:
                    protocols[name] = _made(name, table, kinds)[1]
    with found:
        _check_protocols(settings.rules, protocols, "rules", found)
    with found:
        _check_protocols(settings.forward.rules, protocols, "forward.rules", found)
    for name, group in settings.groups.items():
        with found:
            _check_protocols(group.rules, protocols, key_path("groups", name, "rules"), found)


def _check_protocols(
    rules: Sequence[Rule], protocols: Mapping[str, frozenset[str]], place: str, found: Findings
) -> None:
    for index, rule in enumerate(rules):
        with found:
            if rule.middleware:
                _check_protocol(rule, protocols, f"{place}[{index}]")


def _check_protocol(rule: Rule, protocols: Mapping[str, frozenset[str]], path: str) -> None:
    wanted = "grpc" if rule.service is not None or rule.method is not None else rule.protocol
    for index, name in enumerate(rule.middleware or ()):
        meant = protocols.get(name)
        if wanted is not None and meant is not None and wanted not in meant:
            expected = f"middleware that has a meaning for {wanted}; this one is for {', '.join(sorted(meant))} only"
            raise mistake(f"{path}.middleware[{index}]", expected, got=name)


def _made(name: str, settings: MiddlewareSettings, kinds: KindProvider) -> tuple[Middleware, frozenset[str]]:
    where = key_path("middleware", name)
    if settings.use not in kinds.providers:
        raise unknown_name(settings.use, kinds.providers, f"{where}.use", kind="kind of middleware")
    try:
        kind: MiddlewareKind = kinds(settings.use)
        options = getattr(kind, "Options", None)
        if options is None:
            for key in settings.options:
                raise ConfigurationError("unknown key; this kind has no options", key_path=key)
            middleware = kind()  # type: ignore[call-arg]  # as declared by having no options
        else:
            middleware = kind(_options(settings.options, options, ("middleware", name)))
    except ConfigurationError as error:
        raise ConfigurationError.of([_below(each, where) for each in error.mistakes]) from error
    except Exception as error:
        # Anybody's code. What it cannot make must neither end a client nor a reload.
        _logger.exception("%s could not be made", where)
        raise ConfigurationError(f"could not be made: {type(error).__name__}", key_path=where) from error
    return middleware, frozenset(getattr(kind, "protocols", PROTOCOLS))


def _below(error: ConfigurationError, where: str) -> ConfigurationError:
    """A mistake of a kind's, which knows its options only, where it stands in the file."""
    if error.key_path.startswith(where):
        return error
    return ConfigurationError(error.expected, key_path=f"{where}.{error.key_path}" if error.key_path else where)


def _options(table: Mapping[str, object], kind: type[msgspec.Struct], at: tuple[str, ...]) -> msgspec.Struct:
    return decode_table(_lists(table), kind, PlannedKeys(), at=at)


def _lists(value: object) -> object:
    """``value`` as a file would hold it: settings built in code have tuples."""
    match value:
        case Mapping():
            return {key: _lists(each) for key, each in value.items()}
        case tuple() | list():
            return [_lists(each) for each in value]
        case _:
            return value


async def _close(middleware: Middleware) -> None:
    aclose: Callable[[], Coroutine[Any, Any, None]] | None = getattr(middleware, "aclose", None)
    if aclose is None:
        return
    try:
        with anyio.move_on_after(_CLOSING_S) as scope:
            await aclose()
        if scope.cancelled_caught:
            _logger.warning("middleware was not closed within %g s", _CLOSING_S)
    except Exception:
        # Anybody's code as well, and of no consequence to conversations.
        _logger.exception("middleware could not be closed")

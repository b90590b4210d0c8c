"""The object that a target names: imported, or given in code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from tunnel.domain.configuration import parse_target
from tunnel.domain.configuration.mistakes import alternatives, suggestion
from tunnel.domain.errors import ConfigurationError

__all__ = ["ApplicationObject", "Interface", "import_object", "interface_of", "load_object"]

Interface: TypeAlias = Literal["asgi", "wsgi"]

_ASGI_PARAMETERS: Final = 3
_WSGI_PARAMETERS: Final = 2


class ApplicationObject(NamedTuple):
    """An application as Python has it.

    Args:
        called: The application itself.
        interface: How it is called.
        name: For log lines, ``shop.main:app``.
    """

    called: Callable[..., Any]
    interface: Interface
    name: str


def load_object(target: str, registered: Mapping[str, object], path: str) -> ApplicationObject:
    """Import what ``asgi:`` and ``wsgi:`` targets name, and look up what ``app:`` targets do.

    Importing runs the module, in this thread: many applications make event loops, signal handlers and connections
    while they are imported, and expect the main one. A module is imported once, whatever is reloaded.

    Args:
        target: As configured.
        registered: What was given in code, by name.
        path: Key path for the error.

    Raises:
        ConfigurationError: There is no such module, attribute or name, importing failed, or this is no application
            of that interface.
    """
    url = parse_target(target, path)
    found = (
        _registered(url.application, registered, path) if url.scheme == "app" else import_object(url.application, path)
    )
    interface = interface_of(found)
    if interface is None or not callable(found):
        kind = "an application of ASGI or WSGI" if url.scheme == "app" else f"an application of {url.scheme.upper()}"
        raise ConfigurationError(f"expected {kind}, got {_described(found)}", key_path=path)
    if url.scheme not in ("app", interface):
        raise ConfigurationError(f'this is an application of {interface.upper()}: "{interface}:..."', key_path=path)
    return ApplicationObject(found, interface, url.application)


def interface_of(application: object) -> Interface | None:
    """How an application wants to be called; None when it is called in neither way.

    What is a coroutine function, or takes three arguments by position, is called as ASGI 3 says; what takes two, as
    WSGI says. A class is neither: whoever has one makes the application with it, or names it as a factory.
    """
    if inspect.isclass(application) or not callable(application):
        return None
    if inspect.iscoroutinefunction(application) or inspect.iscoroutinefunction(type(application).__call__):
        return "asgi"
    try:
        parameters = inspect.signature(application).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    required = sum(each.default is each.empty for each in positional)
    if required <= _ASGI_PARAMETERS <= len(positional):
        return "asgi"
    if required <= _WSGI_PARAMETERS <= len(positional):
        return "wsgi"
    return None


def _registered(name: str, registered: Mapping[str, object], path: str) -> object:
    if name not in registered:
        known = f"expected {alternatives(sorted(registered))}" if registered else "none was given in code"
        raise ConfigurationError(f'unknown application "{name}"; {known}{suggestion(name, registered)}', key_path=path)
    return registered[name]


def import_object(location: str, path: str) -> object:
    """What ``MODULE:ATTRIBUTE`` names, or ``MODULE:FACTORY()`` returns.

    Raises:
        ConfigurationError: There is no such thing, or importing or calling it failed.
    """
    module_name, _, attribute = location.partition(":")
    factory = attribute.endswith("()")
    try:
        found: Any = import_module(module_name)
    except ImportError as exc:
        missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
        if missing is not None and (missing == module_name or module_name.startswith(f"{missing}.")):
            raise ConfigurationError(f'there is no module "{module_name}"', key_path=path) from exc
        raise _failed(f"importing {module_name}", exc, path) from exc
    except Exception as exc:
        raise _failed(f"importing {module_name}", exc, path) from exc
    for name in attribute.removesuffix("()").split("."):
        try:
            found = getattr(found, name)
        except AttributeError as exc:
            raise ConfigurationError(f'the module "{module_name}" has no "{attribute}"', key_path=path) from exc
    if not factory:
        return found
    try:
        return found()
    except Exception as exc:
        raise _failed(f"calling {location}", exc, path) from exc


def _failed(what: str, exc: Exception, path: str) -> ConfigurationError:
    return ConfigurationError(f"{what} failed: {type(exc).__name__}: {exc}", key_path=path)


def _described(found: object) -> str:
    if inspect.isclass(found):
        return f"the class {found.__name__}; a factory is called with ()"
    if callable(found):
        return f"a {type(found).__name__} that is called otherwise; a factory is called with ()"
    return f"a {type(found).__name__}"

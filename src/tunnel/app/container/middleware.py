"""Middleware that rules may name, by kind."""

from __future__ import annotations

from importlib.metadata import entry_points

from dependency_injector import providers

from tunnel.ports.clock import Clock
from tunnel.ports.middleware import MiddlewareKind

__all__ = ["middleware_by_kind"]


def middleware_by_kind(clock: providers.Provider[Clock]) -> dict[str, providers.Provider[MiddlewareKind]]:
    """What returns a kind. Those that come with this package go before others of their names."""
    installed = {each.name: providers.Callable(each.load) for each in entry_points(group="tunnel.middleware")}
    return {
        **installed,
        "headers": providers.Callable(_headers),
        "strip_prefix": providers.Callable(_strip_prefix),
        "rewrite": providers.Callable(_rewrite),
        "redirect": providers.Callable(_redirect),
        "request_id": providers.Callable(_request_id),
        "ip_filter": providers.Callable(_ip_filter),
        "basic_auth": providers.Callable(_basic_auth),
        "rate_limit": providers.Callable(_rate_limit, clock=clock),
        "compression": providers.Callable(_compression),
        "circuit_breaker": providers.Callable(_circuit_breaker, clock=clock),
    }


def _headers() -> MiddlewareKind:
    from tunnel.adapters.middleware.headers import HeadersMiddleware

    return HeadersMiddleware


def _strip_prefix() -> MiddlewareKind:
    from tunnel.adapters.middleware.strip_prefix import StripPrefixMiddleware

    return StripPrefixMiddleware


def _rewrite() -> MiddlewareKind:
    from tunnel.adapters.middleware.rewrite import RewriteMiddleware

    return RewriteMiddleware


def _redirect() -> MiddlewareKind:
    from tunnel.adapters.middleware.redirect import RedirectMiddleware

    return RedirectMiddleware


def _request_id() -> MiddlewareKind:
    from tunnel.adapters.middleware.request_id import RequestIdMiddleware

    return RequestIdMiddleware


def _ip_filter() -> MiddlewareKind:
    from tunnel.adapters.middleware.ip_filter import IpFilterMiddleware

    return IpFilterMiddleware


def _basic_auth() -> MiddlewareKind:
    from tunnel.adapters.middleware.basic_auth import BasicAuthMiddleware

    return BasicAuthMiddleware


def _rate_limit(clock: Clock) -> MiddlewareKind:
    from tunnel.adapters.middleware.rate_limit import RateLimitMiddleware as Kind
    from tunnel.adapters.middleware.timed_kind import TimedKind

    return TimedKind(Kind, options=Kind.Options, protocols=Kind.protocols, clock=clock)


def _compression() -> MiddlewareKind:
    from tunnel.adapters.middleware.compression import CompressionMiddleware

    return CompressionMiddleware


def _circuit_breaker(clock: Clock) -> MiddlewareKind:
    from tunnel.adapters.middleware.circuit_breaker import CircuitBreakerMiddleware as Kind
    from tunnel.adapters.middleware.timed_kind import TimedKind

    return TimedKind(Kind, options=Kind.Options, protocols=Kind.protocols, clock=clock)

"""All built-in kinds of middleware under their contract, and those of the example and of tests."""

from __future__ import annotations

import base64
import sys
import tempfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from msgspec.structs import replace
from support.signing import Signing

from tunnel.adapters.clock import AnyioClock
from tunnel.adapters.middleware.basic_auth import BasicAuthMiddleware
from tunnel.adapters.middleware.circuit_breaker import CircuitBreakerMiddleware, CircuitBreakerOptions
from tunnel.adapters.middleware.compression import CompressionMiddleware
from tunnel.adapters.middleware.headers import HeadersMiddleware
from tunnel.adapters.middleware.ip_filter import IpFilterMiddleware
from tunnel.adapters.middleware.rate_limit import RateLimitMiddleware, RateLimitOptions
from tunnel.adapters.middleware.redirect import RedirectMiddleware
from tunnel.adapters.middleware.request_id import RequestIdMiddleware
from tunnel.adapters.middleware.rewrite import RewriteMiddleware
from tunnel.adapters.middleware.strip_prefix import StripPrefixMiddleware
from tunnel.adapters.middleware.timed_kind import TimedKind
from tunnel.app.container import ServerContainer
from tunnel.domain.envelopes import GrpcFrame, HttpResponse, Opening
from tunnel.domain.opening_fields import opening_fields, with_fields
from tunnel.ports.middleware import Middleware
from tunnel.testing.middleware import MiddlewareContract, MiddlewareHarness
from tunnel.testing.middleware.scene import Scene
from tunnel.testing.target import Dialect

sys.path.append(str(Path(__file__).parents[2] / "examples" / "custom_middleware" / "src"))
from tunnel_maintenance import Maintenance


class HeadersHarness(MiddlewareHarness):
    kind = HeadersMiddleware
    options: ClassVar = {
        "request": {"set": {"x-kit-one": "set"}, "add": {"x-added": "1"}},
        "response": {"remove": ["x-kit-two"], "add": {"x-seen": "1"}},
    }
    wrong = (
        ({"request": {"set": {"Host": "x"}}}, "request.set.Host"),
        ({"response": {"add": {"x": "\n"}}}, "response.add.x"),
        ({"remove": []}, "remove"),
    )

    def passed(self, head: Opening) -> Opening:
        return with_fields(head, (*without(opening_fields(head), b"x-kit-one"), b"x-kit-one", b"set", b"x-added", b"1"))

    def answered(self, beginning: Any) -> Any:
        if isinstance(beginning, GrpcFrame):
            return replace(beginning, metadata=(*without(beginning.metadata, b"x-kit-two"), b"x-seen", b"1"))
        return replace(beginning, headers=(*without(beginning.headers, b"x-kit-two"), b"x-seen", b"1"))


def without(fields: tuple[bytes, ...], name: bytes) -> tuple[bytes, ...]:
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return tuple(part for pair in pairs if pair[0].lower() != name for part in pair)


class SigningHarness(MiddlewareHarness):
    kind = Signing
    options: ClassVar = {"by": "kit"}
    wrong = (({"by": 1}, "by"),)


class StripPrefixHarness(MiddlewareHarness):
    kind = StripPrefixMiddleware
    options: ClassVar = {"prefixes": ["/kit"]}
    wrong = (({"prefixes": []}, "prefixes"), ({"prefixes": ["/a", "b"]}, "prefixes[1]"), ({}, ""))

    def opening(self, dialect: Dialect) -> Opening:
        return replace(dialect.head(), path=b"/kit/path")

    def passed(self, head: Any) -> Opening:
        return replace(head, path=b"/path", headers=(*head.headers, b"x-forwarded-prefix", b"/kit"))


class RewriteHarness(MiddlewareHarness):
    kind = RewriteMiddleware
    options: ClassVar = {"path": "/elsewhere", "host": "else.test"}
    wrong = (({}, ""), ({"host": "no host"}, "host"), ({"regex": "(", "replacement": ""}, "regex"))

    def passed(self, head: Any) -> Opening:
        headers = tuple(b"else.test" if value == b"kit.test" else value for value in head.headers)
        return replace(head, path=b"/elsewhere", host=b"else.test", headers=headers)


class RedirectHarness(MiddlewareHarness):
    kind = RedirectMiddleware
    options: ClassVar = {"host": "kit.test"}
    wrong = (({}, ""), ({"path": "/", "status": 200}, "status"), ({"port": 0}, "port"))

    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening]:
        return self.make(), replace(self.opening(dialect), host=b"other.test")


class RequestIdHarness(MiddlewareHarness):
    kind = RequestIdMiddleware
    options: ClassVar = {"header": "x-name"}
    wrong = (({"header": "no name"}, "header"), ({"keep": "yes"}, "keep"))
    own_fields = frozenset({b"x-name"})

    def passed(self, head: Opening) -> Opening:
        return with_fields(head, (*opening_fields(head), b"x-name", b""))

    def answered(self, beginning: Any) -> Any:
        if isinstance(beginning, GrpcFrame):
            return replace(beginning, metadata=(*beginning.metadata, b"x-name", b""))
        return replace(beginning, headers=(*beginning.headers, b"x-name", b""))


class BasicAuthHarness(MiddlewareHarness):
    kind = BasicAuthMiddleware
    options: ClassVar = {"users": {"kit": f"sha256${sha256(b'secret').hexdigest()}"}, "user_header": "x-user"}
    wrong = (({"users": {}}, "users"), ({"users": {"kit": "secret"}}, "users.kit"))

    def opening(self, dialect: Dialect) -> Opening:
        head = dialect.head()
        shown = b"Basic " + base64.b64encode(b"kit:secret")
        return with_fields(head, (*opening_fields(head), b"authorization", shown))

    def passed(self, head: Opening) -> Opening:
        return with_fields(head, (*opening_fields(head), b"x-user", b"kit"))

    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening]:
        return self.make(), dialect.head()


class IpFilterHarness(MiddlewareHarness):
    kind = IpFilterMiddleware
    options: ClassVar = {"allow": ["192.0.2.0/24"]}
    wrong = (({}, ""), ({"allow": ["192.0.2.0/33"]}, "allow[0]"))

    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening]:
        return self.make({"deny": ["192.0.2.1"]}), dialect.head()


class RateLimitHarness(MiddlewareHarness):
    kind = TimedKind(
        RateLimitMiddleware, options=RateLimitOptions, protocols=RateLimitMiddleware.protocols, clock=AnyioClock()
    )
    options: ClassVar = {"requests": 1_000_000, "max_keys": 100}
    wrong = (({}, ""), ({"requests": 0}, "requests"), ({"requests": 1, "by": "name"}, "by"))
    remembers: ClassVar = {"requests": 1, "per_s": 3600}

    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening]:
        middleware = self.make(self.remembers)
        await Scene(self, dialect, middleware).passes()
        return middleware, dialect.head()


class CircuitBreakerHarness(MiddlewareHarness):
    kind = TimedKind(
        CircuitBreakerMiddleware,
        options=CircuitBreakerOptions,
        protocols=CircuitBreakerMiddleware.protocols,
        clock=AnyioClock(),
    )
    options: ClassVar = {}
    wrong = (({"failure_ratio": 2}, "failure_ratio"), ({"statuses": [200]}, "statuses[0]"))
    remembers: ClassVar = {"min_requests": 1}

    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening]:
        middleware = self.make(self.remembers)
        scene = Scene(self, dialect, middleware)
        scene.target.script = scene.target.fail
        await scene.held(scene.whole())
        return middleware, dialect.head()


class CompressionHarness(MiddlewareHarness):
    """Where nothing is compressed: what could be says that it depends on who asks."""

    kind = CompressionMiddleware
    wrong = (({"level": 10}, "level"), ({"types": ["text"]}, "types[0]"))
    answer_fields = (b"content-type", b"text/plain")

    def answered(self, beginning: HttpResponse) -> HttpResponse:  # type: ignore[override]
        return replace(beginning, headers=(*beginning.headers, b"vary", b"Accept-Encoding"))


class GzipHarness(CompressionHarness):
    """Where everything is."""

    options: ClassVar = {"min_bytes": 0}

    def opening(self, dialect: Dialect) -> Opening:
        head = dialect.head()
        return with_fields(head, (*opening_fields(head), b"accept-encoding", b"gzip"))

    def answered(self, beginning: HttpResponse) -> HttpResponse:
        fields = (b"vary", b"Accept-Encoding", b"content-encoding", b"gzip")
        return replace(beginning, headers=(*beginning.headers, *fields))

    def read_by_visitor(self, said: bytes) -> bytes:
        return zlib.decompressobj(31).decompress(said)


class MaintenanceHarness(MiddlewareHarness):
    kind = Maintenance
    options: ClassVar = {"file": "/nowhere/at/all"}
    wrong = (({}, ""), ({"file": "x", "retry_after_s": 0}, "retry_after_s"))

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="tunnel-")  # noqa: SIM115 - until the harness is closed

    async def turning_away(self, dialect: Dialect) -> tuple[Middleware, Opening]:
        return self.make({"file": self._file.name}), dialect.head()

    def close(self) -> None:
        self._file.close()


class TestHeaders(MiddlewareContract):
    harness = HeadersHarness


class TestStripPrefix(MiddlewareContract):
    harness = StripPrefixHarness


class TestRewrite(MiddlewareContract):
    harness = RewriteHarness


class TestRedirect(MiddlewareContract):
    harness = RedirectHarness


class TestRequestId(MiddlewareContract):
    harness = RequestIdHarness


class TestBasicAuth(MiddlewareContract):
    harness = BasicAuthHarness


class TestIpFilter(MiddlewareContract):
    harness = IpFilterHarness


class TestRateLimit(MiddlewareContract):
    harness = RateLimitHarness


class TestCircuitBreaker(MiddlewareContract):
    harness = CircuitBreakerHarness


class TestCompression(MiddlewareContract):
    harness = CompressionHarness


class TestGzip(MiddlewareContract):
    harness = GzipHarness


class TestGzipOnTrio(MiddlewareContract):
    harness = GzipHarness
    event_loop = "trio"


class TestSigning(MiddlewareContract):
    harness = SigningHarness


class TestMaintenanceOfTheExample(MiddlewareContract):
    harness = MaintenanceHarness


def test_every_built_in_kind_is_under_the_contract() -> None:
    made = {type(harness().make()) for harness in MiddlewareHarness.__subclasses__()} - {Maintenance, Signing}

    assert len(made) == len(ServerContainer().middleware.providers)

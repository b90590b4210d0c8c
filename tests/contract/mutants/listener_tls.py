"""TLS of listeners with one mistake each. Its twin is that of OpenSSL, which keeps every rule."""

from __future__ import annotations

import ssl
from typing import Any, Final

from contract.test_listener_tls_contract import OpensslHarness
from msgspec.structs import replace

from tunnel.adapters.tls.listener import OpensslListenerTls
from tunnel.domain.tls_material import TlsMaterial
from tunnel.testing import listener_tls as rules
from tunnel.testing.listener_tls import LISTENER_TLS, ListenerTlsHarness
from tunnel.testing.mutants import Mutant


class Fickle(OpensslListenerTls):
    """Tells of another certificate once it has shown its own."""

    shown = False

    @property
    def context(self) -> ssl.SSLContext:
        self.shown = True
        return super().context

    @property
    def material(self) -> TlsMaterial:
        told = super().material
        return replace(told, certificate=told.certificate.replace(b"M", b"N", 1)) if self.shown else told

    def follow(self, successor: Any) -> None:
        super().follow(successor)
        self.__class__ = OpensslListenerTls  # type: ignore[assignment]  # honest from now on


class Unspecific(OpensslListenerTls):
    @property
    def key(self) -> str:
        return "some key"


class Timeless(OpensslListenerTls):
    @property
    def out_of_date(self) -> str:
        return "not valid now" if super().out_of_date else ""


class Forgetful(OpensslListenerTls):
    """Keeps to what it told of its own certificate."""

    def follow(self, successor: Any) -> None:
        leaf = self._leaf
        super().follow(successor)
        self._leaf = leaf


class Trusting(OpensslListenerTls):
    """Does not ask anybody for a certificate who was not asked before."""

    def follow(self, successor: Any) -> None:
        super().follow(successor)
        self._context._current.verify_mode = ssl.CERT_NONE


class Abrupt(OpensslListenerTls):
    """Breaks off handshakes that are under way."""

    def follow(self, successor: Any) -> None:
        for connection in self._context._handshakes._since:
            connection.do_handshake = _broken  # type: ignore[method-assign]
        super().follow(successor)


def _broken(*_: Any) -> None:
    raise ssl.SSLError("broken off")


class Open(OpensslListenerTls):
    def __repr__(self) -> str:
        return f"OpensslListenerTls({self.material.key!r})"


def _harness(made: Any) -> type[ListenerTlsHarness]:
    class Harness(OpensslHarness):
        kind = made

    return Harness


TWINS: Final = (OpensslHarness,)

MUTANTS: Final = tuple(
    Mutant(name, LISTENER_TLS, rule, _harness(made))
    for name, rule, made in (
        ("tells of another certificate than it shows", rules.SHOWS, Fickle),
        ("does not know kinds of keys", rules.KEY, Unspecific),
        ("takes too early for too late", rules.DATE, Timeless),
        ("tells of the certificate before", rules.FOLLOW, Forgetful),
        ("asks nobody for a certificate", rules.ASKS, Trusting),
        ("breaks off what is under way", rules.OPEN, Abrupt),
        ("shows its key", rules.SECRET, Open),
    )
)

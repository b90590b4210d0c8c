"""The contract of a listener's TLS.

It is put under it by a harness that makes some, each with a certificate of its own, and the thin class::

    class EnclaveHarness(ListenerTlsHarness):
        def tls(self, *, from_day: int = -1, to_day: int = 1, asks: bool = False) -> ListenerTls: ...
        def client(self) -> ssl.SSLContext: ...

    class TestEnclave(ListenerTlsContract):
        harness = EnclaveHarness
"""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from typing import ClassVar, Final

from tunnel.domain.certificate import parse_certificate
from tunnel.ports.tls import ListenerTls
from tunnel.testing.contract import Contract
from tunnel.testing.contract_tests import ContractTests
from tunnel.testing.harness import Harness

__all__ = ["LISTENER_TLS", "ListenerTlsContract", "ListenerTlsHarness"]


class ListenerTlsHarness(Harness, ABC):
    """Makes TLS of one kind, and clients of it."""

    host: ClassVar[str] = "localhost"
    """Name that all certificates are for."""

    @abstractmethod
    def tls(self, *, from_day: int = -1, to_day: int = 1, asks: bool = False) -> ListenerTls:
        """A new one, with a certificate and a key that no other has.

        Args:
            from_day: Valid from so many days after now.
            to_day: Valid until so many days after now.
            asks: Whether clients have to show a certificate.
        """

    @abstractmethod
    def client(self) -> ssl.SSLContext:
        """Of a client that trusts all certificates made here, whatever their dates, and has none itself."""


LISTENER_TLS: Final = Contract[ListenerTlsHarness]("listener_tls")

SHOWS: Final = LISTENER_TLS.state("K-SHOWS", "A handshake shows its certificate, as `material` has it.")
KEY: Final = LISTENER_TLS.state("K-KEY", "It tells the kind of the certificate's key.")
DATE: Final = LISTENER_TLS.state("K-DATE", "It says why a certificate is not valid now, and nothing of one that is.")
FOLLOW: Final = LISTENER_TLS.state(
    "K-FOLLOW", "Following a successor, it shows and tells what the successor does, in the same context."
)
ASKS: Final = LISTENER_TLS.state("K-ASKS", "Whether clients have to show a certificate follows a successor too.")
OPEN: Final = LISTENER_TLS.state("K-OPEN", "What is open, or shaking hands, when it follows another goes on.")
SECRET: Final = LISTENER_TLS.state("K-SECRET", "Nothing that it says of itself holds a part of its key.")


class _Connection:
    """Both ends of a connection in memory."""

    def __init__(self, harness: ListenerTlsHarness, tls: ListenerTls) -> None:
        self._up, self._down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = harness.client().wrap_bio(self._down, self._up, server_hostname=harness.host)
        self.server = tls.context.wrap_bio(self._up, self._down, server_side=True)

    def begin(self) -> None:
        """Say hello, and have that answered."""
        for end in (self.client, self.server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue

    def shake_hands(self) -> bytes:
        """Do it to the end; what the server showed, as DER."""
        waiting = [self.client, self.server]
        for _ in range(10):
            for end in tuple(waiting):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(end)
        assert not waiting, "the handshake does not come to an end"
        shown: bytes | None = self.client.getpeercert(binary_form=True)
        assert shown is not None
        return shown

    def talk(self) -> None:
        """Say something each way."""
        self.server.write(b"from the server")
        assert self.client.read(100) == b"from the server"
        self.client.write(b"from the client")
        assert self.server.read(100) == b"from the client"


def _shown(harness: ListenerTlsHarness, tls: ListenerTls) -> bytes:
    return _Connection(harness, tls).shake_hands()


def _certificate(tls: ListenerTls) -> bytes:
    """The listener's own, which is the first, as DER."""
    pem, end, _ = tls.material.certificate.decode().partition("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") :] + end)


@LISTENER_TLS.shows(SHOWS)
async def handshakes_show_the_certificate(harness: ListenerTlsHarness) -> None:
    for tls in (harness.tls(), harness.tls()):
        assert _shown(harness, tls) == _certificate(tls), "another certificate is shown than `material` has"
        connection = _Connection(harness, tls)
        connection.shake_hands()
        connection.talk()


@LISTENER_TLS.shows(KEY)
async def the_kind_of_key_is_told(harness: ListenerTlsHarness) -> None:
    tls = harness.tls()
    kind = parse_certificate(_certificate(tls)).key
    assert tls.key == kind, f"{tls.key!r} is told of {kind!r}"


@LISTENER_TLS.shows(DATE)
async def dates_are_told(harness: ListenerTlsHarness) -> None:
    said = harness.tls().out_of_date
    assert said == "", f"of a certificate that is valid it says {said!r}"
    over, early = harness.tls(from_day=-3, to_day=-2).out_of_date, harness.tls(from_day=2, to_day=3).out_of_date
    assert over, "of a certificate that is over it says nothing"
    assert early, "of a certificate that is not valid yet it says nothing"
    assert over != early, "it says the same of too late and too early"


@LISTENER_TLS.shows(FOLLOW)
async def successors_are_followed(harness: ListenerTlsHarness) -> None:
    tls = harness.tls(from_day=-3, to_day=-2)
    context = tls.context
    for successor in (harness.tls(), harness.tls()):
        tls.follow(successor)
        assert tls.context is context, "it has another context"
        assert _shown(harness, tls) == _certificate(successor), "handshakes show another certificate"
        assert tls.material == successor.material, "`material` is another's"
        assert (tls.out_of_date, tls.key) == (successor.out_of_date, successor.key), "it tells of another's certificate"


def _refused(harness: ListenerTlsHarness, tls: ListenerTls) -> bool:
    try:
        _shown(harness, tls)
    except ssl.SSLError:
        return True
    return False


@LISTENER_TLS.shows(ASKS)
async def who_is_asked_for_a_certificate_follows(harness: ListenerTlsHarness) -> None:
    tls = harness.tls()
    assert not _refused(harness, tls), "a client without a certificate is refused where none is asked for"
    tls.follow(harness.tls(asks=True))
    assert _refused(harness, tls), "a client without a certificate is let in where one is asked for"
    tls.follow(harness.tls())
    assert not _refused(harness, tls), "a client without a certificate is refused where none is asked for any more"


@LISTENER_TLS.shows(OPEN)
async def what_is_open_goes_on(harness: ListenerTlsHarness) -> None:
    tls = harness.tls()
    before = _certificate(tls)
    opened, begun = _Connection(harness, tls), _Connection(harness, tls)
    opened.shake_hands()
    begun.begin()
    tls.follow(harness.tls())
    opened.talk()
    assert begun.shake_hands() == before, "a handshake shows two certificates"
    begun.talk()


@LISTENER_TLS.shows(SECRET)
async def keys_are_not_shown(harness: ListenerTlsHarness) -> None:
    tls = harness.tls()
    said = f"{tls!r} {tls} {tls.material!r} {tls.material} {tls.context!r} {vars(tls)!r}"
    lines = [line for line in tls.material.key.decode().splitlines() if line and not line.startswith("-----")]
    assert lines, "`material` has no key"
    assert not any(line in said for line in lines), "a part of the key is shown"


class ListenerTlsContract(ContractTests[ListenerTlsHarness]):
    """What the TLS of every listener must do; a subclass says which harness."""

    contract = LISTENER_TLS

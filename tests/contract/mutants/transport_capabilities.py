"""Transports that are not what their harness says: each capability claimed without cause, and each denied.

Of each there is a link that has it and one that has it not, and both are sound where the harness says as it is.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Final

import anyio
from contract.mutants.transports import Harness
from msgspec.structs import replace

from tunnel.adapters.memory.link import MemoryLink
from tunnel.domain.certificate import Certificate
from tunnel.domain.envelopes import Frame
from tunnel.domain.identity import PeerInfo
from tunnel.domain.limits import KIB, MIB
from tunnel.testing.contract import Rule
from tunnel.testing.event_loops import VIRTUAL
from tunnel.testing.mutants import Mutant
from tunnel.testing.transport import TRANSPORT, rules

CERTIFICATE: Final = Certificate((), ("client.test",), (), (), (), 0.0, 1e9, "00")


class NeverReady(MemoryLink):
    @property
    def ready(self) -> bool:
        return False


class Brittle(MemoryLink):
    """Breaks when a send is cancelled."""

    async def send(self, frame: Frame) -> None:
        try:
            await super().send(frame)
        except anyio.get_cancelled_exc_class():
            self._outgoing.sever()
            self._incoming.sever()
            raise


class Addressed(MemoryLink):
    @property
    def peer(self) -> PeerInfo:
        return replace(super().peer, address="192.0.2.1:40000")


class Proven(MemoryLink):
    @property
    def peer(self) -> PeerInfo:
        return replace(super().peer, certificate=CERTIFICATE)


class Slow(MemoryLink):
    """Takes many frames, each after a while."""

    async def send(self, frame: Frame) -> None:
        self._outgoing.capacity_frames = 40
        await anyio.sleep(0.02)
        await super().send(frame)


class _Claiming(Harness):
    """Makes links of one kind, and says something of them that may not be so."""

    def __init__(self, link: type[MemoryLink], **claimed: float) -> None:
        super().__init__(link=link)
        self.capabilities = dataclasses.replace(type(self).capabilities, **claimed)


def _mutant(name: str, rule: Rule, *others: Rule, link: type[MemoryLink] = MemoryLink, **claimed: float) -> Mutant:
    return Mutant(name, TRANSPORT, rule, partial(_Claiming, link, **claimed), VIRTUAL, frozenset(others))


TWINS: Final = (
    partial(_Claiming, MemoryLink),
    partial(_Claiming, NeverReady, readiness=False),
    partial(_Claiming, Brittle, survives_cancelled_send=False),
    partial(_Claiming, Addressed, addresses=True),
    partial(_Claiming, Proven, certificates=True),
)

MUTANTS: Final = (
    _mutant("is never ready, and claims to be", rules.PUSH, rules.READY, link=NeverReady),
    _mutant("is ready now and then, and denies it", rules.PUSH, rules.READY, readiness=False),
    _mutant(
        "breaks when a send is cancelled, and denies it",
        rules.CANCEL_SEND,
        rules.CANCEL_BOUND,
        rules.ANY_ORDER,
        link=Brittle,
    ),
    _mutant("survives a cancelled send, and denies it", rules.CANCEL_SEND, survives_cancelled_send=False),
    _mutant("knows no address, and claims to", rules.PEER, addresses=True),
    _mutant("knows an address, and denies it", rules.PEER, link=Addressed),
    _mutant("sees no certificate, and claims to", rules.PEER, certificates=True),
    _mutant("sees a certificate, and denies it", rules.PEER, link=Proven),
    # Figures too low and too high.
    _mutant(
        "takes more than it is said to",
        rules.BOUND,
        rules.ASIDE,
        rules.UNCLOG,
        rules.CANCEL_SEND,
        rules.NOTHING_LEFT,
        buffered_bytes=64 * KIB,
    ),
    _mutant("takes far less than it is said to", rules.BOUND, buffered_bytes=16 * MIB),
    _mutant("is said to take more than anybody needs", rules.BOUND, buffered_bytes=128 * MIB),
    _mutant("goes on when it is said to be blocked", rules.BOUND, link=Slow, buffered_bytes=4 * MIB),
)

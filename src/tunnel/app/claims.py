"""The hosts that clients have claimed from this server, and the group behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tunnel.app.group import Group
from tunnel.app.ledger import Ledger
from tunnel.app.tunnel import Tunnel
from tunnel.domain.balancing import STRATEGIES
from tunnel.domain.claims.book import ClaimBook, Holding
from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.grant import granted
from tunnel.domain.configuration import ClaimsSettings
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.identity import Principal, TunnelId
from tunnel.domain.random_source import RandomSource
from tunnel.domain.registry import Registry
from tunnel.domain.rules.hosts import normal_host
from tunnel.domain.rules.paths import normal_path
from tunnel.ports.clock import Clock

__all__ = ["Claims"]


class Claims:
    """Grants claims, and makes and removes their groups as tunnels come and go.

    Args:
        settings: What holds for all of them.
        registry: Who is there.
        random: For strategies.
        unpredictable: For hosts that this server chooses.
        ledger: Told of clients that are ejected and return.
        clock: Time.
        on_change: Called when the first claim has come, or the last has gone.
    """

    def __init__(
        self,
        settings: ClaimsSettings,
        *,
        registry: Registry[Tunnel],
        random: RandomSource,
        unpredictable: RandomSource,
        ledger: Ledger,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._random = random
        self._unpredictable = unpredictable
        self._ledger = ledger
        self._clock = clock
        self._on_change = on_change
        self._groups: dict[str, Group] = {}
        self._book: ClaimBook[Group] = ClaimBook(
            self._made,
            max_claims=settings.max_claims,
            max_claims_per_principal=settings.max_claims_per_principal,
        )

    def __len__(self) -> int:
        return len(self._book)

    def __iter__(self) -> Iterator[Holding[Group]]:
        """In the order in which they were made."""
        return iter(self._book)

    def follow(self, settings: ClaimsSettings) -> None:
        """Go by other settings from the next request and the next claim on. Claims that are there stay."""
        before, self._settings = self._settings, settings
        self._book.limit(max_claims=settings.max_claims, max_claims_per_principal=settings.max_claims_per_principal)
        for group in self._groups.values():
            same = settings.balance == before.balance
            group.follow(settings.group(), None if same else STRATEGIES[settings.balance]())

    # -- who has what

    def grant(self, principal: Principal, asked: Claim) -> Claim:
        """What ``principal`` would get that asks for ``asked``. Changes nothing.

        Raises:
            RegistrationRefused: ``forbidden`` or ``overloaded``.
        """
        claim = granted(principal, asked, self._unpredictable)
        self._book.check(principal, claim)
        return claim

    def hold(self, principal: Principal, claim: Claim, tunnel_id: TunnelId) -> None:
        """Let a tunnel serve a claim, until it is released.

        Raises:
            RegistrationRefused: ``forbidden`` or ``overloaded``; nothing has changed.
        """
        first = not self._book
        self._book.hold(principal, claim, tunnel_id)
        if first:
            self._on_change()

    def release(self, tunnel_id: TunnelId) -> None:
        """A tunnel that is out of the registry serves its claim no more; with its last one a claim is gone.

        Idempotent, also for tunnels without a claim.
        """
        gone = self._book.release(tunnel_id)
        if gone is None:
            return
        name = gone.claim.group
        del self._groups[name]
        gone.serving.remove()
        self._registry.forget(name)
        if not self._book:
            self._on_change()

    def renew(self, principal: Principal, tunnel_id: TunnelId) -> None:
        """Note what the credential behind a tunnel is worth by now; ``review`` says what follows."""
        self._book.renew(principal, tunnel_id)

    def review(self, tunnel_id: TunnelId) -> None:
        """Refuse a tunnel its claim, should the credentials not allow it any more.

        Raises:
            RegistrationRefused: ``forbidden``.
        """
        self._book.review(tunnel_id)

    # -- requests

    def find(self, head: HttpRequest) -> Holding[Group] | None:
        """The claim that ``head`` falls under; None when there is none.

        Raises:
            SessionError: ``bad_request``; host or path are malformed.
        """
        return self._book.find(normal_host(head.host), normal_path(head.path))

    def group(self, name: str) -> Group | None:
        """The group behind a claim; None when there is none any more."""
        return self._groups.get(name)

    @property
    def waiting(self) -> int:
        """Requests that wait for a client of any claim."""
        return sum(group.waiting for group in self._groups.values())

    def _made(self, claim: Claim) -> Group:
        settings = self._settings
        group = self._groups[claim.group] = Group(
            claim.group,
            settings.group(),
            STRATEGIES[settings.balance](),
            self._registry,
            self._random,
            telemetry=self._ledger,
            clock=self._clock,
        )
        return group

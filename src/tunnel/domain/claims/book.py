"""Who has claimed what, and which claim a request falls under.

Claims come and go one by one while requests are routed, so they are kept apart from the compiled rules: a claim more or
less is a few entries in dictionaries, however many claims and rules there are. Lookup is by the whole host, then by the
path cut to ever fewer segments, as many as the deepest claim of that host has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, final

from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.grant import check_covered, names_exactly
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import Principal, TunnelId

__all__ = ["ClaimBook", "Holding"]

T = TypeVar("T")


@final
class Holding(Generic[T]):
    """One claim that somebody has. Attributes are for reading; only the book changes them.

    Args:
        claim: Granted.
        principal: Whose it is.
        serving: What the application made for it.
    """

    __slots__ = ("claim", "principal", "serving", "tunnels")

    def __init__(self, claim: Claim, principal: Principal, serving: T) -> None:
        self.claim = claim
        self.principal = principal
        self.serving = serving
        self.tunnels: set[TunnelId] = set()
        """Those registered for it, with a link or without."""


class _Host(Generic[T]):
    """The claims of one host, by prefix, in the order in which they were made."""

    __slots__ = ("depth", "prefixes")

    def __init__(self) -> None:
        self.prefixes: dict[bytes, Holding[T]] = {}
        self.depth = 0
        """Segments of the longest prefix."""

    def measure(self) -> None:
        self.depth = max((prefix.count(b"/") for prefix in self.prefixes), default=0)

    def match(self, path: bytes) -> Holding[T] | None:
        depth = self.depth
        prefix = path
        if path.count(b"/") > depth:
            prefix = b"/".join(path.split(b"/", depth + 1)[: depth + 1])
        while True:
            holding = self.prefixes.get(prefix)
            if holding is not None or not prefix:
                return holding
            # Of the path "*", which only the prefix of all paths matches, this leaves nothing too.
            prefix = prefix[: prefix.rfind(b"/")] if b"/" in prefix else b""


class ClaimBook(Generic[T]):
    """Every claim there is. ``T`` is what the application makes for a claim, which the book never looks into.

    A claim is there from its first tunnel to its last. Its principal is the one of the first; others are refused it
    (``tunnel.domain.claims.grant``). Not safe to use from several threads.

    Args:
        make: What serves a claim from now on.
        max_claims: Cap on all claims.
        max_claims_per_principal: Cap on those of one credential.
    """

    def __init__(self, make: Callable[[Claim], T], *, max_claims: int, max_claims_per_principal: int) -> None:
        self._make = make
        self._max_claims = max_claims
        self._max_claims_per_principal = max_claims_per_principal
        self._hosts: dict[bytes, _Host[T]] = {}
        self._claims: dict[Claim, Holding[T]] = {}
        self._of_tunnel: dict[TunnelId, Holding[T]] = {}
        self._of_principal: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._claims)

    def __iter__(self) -> Iterator[Holding[T]]:
        """In the order in which they were made."""
        return iter(self._claims.values())

    def limit(self, *, max_claims: int, max_claims_per_principal: int) -> None:
        """Allow so many from now on. Those there are stay."""
        self._max_claims = max_claims
        self._max_claims_per_principal = max_claims_per_principal

    def check(self, principal: Principal, claim: Claim) -> None:
        """Whether ``principal`` could hold ``claim`` now, which its credential covers.

        Raises:
            RegistrationRefused: ``forbidden``: it is somebody else's, or its host is; ``overloaded``: a cap is reached.
        """
        holding = self._claims.get(claim)
        if holding is not None:
            if holding.principal.name != principal.name:
                raise _taken(claim)
            return
        host = self._hosts.get(claim.host.encode())
        if host is not None and any(not _may_share(principal, each) for each in host.prefixes.values()):
            raise _taken(claim)
        if self._of_principal[principal.name] >= self._max_claims_per_principal:
            raise RegistrationRefused(
                ErrorCode.OVERLOADED, f"this credential has {self._max_claims_per_principal} claims, the most allowed"
            )
        if len(self._claims) >= self._max_claims:
            raise RegistrationRefused(ErrorCode.OVERLOADED, f"this server has {self._max_claims} claims, its most")

    def hold(self, principal: Principal, claim: Claim, tunnel_id: TunnelId) -> Holding[T]:
        """Let a tunnel serve ``claim``, for as long as it is not released. Nothing changes when it is refused.

        Args:
            principal: Whose it is.
            claim: In normal form, covered by the credential.
            tunnel_id: Holds nothing yet.

        Raises:
            RegistrationRefused: As ``check``.
        """
        assert tunnel_id not in self._of_tunnel, "a tunnel has one claim"
        self.check(principal, claim)
        holding = self._claims.get(claim)
        if holding is None:
            holding = self._claims[claim] = Holding(claim, principal, self._make(claim))
            host = self._hosts.setdefault(claim.host.encode(), _Host())
            host.prefixes[claim.path_prefix.encode()] = holding
            host.measure()
            self._of_principal[principal.name] += 1
        holding.principal = principal
        holding.tunnels.add(tunnel_id)
        self._of_tunnel[tunnel_id] = holding
        return holding

    def release(self, tunnel_id: TunnelId) -> Holding[T] | None:
        """A tunnel serves its claim no more. Idempotent, also for tunnels without one.

        Returns:
            The claim, when this was its last tunnel: it is gone.
        """
        holding = self._of_tunnel.pop(tunnel_id, None)
        if holding is None:
            return None
        holding.tunnels.discard(tunnel_id)
        if holding.tunnels:
            return None
        claim = holding.claim
        del self._claims[claim]
        key = claim.host.encode()
        host = self._hosts[key]
        del host.prefixes[claim.path_prefix.encode()]
        host.measure()
        if not host.prefixes:
            del self._hosts[key]
        self._of_principal[holding.principal.name] -= 1
        if not self._of_principal[holding.principal.name]:
            del self._of_principal[holding.principal.name]
        return holding

    def renew(self, principal: Principal, tunnel_id: TunnelId) -> None:
        """Note what the credential behind a tunnel is worth now; ``review`` says what follows.

        Without effect on a tunnel that holds nothing (any more).
        """
        holding = self._of_tunnel.get(tunnel_id)
        if holding is not None:
            holding.principal = principal

    def review(self, tunnel_id: TunnelId) -> None:
        """Refuse a tunnel the claim it has, should its credential, or that of an older claim, not allow it any more.

        Without effect on a tunnel that holds nothing (any more).

        Raises:
            RegistrationRefused: ``forbidden``. The tunnel holds the claim until it is released.
        """
        holding = self._of_tunnel.get(tunnel_id)
        if holding is None:
            return
        check_covered(holding.principal, holding.claim)
        for other in self._hosts[holding.claim.host.encode()].prefixes.values():
            if other is holding:
                return
            if not _may_share(holding.principal, other):
                raise _taken(holding.claim)

    def find(self, host: bytes, path: bytes) -> Holding[T] | None:
        """The claim that a request falls under; None when there is none.

        Args:
            host: In normal form (``tunnel.domain.rules.hosts``).
            path: In normal form (``tunnel.domain.rules.paths``).
        """
        claims = self._hosts.get(host)
        return None if claims is None else claims.match(path)


def _may_share(principal: Principal, other: Holding[T]) -> bool:
    """Whether a host of which ``other`` is a part may have parts of ``principal``'s as well."""
    if other.principal.name == principal.name:
        return True
    host = other.claim.host
    return names_exactly(principal.hosts, host) and names_exactly(other.principal.hosts, host)


def _taken(claim: Claim) -> RegistrationRefused:
    return RegistrationRefused(ErrorCode.FORBIDDEN, f'the host "{claim.host}" is claimed by somebody else')

"""Who has claimed what: a model of the book, driven at random."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from tunnel.domain.claims.book import ClaimBook, Holding
from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.grant import covers, names_exactly
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import Principal, TunnelId

A = Principal("a", hosts=("*.test",))
B = Principal("b", hosts=("*.test",))
ONE, TWO, THREE = TunnelId("1"), TunnelId("2"), TunnelId("3")
X, Y = Claim("x.test"), Claim("y.test")


def book(**caps: int) -> ClaimBook[object]:
    return ClaimBook(lambda _: object(), **{"max_claims": 100, "max_claims_per_principal": 100, **caps})


def code_of(call: object, *arguments: object) -> ErrorCode:
    with pytest.raises(RegistrationRefused) as caught:
        call(*arguments)
    return caught.value.code


def test_claim_is_there_from_its_first_tunnel_to_its_last() -> None:
    claims = book()
    first = claims.hold(A, X, ONE)

    assert claims.hold(A, X, TWO) is first
    assert claims.release(ONE) is None
    assert claims.find(b"x.test", b"/") is first
    assert claims.release(TWO) is first
    assert claims.release(TWO) is None
    assert claims.find(b"x.test", b"/") is None
    assert len(claims) == 0


def test_claim_of_somebody_else_is_forbidden_until_it_is_released() -> None:
    claims = book()
    claims.hold(A, X, ONE)

    assert code_of(claims.hold, B, X, TWO) is ErrorCode.FORBIDDEN
    assert code_of(claims.hold, B, Claim("x.test", "/deep"), TWO) is ErrorCode.FORBIDDEN
    claims.release(ONE)
    assert claims.hold(B, X, TWO).principal == B


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (("x.test",), ("X.test",), True),
        (("x.test",), ("*.test",), False),
        (("*.test",), ("x.test",), False),
        (("*.test", "x.test"), ("*.test", "x.test"), True),
    ],
)
def test_prefixes_of_a_host_are_shared_where_both_name_it(
    one: tuple[str, ...], other: tuple[str, ...], shared: bool
) -> None:
    claims = book()
    claims.hold(Principal("a", hosts=one), X, ONE)
    later = Principal("b", hosts=other)

    if shared:
        claims.hold(later, Claim("x.test", "/y"), TWO)
    else:
        assert code_of(claims.hold, later, Claim("x.test", "/y"), TWO) is ErrorCode.FORBIDDEN


def test_caps_count_claims_and_not_tunnels() -> None:
    claims = book(max_claims=3, max_claims_per_principal=2)
    claims.hold(A, X, ONE)
    claims.hold(A, X, TWO)
    claims.hold(A, Y, THREE)

    assert code_of(claims.hold, A, Claim("z.test"), TunnelId("4")) is ErrorCode.OVERLOADED
    claims.hold(A, Y, TunnelId("5"))
    claims.hold(B, Claim("u.test"), TunnelId("6"))
    assert code_of(claims.hold, B, Claim("v.test"), TunnelId("7")) is ErrorCode.OVERLOADED
    claims.release(TunnelId("6"))
    claims.hold(B, Claim("v.test"), TunnelId("7"))
    claims.limit(max_claims=0, max_claims_per_principal=0)
    assert len(claims) == 3
    assert code_of(claims.check, B, Claim("w.test")) is ErrorCode.OVERLOADED


def test_cap_of_a_principal_can_be_raised_and_lowered() -> None:
    claims = book(max_claims_per_principal=1)
    claims.hold(A, X, ONE)
    claims.limit(max_claims=100, max_claims_per_principal=2)
    claims.hold(A, Y, TWO)
    claims.limit(max_claims=100, max_claims_per_principal=1)
    assert code_of(claims.check, A, Claim("z.test")) is ErrorCode.OVERLOADED


def test_cap_of_all_claims_can_be_raised_and_lowered() -> None:
    claims = book(max_claims=1)
    claims.hold(A, X, ONE)
    claims.limit(max_claims=2, max_claims_per_principal=100)
    claims.hold(B, Y, TWO)
    claims.limit(max_claims=1, max_claims_per_principal=100)
    assert code_of(claims.check, A, Claim("z.test")) is ErrorCode.OVERLOADED
    claims.release(ONE)
    claims.release(TWO)
    claims.check(A, X)


def test_claim_is_worth_what_the_latest_credential_behind_it_is() -> None:
    claims = book()
    claims.hold(A, X, ONE)
    narrower = Principal("a", hosts=("x.test",))

    assert claims.hold(narrower, X, TWO).principal is narrower


def test_claims_that_are_gone_leave_nothing_behind() -> None:
    claims = book()
    for number, prefix in enumerate(("", "/a", "/a/b")):
        claims.hold(A, Claim("x.test", prefix), TunnelId(str(number)))
    for number in range(3):
        claims.release(TunnelId(str(number)))

    assert [*claims] == []
    assert (claims._hosts, claims._of_tunnel, claims._of_principal) == ({}, {}, {})


def test_path_is_looked_up_no_deeper_than_the_deepest_claim_of_its_host() -> None:
    asked: list[bytes] = []

    class Noting(dict[bytes, Holding[object]]):
        def get(self, key: bytes, default: object = None) -> object:
            asked.append(key)
            return super().get(key, default)

    claims = book()
    claims.hold(A, Claim("x.test", "/x/y"), ONE)
    claims.hold(A, Claim("x.test", "/x/y/z"), TWO)
    claims.release(TWO)
    host = claims._hosts[b"x.test"]
    host.prefixes = Noting(host.prefixes)

    assert claims.find(b"x.test", b"/a/b/c/d/e") is None
    assert asked == [b"/a/b", b"/a", b""]


def test_releasing_counts_the_claims_of_a_principal_down_by_one() -> None:
    claims = book(max_claims_per_principal=3)
    for number, tunnel_id in enumerate((ONE, TWO, THREE)):
        claims.hold(A, Claim(f"{number}.test"), tunnel_id)
    claims.release(TWO)
    claims.check(A, Y)
    claims.hold(A, Y, TWO)
    assert code_of(claims.check, A, Claim("z.test")) is ErrorCode.OVERLOADED


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        (b"/", ""),
        (b"*", ""),
        (b"/a", "/a"),
        (b"/a/", "/a"),
        (b"/a/x", "/a"),
        (b"/ab", ""),
        (b"/a/b/c", "/a/b/c"),
        (b"/a/b/cd", "/a"),
        (b"/a/b/c/d/e/f", "/a/b/c"),
        (b"//a", ""),
    ],
)
def test_longest_prefix_of_whole_segments_is_found(path: bytes, prefix: str) -> None:
    claims = book()
    for number, each in enumerate(("", "/a", "/a/b/c")):
        claims.hold(A, Claim("x.test", each), TunnelId(str(number)))

    found = claims.find(b"x.test", path)

    assert found is not None
    assert found.claim == Claim("x.test", prefix)
    assert claims.find(b"y.test", path) is None


def test_path_outside_of_all_prefixes_is_nobody_s() -> None:
    claims = book()
    claims.hold(A, Claim("x.test", "/a/b"), ONE)

    assert [claims.find(b"x.test", path) for path in (b"/", b"/a", b"*", b"/a/bc")] == [None] * 4


def test_review_goes_by_what_all_credentials_are_worth_now() -> None:
    claims = book()
    exact = {name: Principal(name, hosts=("x.test",)) for name in "ab"}
    claims.hold(exact["a"], X, ONE)
    claims.hold(exact["b"], Claim("x.test", "/y"), TWO)
    claims.review(ONE)
    claims.review(TWO)

    claims.renew(A, ONE)

    claims.review(ONE)
    assert code_of(claims.review, TWO) is ErrorCode.FORBIDDEN
    claims.renew(Principal("a"), ONE)
    assert code_of(claims.review, ONE) is ErrorCode.FORBIDDEN
    claims.release(ONE)
    claims.review(TWO)


def test_tunnel_that_holds_nothing_is_passed_over() -> None:
    claims = book()

    claims.renew(A, ONE)
    claims.review(ONE)

    assert list(claims) == []


@dataclass
class Held:
    """What the model knows of a claim."""

    principal: Principal
    tunnels: set[TunnelId]


HOSTS = ("x.test", "y.test", "z.other")
PREFIXES = ("", "/a", "/a/b")
PATTERNS = (("*.test",), ("x.test", "*.test"), ("x.test",), ("*.other", "y.test"), ())
PATHS = (b"/", b"/a", b"/a/b", b"/a/b/c", b"/ab", b"*")


class Books(RuleBasedStateMachine):
    """The book beside lists that are searched from end to end."""

    tunnels: Bundle[TunnelId] = Bundle("tunnels")

    def __init__(self) -> None:
        super().__init__()
        self.hosts = dict.fromkeys("abc", PATTERNS[0])
        self.book: ClaimBook[Claim] = ClaimBook(lambda claim: claim, max_claims=5, max_claims_per_principal=3)
        self.held: dict[Claim, Held] = {}
        self.count = 0

    def may(self, principal: Principal, claim: Claim) -> ErrorCode | None:
        mine = self.held.get(claim)
        if mine is not None:
            return None if mine.principal.name == principal.name else ErrorCode.FORBIDDEN
        for other, held in self.held.items():
            both = names_exactly(principal.hosts, claim.host) and names_exactly(held.principal.hosts, claim.host)
            if other.host == claim.host and held.principal.name != principal.name and not both:
                return ErrorCode.FORBIDDEN
        own = [each for each in self.held.values() if each.principal.name == principal.name]
        return ErrorCode.OVERLOADED if len(own) >= 3 or len(self.held) >= 5 else None

    @rule(target=tunnels, name=st.sampled_from("abc"), host=st.sampled_from(HOSTS), prefix=st.sampled_from(PREFIXES))
    def hold(self, name: str, host: str, prefix: str) -> TunnelId:
        principal, claim = Principal(name, hosts=self.hosts[name]), Claim(host, prefix)
        self.count += 1
        tunnel_id = TunnelId(str(self.count))
        expected = self.may(principal, claim)
        if expected is not None:
            assert code_of(self.book.hold, principal, claim, tunnel_id) is expected
            return tunnel_id
        known = self.held.setdefault(claim, Held(principal, set()))
        assert self.book.hold(principal, claim, tunnel_id).serving == claim
        known.principal = principal
        known.tunnels.add(tunnel_id)
        return tunnel_id

    @rule(tunnel_id=consumes(tunnels))
    def release(self, tunnel_id: TunnelId) -> None:
        claim = next((each for each, held in self.held.items() if tunnel_id in held.tunnels), None)
        gone = self.book.release(tunnel_id)
        if claim is None:
            assert gone is None
            return
        self.held[claim].tunnels.discard(tunnel_id)
        if self.held[claim].tunnels:
            assert gone is None
        else:
            del self.held[claim]
            assert gone is not None
            assert gone.claim == claim

    @precondition(lambda self: self.held)
    @rule(name=st.sampled_from("abc"), patterns=st.sampled_from(PATTERNS))
    def reload(self, name: str, patterns: tuple[str, ...]) -> None:
        self.hosts[name] = patterns
        principal = Principal(name, hosts=patterns)
        theirs = {claim: held for claim, held in self.held.items() if held.principal.name == name}
        for held in theirs.values():
            held.principal = principal
            for tunnel_id in held.tunnels:
                self.book.renew(principal, tunnel_id)
        for claim, held in list(self.held.items()):
            older = list(self.held)[: list(self.held).index(claim)]
            bad = not covers(held.principal.hosts, claim.host) or any(
                each.host == claim.host
                and self.held[each].principal.name != held.principal.name
                and not (
                    names_exactly(held.principal.hosts, claim.host)
                    and names_exactly(self.held[each].principal.hosts, claim.host)
                )
                for each in older
            )
            for tunnel_id in list(held.tunnels):
                if bad:
                    assert code_of(self.book.review, tunnel_id) is ErrorCode.FORBIDDEN
                    self.release(tunnel_id)
                else:
                    self.book.review(tunnel_id)

    @invariant()
    def same_claims(self) -> None:
        assert {each.claim: (each.principal.name, each.tunnels) for each in self.book} == {
            claim: (held.principal.name, held.tunnels) for claim, held in self.held.items()
        }
        assert len(self.book) == len(self.held)

    @invariant()
    def same_answers(self) -> None:
        for host in HOSTS:
            for path in PATHS:
                matching = [
                    claim
                    for claim in self.held
                    if claim.host == host
                    and (
                        not claim.path_prefix
                        or path + b"/" == claim.path_prefix.encode() + b"/"
                        or path.startswith(claim.path_prefix.encode() + b"/")
                    )
                ]
                found = self.book.find(host.encode(), path)
                longest = max(matching, key=lambda claim: len(claim.path_prefix), default=None)
                assert (None if found is None else found.claim) == longest


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

"""Clients that serve hosts of their own, on virtual time."""

from __future__ import annotations

import re

import anyio
import msgspec
import pytest
from support.app_kit import (
    OTHER_TOKEN,
    TOKEN,
    FakeUpstream,
    Recorder,
    ScriptedServer,
    World,
    ask,
    group,
    register,
    uncounted,
    until,
)
from support.claims_kit import claiming, granting, says, server_settings

from tunnel.app.claim_inspection import claim_of
from tunnel.app.handshake import expect
from tunnel.domain.call_head import CallHead, as_request
from tunnel.domain.claims.claim import Claim
from tunnel.domain.claims.grant import Grant
from tunnel.domain.configuration import ClaimsSettings, ClientSettings
from tunnel.domain.envelopes import Error, Register, RegisterResponse, ResumeRequest
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.rules.rule import Rule
from tunnel.ports.telemetry import RegistrationDenied
from tunnel.ports.transport import Link

pytestmark = pytest.mark.anyio

HOST = "demo.laptop.test"


async def refused(world: World, host: str | None, path_prefix: str = "/", *, token: str = TOKEN) -> str:
    """Why a claim is refused for good."""
    async with claiming(world, host, path_prefix, token=token) as client:
        with pytest.raises(RegistrationRefused) as caught:
            await client.ready()
    return str(caught.value)


async def body(server, host: str, path: str = "/") -> bytes | int:
    """What a visitor gets: the body of a 200, else the status."""
    answer = await ask(server, path, host=host)
    return answer.body if answer.status == 200 else answer.status


@pytest.mark.rule("A1")
async def test_claimed_host_is_served_by_the_client_s_own_upstream(world: World) -> None:
    upstream = says(b"mine")
    async with granting(world) as server:
        assert await body(server, HOST) == 404

        async with claiming(world, HOST, upstream=upstream) as client:
            await client.ready()

            assert client.claim == Grant(host=HOST, path_prefix="/", url=None)
            assert await body(server, HOST, "/any/path") == b"mine"
            assert await body(server, "other.laptop.test") == 404
        assert upstream.heads[0].path == b"/any/path"
        assert await body(server, HOST) == 404


@pytest.mark.rule("A2")
async def test_host_is_compared_without_case_and_port(world: World) -> None:
    async with granting(world) as server, claiming(world, "Demo.LAPTOP.test", upstream=says(b"mine")) as client:
        await client.ready()

        assert client.claim.host == HOST
        assert await body(server, "DEMO.laptop.test:8080") == b"mine"


async def test_longest_prefix_that_is_claimed_serves(world: World) -> None:
    async with (
        granting(world) as server,
        claiming(world, HOST, upstream=says(b"all")) as one,
        claiming(world, HOST, "/api/v1/", upstream=says(b"api")) as other,
    ):
        await one.ready()
        await other.ready()

        assert other.claim.path_prefix == "/api/v1"
        served = {path: await body(server, HOST, path) for path in ("/api/v1", "/api/v1/x", "/api/v1x", "/api", "/")}
        assert served == {"/api/v1": b"api", "/api/v1/x": b"api", "/api/v1x": b"all", "/api": b"all", "/": b"all"}


@pytest.mark.rule("A6")
async def test_clients_of_one_credential_share_a_claim(world: World) -> None:
    one, two = says(b"one"), says(b"two")
    async with (
        granting(world) as server,
        claiming(world, HOST, client_id="one", upstream=one) as first,
        claiming(world, HOST, client_id="two", upstream=two) as second,
    ):
        await first.ready()
        await second.ready()
        for _ in range(40):
            assert await body(server, HOST) in (b"one", b"two")
        assert min(len(one.heads), len(two.heads)) >= 5

        await first.aclose(drain_s=1)

        assert [await body(server, HOST) for _ in range(10)] == [b"two"] * 10


@pytest.mark.rule("A7")
async def test_claim_of_another_credential_is_forbidden(world: World) -> None:
    async with granting(world) as server, claiming(world, HOST, upstream=says(b"mine")) as client:
        await client.ready()

        assert await refused(world, HOST, token=OTHER_TOKEN) == (
            f'forbidden: the host "{HOST}" is claimed by somebody else'
        )
        assert await refused(world, HOST, "/login", token=OTHER_TOKEN) == (
            f'forbidden: the host "{HOST}" is claimed by somebody else'
        )
        assert await body(server, HOST, "/login") == b"mine"


@pytest.mark.rule("A7")
async def test_credentials_that_both_name_a_host_share_it_by_prefixes(world: World) -> None:
    async with (
        granting(world, laptop=("app.test",), phone=("app.test",)) as server,
        claiming(world, "app.test", upstream=says(b"site")) as site,
        claiming(world, "app.test", "/api", token=OTHER_TOKEN, upstream=says(b"api")) as api,
    ):
        await site.ready()
        await api.ready()

        assert [await body(server, "app.test", path) for path in ("/", "/api/x")] == [b"site", b"api"]


@pytest.mark.rule("A3")
@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        ((), HOST),
        (("*.laptop.test",), "laptop.test"),
        (("*.laptop.test",), "evil-laptop.test"),
        (("*.laptop.test",), "demo.phone.test"),
        (("app.test",), "x.app.test"),
    ],
)
async def test_host_that_the_credential_does_not_cover_is_forbidden(
    world: World, hosts: tuple[str, ...], host: str
) -> None:
    async with granting(world, laptop=hosts) as server:
        assert await refused(world, host) == f'forbidden: this credential may not claim the host "{host}"'
        assert await body(server, host) == 404


@pytest.mark.rule("A5")
async def test_static_rules_win_ties_and_closer_ones_win(world: World) -> None:
    rules = (
        Rule(host=HOST, path_prefix="/same", group="web"),
        Rule(host=HOST, path_prefix="/same/deeper", group="web"),
        Rule(host=HOST, path="/exact", group="web"),
        Rule(host="*.laptop.test", path="/below", group="web"),
        Rule(path_prefix="/", group="web"),
    )
    async with (
        granting(world, rules=rules, groups={"web": group()}) as server,
        claiming(world, HOST, upstream=says(b"all")) as everything,
        claiming(world, HOST, "/same", upstream=says(b"claim")) as same,
    ):
        await everything.ready()
        await same.ready()

        paths = ("/same", "/same/deeper/x", "/exact", "/below", "/", "/exact/x")
        # The group of the rules has no client: 503.
        assert [await body(server, HOST, path) for path in paths] == [503, 503, 503, b"all", b"all", b"all"]
        assert await body(server, "other.laptop.test") == 503


@pytest.mark.rule("A4")
async def test_host_that_the_server_chose_is_readable_and_kept_over_reconnections(world: World) -> None:
    async with granting(world, resume_s=0) as server, claiming(world, upstream=says(b"mine")) as client:
        await client.ready()
        host = client.claim.host
        assert re.fullmatch(r"[a-z]{5}(-[a-z]{5}){2}\.laptop\.test", host)
        assert await body(server, host) == b"mine"

        world.network.sever()
        await until(lambda: not server.clients().clients)
        await until(lambda: server.clients().clients and server.clients().clients[0].tunnels[0].published)

        assert client.claim.host == host
        assert await body(server, host) == b"mine"


@pytest.mark.rule("A4")
async def test_host_that_the_server_chose_is_kept_over_its_restart(world: World) -> None:
    async with claiming(world, upstream=says(b"mine")) as client:
        async with granting(world):
            await client.ready()
            host = client.claim.host
        async with granting(world) as server:
            await until(lambda: server.clients().clients and server.clients().clients[0].tunnels[0].published)

            assert client.claim.host == host
            assert await body(server, host) == b"mine"


async def test_each_client_without_a_host_is_given_its_own(world: World) -> None:
    async with granting(world), claiming(world) as one, claiming(world, token=OTHER_TOKEN) as other:
        await one.ready()
        await other.ready()

        assert one.claim.host.endswith(".laptop.test")
        assert other.claim.host.endswith(".phone.test")
        assert one.claim.host.split(".")[0] != other.claim.host.split(".")[0]


async def test_credential_without_a_wildcard_has_to_name_its_host(world: World) -> None:
    async with granting(world, laptop=("app.test",), phone=()):
        assert "claim one that it names, such as app.test" in await refused(world, None)
        assert await refused(world, None, token=OTHER_TOKEN) == "forbidden: this credential may not claim any host"


@pytest.mark.rule("A8")
async def test_claim_is_held_while_its_tunnel_waits_to_be_resumed(world: World) -> None:
    async with granting(world, resume_s=10) as server:
        link = await register(world, group_id="", claim=Claim(HOST))
        await expect(link, RegisterResponse, 1)
        link.abort()
        await until(lambda: server.clients().clients[0].tunnels[0].state == "detached")

        assert await refused(world, HOST, token=OTHER_TOKEN) == (
            f'forbidden: the host "{HOST}" is claimed by somebody else'
        )
        await anyio.sleep(10.5)
        async with claiming(world, HOST, token=OTHER_TOKEN) as other:
            await other.ready()


@pytest.mark.rule("A8")
async def test_request_waits_for_a_client_that_lost_its_link(world: World) -> None:
    async with granting(world) as server, claiming(world, HOST, upstream=says(b"mine")) as client:
        await client.ready()
        world.network.sever()
        await until(lambda: server.clients().clients[0].tunnels[0].state == "detached")

        assert await body(server, HOST) == b"mine"


@pytest.mark.rule("A9")
async def test_claim_that_a_reload_takes_away_is_closed_live(world: World) -> None:
    telemetry = Recorder()
    async with granting(world, telemetry) as server, claiming(world, HOST, upstream=says(b"mine")) as client:
        await client.ready()

        await server.reload(server_settings(laptop=("*.elsewhere.test",)))

        assert await body(server, HOST) == 404
        with pytest.raises(RegistrationRefused, match="may not claim the host"):
            await client.wait_closed()
        async with claiming(world, HOST, token=OTHER_TOKEN, upstream=says(b"theirs")) as other:
            await other.ready()
            assert await body(server, HOST) == b"theirs"


@pytest.mark.rule("A9")
async def test_claim_that_a_reload_leaves_goes_on(world: World) -> None:
    async with granting(world) as server, claiming(world, HOST, upstream=says(b"mine")) as client:
        await client.ready()

        await server.reload(server_settings(laptop=(HOST,), claims=ClaimsSettings(balance="round_robin")))

        assert await body(server, HOST) == b"mine"
        assert client.claim.host == HOST


@pytest.mark.rule("A9")
async def test_later_claim_goes_when_credentials_do_not_share_the_host_any_more(world: World) -> None:
    both = {"laptop": ("app.test",), "phone": ("app.test",)}
    async with (
        granting(world, **both) as server,
        claiming(world, "app.test", "/api", upstream=says(b"api")) as first,
        claiming(world, "app.test", token=OTHER_TOKEN, upstream=says(b"site")) as second,
    ):
        await first.ready()
        await second.ready()

        await server.reload(server_settings(laptop=("*.test",), phone=("app.test",)))

        with pytest.raises(RegistrationRefused, match="claimed by somebody else"):
            await second.wait_closed()
        assert [await body(server, "app.test", path) for path in ("/api", "/")] == [b"api", 404]


@pytest.mark.rule("A10")
async def test_claims_of_a_credential_are_capped(world: World) -> None:
    telemetry = Recorder()
    caps = ClaimsSettings(max_claims_per_principal=1)
    async with granting(world, telemetry, claims=caps), claiming(world, HOST, client_id="one") as one:
        await one.ready()
        async with claiming(world, "b.laptop.test"), claiming(world, HOST, client_id="three") as joining:
            await joining.ready()
            await until(lambda: telemetry.of(RegistrationDenied))
        assert {each.code for each in telemetry.of(RegistrationDenied)} == {"overloaded"}


@pytest.mark.rule("A10")
async def test_claims_of_a_server_are_capped(world: World) -> None:
    telemetry = Recorder()
    caps = ClaimsSettings(max_claims=1)
    async with granting(world, telemetry, claims=caps), claiming(world, HOST) as one:
        await one.ready()
        async with claiming(world, "a.phone.test", token=OTHER_TOKEN) as other:
            await until(lambda: telemetry.of(RegistrationDenied))
            await one.aclose()
            await other.ready()


@pytest.mark.rule("A11")
async def test_server_without_claims_is_named_as_what_it_is(world: World) -> None:
    async def earlier(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(Error("forbidden", 'this credential may not join the group ""')))

    async with ScriptedServer(world.network, earlier).running():
        assert await refused(world, HOST) == "forbidden: this server knows no claims; it is of an earlier version"


@pytest.mark.rule("A11")
async def test_answer_without_a_claim_is_no_grant(world: World) -> None:
    async def ignorant(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(RegisterResponse("t", b"", "s", 1)))

    async with ScriptedServer(world.network, ignorant).running():
        assert await refused(world, HOST) == "forbidden: this server knows no claims; it is of an earlier version"


@pytest.mark.rule("A12")
@pytest.mark.parametrize("claim", [Claim("other.test"), Claim(HOST, "/x"), Claim("")])
async def test_grant_of_something_else_is_not_taken(world: World, claim: Claim) -> None:
    async def wrong(link: Link) -> None:
        await link.receive()
        await link.send(uncounted(RegisterResponse("t", b"", "s", 1, claim=claim)))

    server = ScriptedServer(world.network, wrong)
    async with server.running(), claiming(world, HOST) as client:
        await until(lambda: server.links >= 2)
        assert client.claim is None


@pytest.mark.rule("A1")
async def test_group_and_claim_together_are_forbidden(world: World) -> None:
    async with granting(world, groups={"web": group()}):
        link = await register(world, group_id="web", claim=Claim(HOST))
        with pytest.raises(RegistrationRefused, match="not both"):
            await expect(link, RegisterResponse, 1)


@pytest.mark.rule("A2")
@pytest.mark.parametrize(
    "claim",
    [
        Claim("*.laptop.test"),
        Claim("a.laptop.test:80"),
        Claim("a.laptop.test."),
        Claim("a b.laptop.test"),
        Claim("ä.laptop.test"),
        Claim("a..laptop.test"),
        Claim("x" * 64 + ".laptop.test"),
        Claim("[::1]"),
        Claim(("a" * 60 + ".") * 5 + "laptop.test"),
        Claim(HOST, "x"),
        Claim(HOST, "/a/../b"),
        Claim(HOST, "/a//b"),
        Claim(HOST, "/a?b"),
        Claim(HOST, "/%61"),
        Claim(HOST, "/" + "a" * 300),
    ],
)
async def test_what_is_no_host_or_prefix_is_forbidden(world: World, claim: Claim) -> None:
    async with granting(world) as server:
        link = await register(world, group_id="", claim=claim)
        with pytest.raises(RegistrationRefused) as caught:
            await expect(link, RegisterResponse, 1)

        assert caught.value.code is ErrorCode.FORBIDDEN
        assert server.clients().clients == ()


async def test_refused_registration_holds_nothing(world: World) -> None:
    async with granting(world, max_links=1) as server:
        link = await register(world, group_id="", claim=Claim(HOST))
        await expect(link, RegisterResponse, 1)
        another = await register(world, group_id="", claim=Claim("b.laptop.test"))
        with pytest.raises(RegistrationRefused):
            await expect(another, RegisterResponse, 1)

        async with claiming(world, "b.laptop.test", token=OTHER_TOKEN) as client:
            await client.ready()
        assert server is not None


@pytest.mark.rule("A4")
async def test_asking_beforehand_changes_nothing_and_makes_up_no_host(world: World) -> None:
    async with granting(world) as server:
        request = Register((1,), "c", "", bytes(16), TOKEN, claim=Claim(HOST))
        peer = world.network.dial("edge").peer
        links = server._links

        named = await links.register(request, peer)
        chosen = await links.register(msgspec.structs.replace(request, claim=Claim()), peer)

        assert (named.claim, named.capabilities) == (Claim(HOST), ("claims",))
        assert chosen.claim is None
        assert not server._claims


async def test_client_that_claims_dials_nothing_else_whatever_the_server_says(world: World) -> None:
    upstream = FakeUpstream()
    async with granting(world) as server, claiming(world, HOST, upstream=upstream) as client:
        await client.ready()
        settings = msgspec.structs.replace(client.settings, allow_targets=("10.0.0.0/8",))
        await client.reload(settings)

        assert (await ask(server, host=HOST)).status == 200


async def test_reload_of_a_client_keeps_the_host_that_was_chosen(world: World) -> None:
    async with granting(world) as server, claiming(world, client_id="one", upstream=says(b"mine")) as client:
        await client.ready()
        host = client.claim.host
        settings: ClientSettings = client.settings

        await client.reload(msgspec.structs.replace(settings, client_id="two"))

        assert client.claim.host == host
        assert await body(server, host) == b"mine"


async def test_reload_of_a_client_moves_to_another_claim(world: World) -> None:
    async with granting(world) as server, claiming(world, HOST, upstream=says(b"mine")) as client:
        await client.ready()
        claim = msgspec.structs.replace(client.settings.claim, host="new.laptop.test")

        await client.reload(msgspec.structs.replace(client.settings, claim=claim))

        assert client.claim.host == "new.laptop.test"
        assert await body(server, "new.laptop.test") == b"mine"
        await until(lambda: len(server.clients().clients[0].tunnels) == 1)
        assert await body(server, HOST) == 404


async def test_a_thousand_claims_come_and_go(world: World) -> None:
    caps = ClaimsSettings(max_claims_per_principal=1000)
    async with granting(world, claims=caps, max_links=1000) as server:
        links = []
        for number in range(1000):
            link = await register(world, group_id="", client_id=f"c{number}", claim=Claim(f"h{number}.laptop.test"))
            await expect(link, RegisterResponse, 1)
            links.append(link)
        assert len(server._claims) == 1000
        for link in links:
            await link.aclose()
            link.abort()
        await until(lambda: not server._claims)
        assert server._registry._rosters == {}


@pytest.mark.rule("A9")
async def test_reloads_in_a_row_do_not_stumble_over_what_they_closed(world: World) -> None:
    async with granting(world) as server:
        link = await register(world, group_id="", claim=Claim(HOST))
        await expect(link, RegisterResponse, 1)
        network_slow = world.network.pairs()[-1]
        network_slow.stall()

        await server.reload(server_settings(laptop=("*.elsewhere.test",)))
        await server.reload(server_settings())
        await server.reload(server_settings(laptop=("*.elsewhere.test",)))

        assert not server._claims
        async with claiming(world, HOST, token=OTHER_TOKEN) as other:
            await other.ready()


@pytest.mark.rule("A4")
async def test_host_that_was_chosen_and_is_refused_later_is_replaced_by_another(world: World) -> None:
    async with claiming(world, upstream=says(b"mine")) as client:
        async with granting(world):
            await client.ready()
            before = client.claim.host
        async with granting(world, laptop=("*.moved.test",)) as server:
            await until(lambda: server.clients().clients and server.clients().clients[0].tunnels[0].published)

            assert before.endswith(".laptop.test")
            assert client.claim.host.endswith(".moved.test")
            assert await body(server, client.claim.host) == b"mine"


@pytest.mark.rule("R2", "A8")
@pytest.mark.parametrize(("host", "resumed"), [(HOST, True), ("b.laptop.test", False)])
async def test_tunnel_is_resumed_for_the_same_claim_only(world: World, host: str, resumed: bool) -> None:
    async with granting(world) as server:
        link = await register(world, group_id="", claim=Claim(HOST))
        first = await expect(link, RegisterResponse, 1)
        link.abort()
        await until(lambda: server.clients().clients[0].tunnels[0].state == "detached")

        resume = ResumeRequest(first.tunnel_id, first.resume_token, 1, 0)
        again = await register(world, group_id="", claim=Claim(host), resume=resume)
        second = await expect(again, RegisterResponse, 1)

        assert (second.resumed, second.claim) == (resumed, Claim(host))


@pytest.mark.rule("A8")
async def test_request_that_waits_is_told_when_its_claim_is_gone(world: World) -> None:
    async with granting(world, resume_s=2, claims=ClaimsSettings(wait_for_client_s=60)) as server:
        link = await register(world, group_id="", claim=Claim(HOST))
        await expect(link, RegisterResponse, 1)
        link.abort()
        await until(lambda: server.clients().clients[0].tunnels[0].state == "detached")
        began_at = anyio.current_time()

        assert await body(server, HOST) == 503

        assert anyio.current_time() - began_at < 10


async def test_call_falls_under_a_claim_where_its_host_is_known(world: World) -> None:
    async with granting(world) as server, claiming(world, HOST, "/shop.v1.Orders") as client:
        await client.ready()

        def claimed(service: str, host: bytes) -> bool:
            return claim_of(server._claims, as_request(CallHead(service, "Get", host=host).frame())) is not None

        assert claimed("shop.v1.Orders", HOST.encode())
        assert not claimed("shop.v1.OrdersToo", HOST.encode())
        assert not claimed("shop.v1.Orders", b"")

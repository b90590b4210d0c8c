"""``register`` and ``config_sync`` asked on their own: the same judgement as on a link, and nothing changes."""

from __future__ import annotations

import msgspec
import pytest
from support.app_kit import OTHER_TOKEN, TOKEN, World, register

from tunnel.app.server import Server
from tunnel.domain.configuration import GroupSnapshot
from tunnel.domain.envelopes import ConfigSyncRequest, Error, Register, RegisterResponse
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.domain.identity import PeerInfo

pytestmark = pytest.mark.anyio

PEER = PeerInfo("memory", "somebody")
REGISTER = Register(versions=(1,), client_id="one", group_id="web", instance_id=bytes(16), credential=TOKEN)

REFUSED = [
    ({"credential": "wrong"}, ErrorCode.UNAUTHENTICATED),
    ({"credential": ""}, ErrorCode.UNAUTHENTICATED),
    ({"group_id": "nowhere"}, ErrorCode.FORBIDDEN),
    ({"credential": OTHER_TOKEN, "group_id": "api"}, ErrorCode.FORBIDDEN),
]


@pytest.mark.rule("W2")
async def test_register_tells_what_was_negotiated_and_registers_nobody(world: World) -> None:
    async with world.server(heartbeat_s=2) as server:
        before = server.clients()
        response = await server._links.register(REGISTER, PEER)
        assert (
            response.version,
            response.limits.heartbeat_s,
            response.tunnel_id,
            response.resume_token,
            response.resumed,
        ) == (1, 2.0, "", b"", False)
        assert GroupSnapshot.of(server.settings.groups["web"]).hash == response.config_hash
        assert before == server.clients()


@pytest.mark.rule("W2")
async def test_register_does_not_displace_the_client_it_names(world: World) -> None:
    async with world.server() as server, world.client() as client:
        await client.ready()
        before = server.clients()
        await server._links.register(msgspec.structs.replace(REGISTER, instance_id=b"x" * 16), PEER)
        assert before == server.clients()


@pytest.mark.rule("W3")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        *REFUSED,
        ({"versions": (2,)}, ErrorCode.FORBIDDEN),
        ({"client_id": ""}, ErrorCode.PROTOCOL_ERROR),
        ({"instance_id": b""}, ErrorCode.PROTOCOL_ERROR),
    ],
)
async def test_register_refuses_as_a_link_would(world: World, fields: dict[str, object], code: ErrorCode) -> None:
    async with world.server() as server:
        with pytest.raises(RegistrationRefused) as caught:
            await server._links.register(msgspec.structs.replace(REGISTER, **fields), PEER)
        link = await register(world, **fields)
        (envelope,) = (await link.receive()).envelopes
        assert isinstance(envelope.payload, Error)
        assert (code.value, code.value, caught.value.reason) == (
            caught.value.code.value,
            envelope.payload.code,
            envelope.payload.message,
        )
        assert server.clients().clients == ()


@pytest.mark.rule("W2")
async def test_config_sync_returns_the_whole_configuration_of_the_group(world: World) -> None:
    async with world.server() as server:
        response = await server._links.config_sync(ConfigSyncRequest("one", "web", TOKEN), PEER)
        expected = GroupSnapshot.of(server.settings.groups["web"])
        assert (expected, expected.hash, False) == (
            GroupSnapshot.decode(response.snapshot),
            response.hash,
            response.more,
        )
        assert server.clients().clients == ()


@pytest.mark.parametrize(("fields", "code"), REFUSED)
async def test_config_sync_refuses_wrong_credentials_and_groups(
    world: World, fields: dict[str, str], code: ErrorCode
) -> None:
    async with world.server() as server:
        with pytest.raises(RegistrationRefused) as caught:
            await _sync(server, **fields)
        assert code is caught.value.code


async def _sync(server: Server, *, credential: str = TOKEN, group_id: str = "web") -> object:
    return await server._links.config_sync(ConfigSyncRequest("one", group_id, credential), PEER)


async def test_refusals_of_a_link_and_a_call_do_not_leak_the_other_groups(world: World) -> None:
    async with world.server() as server:
        reasons = set()
        for name in ("api", "nowhere"):
            with pytest.raises(RegistrationRefused) as caught:
                await _sync(server, credential=OTHER_TOKEN, group_id=name)
            reasons.add(caught.value.reason.replace(name, "X"))
        assert len(reasons) == 1
        link = await register(world)
        assert isinstance((await link.receive()).envelopes[0].payload, RegisterResponse)
        await link.aclose()

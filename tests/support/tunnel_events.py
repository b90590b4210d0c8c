"""What befalls the tunnel in recorded conversations."""

from __future__ import annotations

import anyio
import msgspec
from support.app_kit import TOKEN, group, uncounted, until
from support.scene import Stage

from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.domain.configuration import AuthSettings, UpstreamSettings
from tunnel.domain.envelopes import Frame, Register, ResumeRequest

__all__ = [
    "client_leaves",
    "cut",
    "hold_up",
    "push",
    "remembers_a_tunnel",
    "revoke",
    "server_leaves",
    "speaks_another_version",
    "supersede",
]


async def cut(stage: Stage) -> None:
    """Stall the link once the first answer is there, and cut it when more was sent."""
    await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
    for pair in stage.world.network.pairs():
        pair.stall()
    await anyio.sleep(2)
    stage.world.network.sever()


async def hold_up(stage: Stage) -> None:
    """Stall the link for a moment once the first answer is there, so that what both ends say crosses."""
    await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
    for stalled in (True, False):
        for pair in stage.world.network.pairs():
            pair.stall(stalled=stalled)
        await anyio.sleep(1)


async def server_leaves(stage: Stage) -> None:
    if stage.server is not None:
        await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
        await stage.server.aclose(drain_s=10)


async def client_leaves(stage: Stage) -> None:
    if stage.client is not None:
        await until(lambda: stage.upstream.heard)
        await anyio.sleep(0.5)
        await stage.client.aclose(drain_s=10)


async def push(stage: Stage) -> None:
    """One configuration that the client takes, and one that it may not."""
    if stage.server is not None:
        await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
        for target in ("http://127.0.0.1:3001", "http://192.0.2.9:80"):
            upstreams = {"app": UpstreamSettings(targets=(target,))}
            settings = msgspec.structs.replace(stage.server.settings, groups={"web": group(upstreams=upstreams)})
            await stage.server.reload(settings)
            await anyio.sleep(0.5)


async def revoke(stage: Stage) -> None:
    """Take the client's credential away while its answer is under way."""
    if stage.server is not None:
        await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
        await stage.server.reload(msgspec.structs.replace(stage.server.settings, auth=AuthSettings()))


async def supersede(stage: Stage) -> None:
    """Another process registers under the client's name. What it says is not part of the recording."""
    if stage.server is not None:
        await until(lambda: stage.ready)
        link = MemoryNetwork.dial(stage.world.network, "edge")
        request = Register((1,), "one", "web", instance_id=b"another instance", credential=TOKEN)
        await link.send(uncounted(request))
        await anyio.sleep(0.5)
        link.abort()


def remembers_a_tunnel(frame: Frame) -> Frame:
    """Have a client ask for a tunnel that it had before the server was started anew."""
    match [each.payload for each in frame.envelopes]:
        case [Register() as request]:
            resume = ResumeRequest("0123456789abcdef" * 2, bytes(32), attempt=1, received=7)
            return uncounted(msgspec.structs.replace(request, resume=resume))
        case _:
            return frame


def speaks_another_version(frame: Frame) -> Frame:
    """Have a client speak version 2 of the protocol, and no other."""
    match [each.payload for each in frame.envelopes]:
        case [Register() as request]:
            return uncounted(msgspec.structs.replace(request, versions=(2,)))
        case _:
            return frame

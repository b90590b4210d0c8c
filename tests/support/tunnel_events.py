"""What befalls the tunnel in recorded conversations."""

from __future__ import annotations

import anyio
import msgspec
from support.app_kit import group, until
from support.scene import Stage

from tunnel.domain.configuration import UpstreamSettings

__all__ = ["client_leaves", "cut", "push", "server_leaves"]


async def cut(stage: Stage) -> None:
    """Stall the link once the first answer is there, and cut it when more was sent."""
    await until(lambda: stage.visitors and stage.visitors[0].data_bytes >= 3)
    for pair in stage.world.network.pairs():
        pair.stall()
    await anyio.sleep(2)
    stage.world.network.sever()


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

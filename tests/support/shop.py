"""Applications that note what becomes of them."""

from __future__ import annotations

from typing import Any

import anyio

__all__ = ["Reluctant", "Shop"]


class Shop:
    """An application that notes what becomes of it."""

    def __init__(self, name: str = "shop", *, failure: str = "") -> None:
        self.name = name
        self.failure = failure
        self.log: list[str] = []
        self.gate = anyio.Event()
        self.gate.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        self.log.append("request")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await self.gate.wait()
        await send({"type": "http.response.body", "body": self.name.encode()})

    async def live(self, receive: Any, send: Any) -> None:
        await receive()
        self.log.append("startup")
        if self.failure:
            await send({"type": "lifespan.startup.failed", "message": self.failure})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.log.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


class Reluctant(Shop):
    """Takes its time to shut down."""

    async def live(self, receive: Any, send: Any) -> None:
        await receive()
        self.log.append("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await anyio.sleep(5)
        self.log.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

"""A web service with a tunnel server inside: what it does not answer itself goes to whichever client is connected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import tunnel

server = tunnel.Server(tunnel.load_server_settings("server.toml"))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with server:
        yield
        await server.aclose()  # lets conversations under way finish


app = FastAPI(lifespan=lifespan)


@app.get("/clients")
async def clients() -> dict[str, list[str]]:
    return {"connected": [client.client_id for client in server.clients().clients]}


app.mount("/", server.ingress)

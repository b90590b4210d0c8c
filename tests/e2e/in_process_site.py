"""The same small site in several frameworks, to be named by targets: ``asgi:in_process_site:starlette_site``.

Paths: ``/small``; ``/upload`` tells how many bytes came, and a digest; ``/download`` streams 200 parts; ``/events``
streams two events, the second after ``/go`` was asked for; ``/fail`` raises; ``/state`` tells what the lifespan made;
``/after`` does something after its response, which ``/done`` tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse as StarletteJson
from fastapi.responses import PlainTextResponse, StreamingResponse
from flask import Flask, Response, request
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Route, WebSocketRoute

PARTS = 200
PART = b"0123456789abcdef" * 256

lives: list[str] = []
"""What lifespans did, in order."""


# -- FastAPI


@asynccontextmanager
async def _fastapi_life(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    lives.append("fastapi up")
    yield {"pool": "a pool", "go": asyncio.Event(), "done": []}
    lives.append("fastapi down")


fastapi_site = FastAPI(lifespan=_fastapi_life)
fastapi_site.add_middleware(GZipMiddleware, minimum_size=10**9)


@fastapi_site.get("/small")
async def _small() -> dict[str, str]:
    return {"site": "fastapi"}


@fastapi_site.post("/upload")
async def _upload(request: Request) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    async for part in request.stream():
        digest.update(part)
        size += len(part)
    return {"size": size, "sha256": digest.hexdigest()}


@fastapi_site.get("/download")
async def _download() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(PARTS):
            yield PART

    return StreamingResponse(parts())


@fastapi_site.get("/events")
async def _events(request: Request) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        yield "data: first\n\n"
        await request.state.go.wait()
        yield "data: second\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@fastapi_site.get("/go")
async def _go(request: Request) -> PlainTextResponse:
    request.state.go.set()
    return PlainTextResponse("gone")


@fastapi_site.get("/state")
async def _state(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.state.pool)


@fastapi_site.get("/fail")
async def _fail() -> None:
    raise ValueError("a secret")


@fastapi_site.get("/after")
async def _after(request: Request, tasks: BackgroundTasks) -> PlainTextResponse:
    async def work() -> None:
        await asyncio.sleep(0.01)
        request.state.done.append("worked")

    tasks.add_task(work)
    return PlainTextResponse("accepted")


@fastapi_site.get("/done")
async def _done(request: Request) -> list[str]:
    return list(request.state.done)


@fastapi_site.websocket("/echo")
async def _echo(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
    async for text in websocket.iter_text():
        await websocket.send_text(text)


# -- Starlette, with a middleware that wraps the response


class _Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-stamp"] = "starlette"
        return response


async def _starlette_small(request: Any) -> PlainTextResponse:
    return PlainTextResponse(f"starlette for {request.client.host}", background=BackgroundTask(lambda: None))


async def _starlette_upload(request: Any) -> StarletteJson:
    return StarletteJson(await _upload(request))


async def _starlette_echo(websocket: Any) -> None:
    await websocket.accept()
    async for data in websocket.iter_bytes():
        await websocket.send_bytes(data)


starlette_site = Starlette(
    routes=[
        Route("/small", _starlette_small),
        Route("/upload", _starlette_upload, methods=["POST"]),
        Route("/download", lambda _: _download_of_starlette()),
        WebSocketRoute("/echo", _starlette_echo),
    ],
    middleware=[Middleware(_Stamp)],
)


def _download_of_starlette() -> StreamingResponse:
    return StreamingResponse(iter([PART] * PARTS))


# -- Django, both ways

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="for tests",
        MIDDLEWARE=[],
        DEBUG_PROPAGATE_EXCEPTIONS=True,
    )
    django.setup()


def _django_small(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"django for {request.META['REMOTE_ADDR']}")


def _django_upload(request: HttpRequest) -> JsonResponse:
    digest, size = hashlib.sha256(), 0
    while part := request.read(65536):
        digest.update(part)
        size += len(part)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


def _django_download(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(PARTS):
            yield PART

    return StreamingHttpResponse(parts() if isinstance(request, ASGIRequest) else iter([PART] * PARTS))


urlpatterns = [
    path("small", _django_small),
    path("upload", _django_upload),
    path("download", _django_download),
]


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


# -- Flask

flask_site = Flask(__name__)
flask_go = threading.Event()


@flask_site.get("/small")
def _flask_small() -> str:
    return f"flask for {request.remote_addr}"


@flask_site.post("/upload")
def _flask_upload() -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    while part := request.stream.read(65536):
        digest.update(part)
        size += len(part)
    return {"size": size, "sha256": digest.hexdigest()}


@flask_site.get("/download")
def _flask_download() -> Response:
    return Response(PART for _ in range(PARTS))


@flask_site.get("/events")
def _flask_events() -> Response:
    def events() -> Iterator[str]:
        yield "data: first\n\n"
        flask_go.wait(10)
        yield "data: second\n\n"

    return Response(events(), mimetype="text/event-stream")


@flask_site.get("/go")
def _flask_go() -> str:
    flask_go.set()
    return "gone"


@flask_site.get("/fail")
def _flask_fail() -> str:
    raise ValueError("a secret")

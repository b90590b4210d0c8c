"""A FastAPI application that has a public URL for as long as it runs."""

import asyncio

from fastapi import FastAPI, Request

import tunnel

app = FastAPI()


@app.get("/hello/{name}")
async def hello(name: str, request: Request) -> dict[str, str]:
    return {"hello": name, "asked": str(request.url)}


async def main() -> None:
    async with tunnel.expose(app, to="grpc://127.0.0.1:7000", host="demo.localhost") as exposed:
        print(exposed.url, flush=True)
        await exposed.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())

"""A chat: whatever anybody says, everybody hears."""

import asyncio

from websockets.asyncio.server import ServerConnection, broadcast, serve

present: set[ServerConnection] = set()


async def attend(visitor: ServerConnection) -> None:
    present.add(visitor)
    try:
        async for message in visitor:
            broadcast(present, message)
    finally:
        present.remove(visitor)


async def main() -> None:
    async with serve(attend, "127.0.0.1", 3000) as server:
        print("the chat listens", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

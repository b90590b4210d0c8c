"""The access log of a real server with real visitors: a line for each request, however it went."""

import asyncio
import hashlib
import json
import re
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path

import tunnel
from tunnel.domain.configuration import decode_client_settings, decode_server_settings

TOKEN = "access-log-token"
DEADLINE_S = 20.0
SERVER = """
[transports.memory]
name = "access-log"
[ingress.http]
listen = "127.0.0.1:0"
max_body_bytes = 100000
upload_stall_s = 0.2
[auth.tokens.e2e]
sha256 = "{digest}"
groups = ["web", "empty"]
[access_log]
path = {path}
format = "json"
[[rules]]
host = "app.test"
group = "web"
[[rules]]
host = "empty.test"
group = "empty"
[[groups.web.rules]]
upstream = "app"
[groups.web.upstreams.app]
targets = ["http://127.0.0.1:{port}"]
[groups.empty]
"""


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers by path and reads no body: ``/cut`` breaks off, ``/close`` says nothing, ``/deaf`` does neither."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b" ", 2)
            if path == b"/deaf":
                await asyncio.sleep(DEADLINE_S)
            if path == b"/cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                return
            if path == b"/close":
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + (b"" if method == b"HEAD" else b"hello"))
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def serving(path: Path):
    listening = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    text = SERVER.format(digest=digest, path=json.dumps(str(path)), port=port)
    client = {"group": "web", "client_id": "one", "token": TOKEN, "servers": ["memory://access-log"]}
    async with (
        tunnel.Server(decode_server_settings(tomllib.loads(text))) as server,
        tunnel.Client(decode_client_settings(client)) as joined,
    ):
        await joined.ready()
        yield server.addresses["ingress.http"].rpartition(":")[::2]
    listening.close()


async def say(address, data: bytes, *, until: bytes | None = None) -> bytes:
    """What a visitor hears that says ``data``: to the end of the connection, or until it hears something."""
    host, port = address
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(DEADLINE_S):
        writer.write(data)
        heard = await (reader.read() if until is None else reader.readuntil(until))
    writer.transport.abort()
    return heard


def request(
    name: str, path: str = "/", *, host: str = "app.test", method: str = "GET", fields: str = "Connection: close\r\n"
) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {name}\r\n{fields}\r\n".encode()


def lines(path: Path) -> dict[str, dict[str, object]]:
    """Records by request id."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    found = {record["request_id"]: record for record in records}
    assert len(found) == len(records)
    return found


async def visit_all(path: Path) -> None:
    async with serving(path) as address:
        kept = b"".join(request(f"kept-{number}", "/?token=secret", fields="Cookie: secret\r\n") for number in range(3))
        assert (await say(address, kept + request("head", method="HEAD"))).count(b"HTTP/1.1 200") == 4
        await say(
            address, request("post", method="POST", fields="Content-Length: 5\r\nConnection: close\r\n") + b"12345"
        )
        await say(address, request("early", method="POST", fields="Content-Length: 90000\r\n") + b"1" * 40000)
        await say(address, request("nowhere", host="other.test"))
        await say(address, request("unserved", host="empty.test"))
        await say(address, request("unanswered", "/close"))
        await say(address, request("broken-off", "/cut"))
        await say(address, request("large", method="POST", fields="Content-Length: 100001\r\n"))
        chunked = "Transfer-Encoding: chunked\r\n"
        await say(address, request("malformed", "/deaf", method="POST", fields=chunked) + b"1\r\n1\r\nzz\r\n")
        await say(address, request("dotted", "/a/../b"))
        await say(
            address, request("two-hosts", "http://user:secret@app.test/", fields="Host: b\r\nConnection: close\r\n")
        )
        assert b'"request_id"' in await say(address, b"GET nonsense\r\n\r\n")


def test_every_request_has_one_line_that_tells_how_it_went(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    asyncio.run(visit_all(path))

    assert "secret" not in path.read_text()
    found = lines(path)
    (unnamed,) = (found.pop(name) for name in list(found) if re.fullmatch("[0-9a-f]{16}-[0-9a-f]+", name))
    assert {name: (record["outcome"], record["status"], record["sent_bytes"]) for name, record in found.items()} == {
        "kept-0": ("ok", 200, 5),
        "kept-1": ("ok", 200, 5),
        "kept-2": ("ok", 200, 5),
        "head": ("ok", 200, 0),
        "post": ("ok", 200, 5),
        "early": ("ok", 200, 5),
        "nowhere": ("route_not_found", 404, 0),
        "unserved": ("no_client", 503, 0),
        "unanswered": ("upstream_unreachable", 502, 0),
        "broken-off": ("upstream_unreachable", 200, 4),
        "large": ("too_large", 413, 0),
        "malformed": ("bad_request", 400, 0),
        "dotted": ("bad_request", 400, 0),
        "two-hosts": ("bad_request", 400, 0),
    }
    assert (unnamed["outcome"], unnamed["status"], unnamed["method"]) == ("bad_request", 400, "")
    assert found["post"]["received_bytes"] == 5
    assert (found["large"]["path"], found["two-hosts"]["path"]) == ("/", "")
    assert {record["peer"] for record in found.values()} == {"127.0.0.1"}
    assert {record["member"] for name, record in found.items() if record["group"] == "web"} == {"e2e/one"}

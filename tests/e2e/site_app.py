"""A web site behind the tunnel, for clients that are not ours: what browsers, curl and the like ask of one.

Run with a directory of git repositories, which may be cloned and pushed to at /git/NAME. Besides what `upstream_app`
answers:

| path | does |
| --- | --- |
| /file | a megabyte, and any one range of it |
| /compressed | a text, gzipped if the visitor takes that |
| /redirect?status=&to= | answers with that status and Location |
| /visitors-cookies | answers the Cookie field |
| /early | answers 413 without reading the request body |
| /unwanted | answers 417 when the request says Expect, as /inspect when it does not |
| /trailers | a body in chunks, with a trailer |
| /page?assets=, /asset/N | an HTML page whose script reports in its title; what it loads |
| /turn | answers what it is sent, piece by piece |
| /ticks?n= | n server-sent events; stays open until the visitor leaves |
| /seen | JSON: method, target, framing and coding of every request to /git so far |
"""

import asyncio
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

from e2e_data import MIB, blocks
from upstream_app import Request, Upstream, serve

FILE = b"".join(blocks(MIB))
TEXT = b"a text that is worth compressing. " * 200
_CGI_FIELDS = ("content-encoding", "git-protocol", "accept", "user-agent")


class Site(Upstream):
    def __init__(self, repositories: Path | None) -> None:
        super().__init__()
        self.repositories = repositories
        self.seen: list[dict[str, str]] = []
        self.quick |= {
            "/file": self.file,
            "/compressed": self.compressed,
            "/redirect": self.redirect,
            "/visitors-cookies": self.visitors_cookies,
            "/unwanted": self.unwanted,
            "/trailers": self.trailers,
            "/page": self.page,
            "/seen": self.tell_seen,
        }
        self.watched |= {"/ticks": self.ticks, "/turn": self.turn, "/early": self.early}

    async def serve(self, request: Request) -> None:
        if request.path.startswith("/git/"):
            await self.git(request)
        elif request.path.startswith("/asset/"):
            await self.asset(request)
        else:
            await super().serve(request)

    async def file(self, request: Request) -> None:
        fields = (("Accept-Ranges", "bytes"), ("ETag", '"file"'), ("Content-Type", "application/octet-stream"))
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.header("range") or "")
        if asked is None:
            request.answer(FILE, headers=fields)
            return
        first, last = asked.groups()
        start = int(first) if first else len(FILE) - int(last)
        end = min(int(last), len(FILE) - 1) if first and last else len(FILE) - 1
        if start >= len(FILE):
            fields = (("Content-Range", f"bytes */{len(FILE)}"),)
            request.answer(status="416 Range Not Satisfiable", headers=fields)
            return
        fields = (*fields, ("Content-Range", f"bytes {start}-{end}/{len(FILE)}"))
        request.answer(FILE[start : end + 1], status="206 Partial Content", headers=fields)

    async def compressed(self, request: Request) -> None:
        if "gzip" in (request.header("accept-encoding") or ""):
            request.answer(gzip.compress(TEXT), headers=(("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")))
        else:
            request.answer(TEXT)

    async def redirect(self, request: Request) -> None:
        await request.whole_body()
        request.answer(status=f"{request.query['status']} Elsewhere", headers=(("Location", request.query["to"]),))

    async def visitors_cookies(self, request: Request) -> None:
        request.answer((request.header("cookie") or "").encode())

    async def early(self, request: Request) -> None:
        fields = (("Connection", "close"),)
        request.answer(b"too much", status="413 Content Too Large", headers=fields)
        await asyncio.Event().wait()

    async def unwanted(self, request: Request) -> None:
        if request.header("expect"):
            request.answer(b"without, please", status="417 Expectation Failed")
        else:
            await self.inspect(request)

    async def trailers(self, request: Request) -> None:
        head = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        request.writer.write(head + b"4\r\nbody\r\n0\r\nX-Sum: 17\r\n\r\n")

    async def page(self, request: Request) -> None:
        assets = int(request.query["assets"])
        tags = "".join(f'<img src="/asset/{number}" onload="loaded++">' for number in range(assets))
        script = (Path(__file__).parent / "site_page.js").read_text()
        page = f"<!doctype html><title>loading</title><script>{script}</script><body>{tags}</body>"
        request.answer(page.encode(), headers=(("Content-Type", "text/html; charset=utf-8"),))

    async def asset(self, request: Request) -> None:
        number = int(request.path.removeprefix("/asset/"))
        image = f'<svg xmlns="http://www.w3.org/2000/svg" width="{number + 1}" height="8"/>'
        request.answer(image.encode(), headers=(("Content-Type", "image/svg+xml"), ("Cache-Control", "no-store")))

    async def ticks(self, request: Request) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        request.writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for number in range(int(request.query["n"])):
            event = f"id: {number}\ndata: tick {number}\n\n".encode()
            request.writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await request.writer.drain()
        await asyncio.Event().wait()

    async def turn(self, request: Request) -> None:
        request.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for piece in request.body():
            request.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await request.writer.drain()
        request.writer.write(b"0\r\n\r\n")

    async def tell_seen(self, request: Request) -> None:
        request.answer_json(self.seen)

    async def git(self, request: Request) -> None:
        """`git http-backend`, which speaks CGI (RFC 3875), between the two connections."""
        framing, coding = request.header("transfer-encoding") or "length", request.header("content-encoding") or ""
        self.seen.append({"method": request.method, "path": request.path, "framing": framing, "coding": coding})
        _, _, query = request.target.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path.removeprefix("/git"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.header("content-type") or "",
            **{f"HTTP_{name.upper().replace('-', '_')}": request.header(name) or "" for name in _CGI_FIELDS},
        }
        if length := request.header("content-length"):
            environment["CONTENT_LENGTH"] = length
        program = await asyncio.create_subprocess_exec(
            *("git", "http-backend"), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert program.stdin is not None
        assert program.stdout is not None
        feeding = asyncio.ensure_future(self.feed(program.stdin, request))
        head = (await program.stdout.readuntil(b"\r\n\r\n"))[:-4].decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in head)
        status = fields.pop("Status", "200 OK")
        lines = [f"HTTP/1.1 {status}", *(": ".join(field) for field in fields.items()), "Transfer-Encoding: chunked"]
        request.writer.write("\r\n".join([*lines, "", ""]).encode())
        while piece := await program.stdout.read(1 << 16):
            request.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await request.writer.drain()
        request.writer.write(b"0\r\n\r\n")
        await feeding
        await program.wait()

    async def feed(self, stdin: asyncio.StreamWriter, request: Request) -> None:
        async for piece in request.body():
            stdin.write(piece)
            await stdin.drain()
        stdin.close()


if __name__ == "__main__":
    asyncio.run(serve(Site(Path(sys.argv[1]) if len(sys.argv) > 1 else None)))

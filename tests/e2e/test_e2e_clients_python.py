"""HTTP libraries of Python, each with habits of its own: httpx, aiohttp, requests, and the standard library's."""

import asyncio
import hashlib
import http.client
import io
import json
import threading
import urllib.request

import pytest
from e2e_data import MIB, blocks, digest
from e2e_visitor import exchange_state, fetch, run
from site_app import TEXT

LARGE = 3 * MIB
SIZE = 1 << 30


@pytest.fixture
def base(site_tunnel) -> str:
    return f"http://{site_tunnel.ingress[0]}:{site_tunnel.ingress[1]}"


def opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())


# -- httpx


@pytest.fixture
def httpx_client(base):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(base_url=base, trust_env=False, timeout=10) as client:
        yield client


def test_httpx_gets_and_posts(httpx_client):
    told = httpx_client.post("/inspect", json={"a": "ü"}).json()

    assert told["method"] == "POST"
    assert dict(told["headers"])["content-type"] == "application/json"
    assert httpx_client.post("/echo", json={"a": "ü"}).json() == {"a": "ü"}
    assert httpx_client.get("/compressed").text == TEXT.decode()
    assert httpx_client.head("/file").headers["content-length"] == str(MIB)


def test_httpx_streams_both_ways(httpx_client):
    uploaded = httpx_client.post("/upload", content=blocks(LARGE)).json()
    sha256 = hashlib.sha256()
    with httpx_client.stream("GET", f"/download?framing=chunked&bytes={LARGE}") as response:
        for piece in response.iter_bytes():
            sha256.update(piece)

    assert uploaded == {"bytes": LARGE, "sha256": digest(LARGE)}
    assert sha256.hexdigest() == digest(LARGE)


def test_httpx_uploads_files_as_a_form(httpx_client):
    body = b"".join(blocks(LARGE))

    echoed = httpx_client.post("/echo", files={"file": ("name", body)}, data={"x": "1"})

    assert echoed.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert body in echoed.content


def test_httpx_reads_an_answer_that_comes_while_it_uploads(httpx_client):
    response = httpx_client.post("/early", content=blocks(LARGE))

    assert (response.status_code, response.text) == (413, "too much")
    assert httpx_client.get("/small").text == "small"


def test_httpx_follows_redirects_and_keeps_cookies(httpx_client, base):
    for to in ("/inspect", f"{base}/inspect", "inspect?x"):
        assert (
            httpx_client.get("/redirect", params={"status": "302", "to": to}, follow_redirects=True).status_code == 200
        )
    cookies = httpx_client.get("/cookies").headers.get_list("set-cookie")

    assert cookies == ["a=1; Path=/", "b=2, 3; Secure"]
    assert httpx_client.get("/visitors-cookies").text == "a=1"


def test_httpx_reads_events_and_leaves(httpx_client, site, site_tunnel):
    name = f"httpx-ticks-{site_tunnel.name}"
    seen = []
    with httpx_client.stream("GET", f"/ticks?n=3&id={name}", headers={"accept": "text/event-stream"}) as response:
        for line in response.iter_lines():
            seen += [line] if line.startswith("data") else []
            if len(seen) == 3:
                break

    assert seen == ["data: tick 0", "data: tick 1", "data: tick 2"]
    assert run(exchange_state(site, name, until="cancelled"))["finished"] is None


def test_httpx_that_loses_patience_stops_the_sites_work(httpx_client, site, site_tunnel):
    import httpx

    name = f"httpx-patience-{site_tunnel.name}"
    with pytest.raises(httpx.ReadTimeout):
        httpx_client.get(f"/slow?id={name}", timeout=0.1)

    assert run(exchange_state(site, name, until="cancelled"))["finished"] is None


def test_httpx_polls_for_as_long_as_it_takes(httpx_client, site, site_tunnel):
    name = f"httpx-poll-{site_tunnel.name}"

    def release() -> None:
        run(exchange_state(site, name, until="started"))
        run(fetch(site, f"/release?id={name}"))

    releasing = threading.Thread(target=release)
    releasing.start()
    answer = httpx_client.get(f"/slow?id={name}").text
    releasing.join()

    assert answer == "slow"


# -- aiohttp


def with_aiohttp(scenario):
    aiohttp = pytest.importorskip("aiohttp")

    async def session():
        async with aiohttp.ClientSession() as client:
            return await scenario(client)

    return run(session())


def test_aiohttp_streams_both_ways_at_once(base):
    """Each piece is sent only when the one before has come back."""
    pieces = [b"%d" % number * 1000 for number in range(20)]

    async def scenario(client):
        turn = asyncio.Queue()
        turn.put_nowait(pieces[0])

        async def body():
            while piece := await turn.get():
                yield piece

        received = []
        async with client.post(f"{base}/turn", data=body()) as response:
            for following in (*pieces[1:], b""):
                received.append(await response.content.readexactly(len(pieces[len(received)])))
                turn.put_nowait(following)
            return received, await response.content.read()

    assert with_aiohttp(scenario) == (pieces, b"")


def test_aiohttp_waits_to_be_asked_for_a_body(base):
    async def scenario(client):
        async with client.post(f"{base}/upload", data=io.BytesIO(b"".join(blocks(LARGE))), expect100=True) as response:
            told = await response.json()
        async with client.post(f"{base}/unwanted", data=b"x" * 100, expect100=True) as response:
            return told, response.status

    told, status = with_aiohttp(scenario)
    assert (told, status) == ({"bytes": LARGE, "sha256": digest(LARGE)}, 417)


def test_aiohttp_uses_its_connections_again(base):
    async def scenario(client):
        async def ask(number: int) -> str:
            async with client.post(f"{base}/echo", data=str(number)) as response:
                return await response.text()

        for _ in range(3):
            assert await asyncio.gather(*map(ask, range(40))) == [str(number) for number in range(40)]
        return len(client.connector._conns), sum(map(len, client.connector._conns.values()))

    hosts, idle = with_aiohttp(scenario)
    assert hosts == 1
    assert idle <= 40


def test_aiohttp_reads_an_answer_that_comes_while_it_uploads(base):
    async def scenario(client):
        async def pieces():
            for piece in blocks(LARGE):
                yield piece

        async with client.post(f"{base}/early", data=pieces()) as response:
            return response.status, await response.text()

    assert with_aiohttp(scenario) == (413, "too much")


def test_aiohttp_compresses_and_uploads_a_form(base):
    async def scenario(client):
        async with client.post(f"{base}/echo", data=TEXT, compress="gzip") as response:
            squeezed = len(await response.read())
        import aiohttp

        form = aiohttp.FormData({"x": "1"})
        form.add_field("file", TEXT, filename="name")
        async with client.post(f"{base}/echo", data=form) as response:
            return squeezed, await response.read()

    squeezed, echoed = with_aiohttp(scenario)
    assert squeezed < len(TEXT)
    assert TEXT in echoed


# -- requests


def test_requests_does_what_it_is_used_for(base):
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        assert session.post(f"{base}/upload", data=blocks(LARGE), timeout=10).json()["sha256"] == digest(LARGE)
        assert session.post(f"{base}/echo", files={"f": TEXT}, timeout=10).content.count(TEXT) == 1
        assert session.get(f"{base}/redirect?status=301&to=/small", timeout=10).text == "small"
        assert session.get(f"{base}/cookies", timeout=10).cookies["a"] == "1"
        assert session.get(f"{base}/compressed", timeout=10).content == TEXT
        with session.get(f"{base}/download?framing=chunked&bytes=300000", stream=True, timeout=10) as response:
            assert sum(map(len, response.iter_content(10_000))) == 300_000


# -- the standard library


def test_urllib_does_what_it_is_used_for(base):
    visitor = opener()
    with visitor.open(f"{base}/inspect") as response:
        told = dict(json.load(response)["headers"])
    with visitor.open(f"{base}/redirect?status=303&to=/small", data=b"x=1") as response:
        assert response.read() == b"small"
    with pytest.raises(urllib.error.HTTPError, match="413"):
        visitor.open(f"{base}/early", data=b"some")

    # It asks for every connection to be closed, which is between it and the ingress.
    assert "connection" not in told
    assert told["accept-encoding"] == "identity"


def test_http_client_uses_one_connection_for_everything(site_tunnel):
    visitor = http.client.HTTPConnection(*site_tunnel.ingress, timeout=10)
    visitor.connect()
    sock = visitor.sock
    for _ in range(3):
        visitor.request("POST", "/upload", blocks(LARGE), encode_chunked=True)
        assert json.loads(visitor.getresponse().read())["sha256"] == digest(LARGE)
        visitor.request("HEAD", "/file")
        assert visitor.getresponse().read() == b""
        visitor.request("GET", "/status?code=204")
        assert visitor.getresponse().read() == b""
        visitor.request("GET", "/trailers", headers={"TE": "trailers", "Connection": "TE"})
        assert visitor.getresponse().read() == b"body"
    assert visitor.sock is sock
    visitor.close()


def test_http_client_that_hangs_up_stops_the_sites_work(site_tunnel, site):
    name = f"http-client-left-{site_tunnel.name}"
    visitor = http.client.HTTPConnection(*site_tunnel.ingress, timeout=10)
    visitor.request("GET", f"/download?id={name}&bytes={SIZE}")
    visitor.getresponse().read(1000)
    visitor.close()

    assert run(exchange_state(site, name, until="cancelled"))["finished"] is None

"""Middleware on rules of the server and of a group, a package's own among it, for HTTP, WebSocket and gRPC."""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from e2e_topologies import Plan, Topology, make_topology, running
from e2e_visitor import Address, Visitor, assert_problem, fetch, run
from support.call_app import CallApp
from support.frameworks import without_frameworks
from support.ports import unused_port

pytestmark = pytest.mark.usefixtures("requires_tunnel")

HOSTS = ("server.guard.test", "group.guard.test")
"""Of which the first is guarded by a rule of the server, the second by one of the group."""

INGRESS = r"listening kind=ingress name=grpc address=(\S+)"

PACKAGE = """
import msgspec
from tunnel.ports.stream_around import EditedStream


class Options(msgspec.Struct):
    by: str


class Signing:
    Options = Options

    def __init__(self, options):
        self._field = (b"x-signed-by", options.by.encode())

    async def handle(self, stream, target):
        await target.handle(EditedStream(stream, edit=lambda fields: fields + self._field))
"""

TABLES = f"""
[middleware.who]
use = "basic_auth"
users = {{ ann = "sha256${hashlib.sha256(b"secret").hexdigest()}" }}
remove_header = true
user_header = "x-user"
[middleware.api]
use = "strip_prefix"
prefixes = ["/api"]
[middleware.small]
use = "compression"
min_bytes = 1
types = ["text/*", "application/*"]
[middleware.signed]
use = "sign"
by = "a package"
[middleware.local]
use = "ip_filter"
allow = ["127.0.0.0/8"]
[middleware.calls]
use = "headers"
response = {{ set = {{ "x-served-by" = "edge" }} }}

[[rules]]
host = "{HOSTS[0]}"
group = "web"
middleware = ["local", "signed", "who", "api", "small"]
[[rules]]
host = "{HOSTS[1]}"
group = "web"
[[rules]]
service = "guarded.v1.S"
group = "web"
middleware = ["calls", "who"]
[[groups.web.rules]]
host = "{HOSTS[1]}"
upstream = "app"
middleware = ["local", "signed", "who", "api", "small"]
"""


def installed(directory: Path) -> str:
    """A place where a package with a kind of middleware is installed."""
    information = directory / "signing-1.0.dist-info"
    information.mkdir(parents=True)
    (directory / "signing.py").write_text(PACKAGE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: signing\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[tunnel.middleware]\nsign = signing:Signing\n")
    return str(directory)


@pytest.fixture(scope="module")
def guarded(transport: str, upstream: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    directory = tmp_path_factory.mktemp(f"guarded-{transport}")
    with pytest.MonkeyPatch.context() as patch:
        places = [installed(directory / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", without_frameworks({"PYTHONPATH": os.pathsep.join(places)})["PYTHONPATH"])
        topology = make_topology(transport, Plan(upstream, calls_port=unused_port(), more=TABLES), directory)
        with running(topology):
            yield topology


def credentials(password: str = "secret") -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()


@pytest.mark.parametrize("host", HOSTS)
def test_visitor_with_the_password_gets_through_all_of_it(guarded, host):
    headers = [credentials(), ("Accept-Encoding", "gzip"), ("X-User", "root")]
    response = run(fetch(guarded.ingress, "/api/inspect?a=1", headers=headers, host=host))

    asked = json.loads(gzip.decompress(response.body))
    received = {name.lower(): value for name, value in asked["headers"]}
    assert (response.status, response.header("content-encoding")) == (200, "gzip")
    assert response.header("x-signed-by") == "a package"
    assert asked["target"] == "/inspect?a=1"
    assert (received["x-user"], received["x-forwarded-prefix"]) == ("ann", "/api")
    assert "authorization" not in received


@pytest.mark.parametrize("host", HOSTS)
def test_visitor_without_the_password_is_asked_for_it(guarded, host):
    response = run(fetch(guarded.ingress, "/api/inspect", headers=[credentials("wrong")], host=host))

    assert_problem(response, 401, "unauthenticated")
    assert response.header("www-authenticate") == 'Basic realm="tunnel", charset="UTF-8"'
    assert response.header("x-signed-by") == "a package"


@pytest.mark.parametrize("host", HOSTS)
def test_handshake_of_a_websocket_without_the_password_is_refused(guarded, host):
    async def scenario():
        async with await Visitor.connect(guarded.ingress) as visitor:
            headers = [
                *(("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]
            await visitor.send_head("GET", "/api/echo", headers, host=host)
            return await visitor.response()

    assert_problem(run(scenario()), 401, "unauthenticated")


def test_call_is_refused_with_a_status_or_goes_through_all_of_it(guarded):
    process = guarded.processes["host" if guarded.name == "memory" else "server"]
    address = process.wait_for(INGRESS)[1]
    name, value = credentials()

    async def outcome(channel, metadata):
        call = channel.unary_unary("/guarded.v1.S/Unary")(b"m", metadata=metadata)
        return await call.code(), dict(await call.initial_metadata()), await call.details()

    async def scenario():
        app = CallApp(port=guarded.plan.calls_port)
        await app.start()
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                refused = await outcome(channel, ())
                # Twice: the second is of one envelope.
                passed = [await outcome(channel, ((name.lower(), value),)) for _ in range(2)]
            return refused, passed, [dict(call.metadata) for call in app.calls]
        finally:
            await app.stop()

    refused, passed, seen = run(scenario())
    assert refused[::2] == (grpc.StatusCode.UNAUTHENTICATED, "user name and password are required")
    assert [code for code, _, _ in passed] == [grpc.StatusCode.OK] * 2
    assert [told["x-served-by"] for _, told, _ in passed] == ["edge"] * 2
    assert [call["x-user"] for call in seen] == ["ann"] * 2
    assert not any("authorization" in call for call in seen)


def test_admin_port_shows_which_rule_goes_through_what(guarded):
    rules = run(fetch(guarded.admins["server"], "/api/rules", host="localhost"))
    assert '"middleware": ["local", "signed", "who", "api", "small"]' in json.dumps(rules.json())

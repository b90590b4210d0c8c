"""Settings of the server and of its clients, as users would write them.

Hosts of the visitors' requests, all served by the client of the group ``web`` unless said otherwise:

    app.test            the upstream; each request on a connection of its own
    kept.test           another upstream, over connections that are kept
    stalled.test        an upstream with little room for what it has not read
    own.test, set.test  ``app.test`` with ``host_header = "target"``, and with a literal
    impatient.test      ``app.test`` with a first-byte timeout of 0.1 s
    refused.test        nobody listens
    unresolved.test     a name that does not resolve
    full.test           does not take connections, without refusing them; connect timeout 5 s
    forbidden.test      a name whose address the client may not dial
    failing.test        a target in the client's process, which fails as it is asked to
    process.test        an application in the client's process
    mended.test         ``app.test``, through middleware of either hop that changes fields and paths
    guarded.test        ``app.test``, through middleware that asks for a password
    moved.test          ``app.test``, through middleware that redirects
    packed.test         ``app.test``, through middleware that compresses
    astray.test         the group has no rule for it
    nobody.test         there is no rule for it at all
    late.test           group ``late``, which has no client
    crowd.test          group ``crowd``, which has none either; one request may wait for it
    any host            ``kept.test``, for paths below ``/any``
    frail.test          group ``frail``, for clients that a test starts and loses

Requests are given no names, which nobody could foretell: ``request_id`` is ``off``, but in the tests that are about it.

TCP listeners, of the group ``web``, by their upstreams (``late`` is of the group ``late``):

    plain               an upstream of nothing but bytes
    frail               the same, of the group ``frail``
    narrow              another one, with little room for what it has not read
    closed              nobody listens
    deaf                does not take connections, without refusing them; connect timeout 5 s
    barred              a name whose address the client may not dial
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from tunnel.domain.configuration import (
    ClientSettings,
    ServerSettings,
    decode_client_settings,
    decode_server_settings,
)

SCHEMES = {"grpc": "grpc", "websocket": "ws", "memory": "memory"}
"""Of each transport's URLs."""

MAX_BODY_BYTES = 1 << 20

TRUSTED_PROXY = "127.0.0.2"
"""A visitor that connects from there is believed what it says of forwarding."""

LITERAL_HOST = "literal.test:81"
"""What ``set.test`` is called towards its upstream."""

TOKEN = "fidelity-token"
TOKEN_SHA256 = hashlib.sha256(TOKEN.encode()).hexdigest()
_ELSEWHERE = "frail", "late", "crowd"
PATIENT_S = 300
"""Of heartbeats, so that tests may put the clock forward."""


@dataclass(frozen=True)
class Ports:
    """Where the upstreams listen."""

    app: int
    kept: int
    stalled: int
    full: int
    refused: int
    plain: int
    narrow: int


def server_settings(transport: str, ports: Ports, *, name: str, ingress: Mapping[str, object]) -> ServerSettings:
    """A server that is reached over ``transport`` alone.

    Args:
        transport: Of ``SCHEMES``.
        ports: Of the upstreams.
        name: Of the memory transport.
        ingress: Other keys of ``[ingress.http]``.
    """
    where = f"name = {json.dumps(name)}" if transport == "memory" else 'listen = "127.0.0.1:0"'
    ingress = {
        "listen": "127.0.0.1:0",
        "max_body_bytes": MAX_BODY_BYTES,
        "trusted_proxies": [TRUSTED_PROXY],
        "request_id": "off",
        **ingress,
    }
    entering = "\n".join(f"{key} = {json.dumps(value)}" for key, value in ingress.items())
    upstreams = {
        "app": (ports.app, "keepalive_s = 0"),
        "kept": (ports.kept, ""),
        "stalled": (ports.stalled, "keepalive_s = 0"),
        "own": (ports.app, 'keepalive_s = 0\nhost_header = "target"'),
        "set": (ports.app, f"keepalive_s = 0\nhost_header = {json.dumps(LITERAL_HOST)}"),
        "impatient": (ports.app, "keepalive_s = 0\nfirst_byte_timeout_s = 0.1"),
        "full": (ports.full, "connect_timeout_s = 5"),
        "refused": (ports.refused, ""),
    }
    targets = {name: f"http://127.0.0.1:{port}" for name, (port, _) in upstreams.items()} | {
        "unresolved": "http://upstream.invalid:80",
        "forbidden": "http://localhost:9",
        "calls": f"grpc://127.0.0.1:{ports.refused}",
        "failing": "unix:/failing",
    }
    tables = "".join(
        f"""
[[groups.web.rules]]
host = "{each}.test"
upstream = "{each}"
[groups.web.upstreams.{each}]
targets = ["{target}"]
ejection = {{ after_failures = 0 }}
{upstreams.get(each, (0, ""))[1]}
"""
        for each, target in targets.items()
    )
    tables += f"""
[[groups.web.rules]]
host = "process.test"
upstream = "process"
[groups.web.upstreams.process]
targets = ["app:process"]
[groups.web.upstreams.watched]
targets = ["{targets["app"]}"]
keepalive_s = 0
{"".join(_watched(each) for each in _WATCHED)}
"""
    tcp = {
        "plain": ("web", ports.plain),
        "frail": ("frail", ports.plain),
        "narrow": ("web", ports.narrow),
        "closed": ("web", ports.refused),
        "deaf": ("web", ports.full),
        "barred": ("web", 9),
        "late": ("late", ports.plain),
    }
    listeners = "".join(
        f"""
[[ingress.tcp]]
listen = "127.0.0.1:0"
group = "{group}"
upstream = "{each}"
[groups.{group}.upstreams.{each}]
targets = ["tcp://{"localhost" if each == "barred" else "127.0.0.1"}:{port}"]
ejection = {{ after_failures = 0 }}
"""
        for each, (group, port) in tcp.items()
    )
    return decode_server_settings(
        tomllib.loads(f"""
[transports.{transport}]
{where}
[ingress.http]
{entering}
[auth.tokens.fidelity]
sha256 = "{TOKEN_SHA256}"
groups = ["web", "frail"]
[limits]
heartbeat_s = {PATIENT_S}
{"".join(_rule(each, "web") for each in (*targets, "astray", "process"))}
{"".join(_rule(each, "web", _WATCHED[each][0]) for each in _WATCHED)}
{_MIDDLEWARE}
{"".join(_rule(each, each) for each in _ELSEWHERE)}
[[rules]]
path_prefix = "/any"
group = "web"
[[groups.web.rules]]
path_prefix = "/any"
upstream = "kept"
[groups.web.ejection]
after_failures = 0
{tables}
{listeners}
[groups.crowd]
wait_for_client_s = 60
max_waiting = 1
[groups.frail.ejection]
after_failures = 0
[[groups.frail.rules]]
upstream = "app"
[groups.frail.upstreams.app]
targets = ["{targets["app"]}"]
keepalive_s = 0
""")
    )


def client_settings(transport: str, address: str, *, group: str, ports: Ports) -> ClientSettings:
    """A client of ``group``, of the server whose transport listens at ``address``."""
    return decode_client_settings(
        {
            "client_id": group,
            "group": group,
            "token": TOKEN,
            "servers": [f"{SCHEMES[transport]}://{address}"],
            # localhost:9 of forbidden.test is let pass for its port, and found to be elsewhere when it is dialled.
            "allow_targets": [
                *(f"127.0.0.1:{port}" for port in astuple(ports)),
                "10.0.0.0/8:9",
                "*.invalid",
                "unix:/failing",
                *(("app:process",) if group == "web" else ()),
            ],
            "limits": {"heartbeat_s": PATIENT_S},
        }
    )


_MIDDLEWARE = f"""
[middleware.edge]
use = "headers"
request = {{ set = {{ x-edge = "seen" }}, remove = ["x-secret"] }}
[middleware.prefix]
use = "strip_prefix"
prefixes = ["/api"]
[middleware.marks]
use = "headers"
response = {{ add = {{ set-cookie = "mark=1" }}, remove = ["x-internal"] }}
[middleware.passwords]
use = "basic_auth"
users = {{ ada = "sha256${hashlib.sha256(b"secret").hexdigest()}" }}
[middleware.gzip]
use = "compression"
min_bytes = 1
[middleware.moved]
use = "redirect"
scheme = "https"
host = "elsewhere.test"
"""
_WATCHED = {
    "mended": (["edge"], ["prefix", "marks"]),
    "guarded": (["passwords"], []),
    "moved": (["moved"], []),
    "packed": ([], ["gzip"]),
}
"""Middleware by host, of the server's rule and of the group's."""


def _rule(host: str, group: str, middleware: Sequence[str] = ()) -> str:
    return f'[[rules]]\nhost = "{host}.test"\ngroup = "{group}"\nmiddleware = {json.dumps([*middleware])}\n'


def _watched(host: str) -> str:
    middleware = json.dumps(_WATCHED[host][1])
    return f'[[groups.web.rules]]\nhost = "{host}.test"\nupstream = "watched"\nmiddleware = {middleware}\n'

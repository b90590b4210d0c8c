"""What the visitor sends is what the upstream gets, and the other way round, but for what belongs to one hop."""

import pytest
from e2e_visitor import HOST, Visitor, fetch, run

RAW_TARGET = "/inspect/a%2Fb/%7Euser/caf%C3%A9;v=1//x?b=2&a=1&a=%20+z&&empty=&=%"

pytestmark = pytest.mark.both_ways


def inspected(topology, *, target="/inspect", headers=()) -> dict[str, list[str]]:
    """Return the headers as the upstream received them, by lower-case name."""
    response = run(fetch(topology.ingress, target, headers=headers))
    assert response.status == 200
    received: dict[str, list[str]] = {}
    for name, value in response.json()["headers"]:
        received.setdefault(name.lower(), []).append(value)
    return received


def test_two_set_cookie_headers_stay_two(tunnel):
    response = run(fetch(tunnel.ingress, "/cookies"))

    assert response.all("set-cookie") == ["a=1; Path=/", "b=2, 3; Secure"]


def test_repeated_request_headers_stay_apart_and_in_order(tunnel):
    received = inspected(tunnel, headers=[("X-Many", "1"), ("X-Other", "x"), ("X-Many", "2, 3"), ("X-Many", "")])

    assert received["x-many"] == ["1", "2, 3", ""]


def test_header_value_beyond_ascii_is_kept(tunnel):
    received = inspected(tunnel, headers=[("X-Latin", "caf\xe9")])

    assert received["x-latin"] == ["caf\xe9"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PATCH", "REPORT"])
def test_method_path_and_query_arrive_unchanged(tunnel, method):
    response = run(fetch(tunnel.ingress, RAW_TARGET, method=method, body=b"" if method == "PATCH" else None))

    assert (method, RAW_TARGET) == (response.json()["method"], response.json()["target"])


def test_visitors_host_is_kept(tunnel):
    assert inspected(tunnel)["host"] == [HOST]


def test_head_has_the_length_of_the_body_it_does_not_have(tunnel):
    async def scenario():
        async with await Visitor.connect(tunnel.ingress) as visitor:
            return await visitor.request("HEAD", "/small"), await visitor.get("/small")

    head, after = run(scenario())

    assert (head.status, head.header("content-length"), head.body) == (200, "5", b"")
    assert (after.status, after.body) == (200, b"small")


@pytest.mark.parametrize("code", [204, 304])
def test_response_without_a_body_leaves_the_connection_usable(tunnel, code):
    async def scenario():
        async with await Visitor.connect(tunnel.ingress) as visitor:
            return await visitor.get(f"/status?code={code}"), await visitor.get("/small")

    bodiless, after = run(scenario())

    assert (code, '"e"') == (bodiless.status, bodiless.header("etag"))
    assert bodiless.header("transfer-encoding") is None
    assert (after.status, after.body) == (200, b"small")


def test_unusual_status_is_kept(tunnel):
    assert run(fetch(tunnel.ingress, "/status?code=418")).status == 418


@pytest.mark.usefixtures("requires_tunnel")
def test_request_headers_of_the_first_hop_go_no_further(tunnel):
    headers = [
        ("Connection", "keep-alive, X-Private"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Upgrade", "h2c"),
        ("X-Public", "2"),
    ]
    received = inspected(tunnel, headers=headers)

    assert set() == received.keys() & {"x-private", "keep-alive", "proxy-connection", "upgrade"}
    assert received["x-public"] == ["2"]


@pytest.mark.usefixtures("requires_tunnel")
def test_response_headers_of_the_last_hop_go_no_further(tunnel):
    response = run(fetch(tunnel.ingress, "/hop"))

    assert tuple(map(response.header, ("x-private", "keep-alive", "x-public"))) == (None, None, "2")
    assert "x-private" not in (response.header("connection") or "").lower()


@pytest.mark.usefixtures("requires_tunnel")
def test_upstream_learns_who_the_visitor_is(tunnel):
    received = inspected(tunnel)

    assert received["x-forwarded-for"] == ["127.0.0.1"]
    assert received["x-forwarded-proto"] == ["http"]
    assert received["x-forwarded-host"] == [HOST]


@pytest.mark.usefixtures("requires_tunnel")
def test_spoofed_forwarding_headers_are_replaced(tunnel):
    spoofed = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("x-forwarded-for", "6.6.6.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.test"),
        ("Forwarded", "for=6.6.6.6;host=evil.test"),
    ]
    received = inspected(tunnel, headers=spoofed)

    assert received["x-forwarded-for"] == ["127.0.0.1"]
    assert received["x-forwarded-proto"] == ["http"]
    assert received["x-forwarded-host"] == [HOST]
    assert "forwarded" not in received

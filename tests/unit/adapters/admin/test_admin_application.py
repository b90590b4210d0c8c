"""Who may look, what is answered, and what is refused."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from admin_kit import HOST, LOOPBACK, FakeServer, client_application, get, server_application

from tunnel.adapters.admin.endpoints import MAX_PAGE
from tunnel.domain.configuration import AdminSettings
from tunnel.ports.inspection import Readiness

pytestmark = pytest.mark.anyio

TOKEN = "tnl_admin"
GUARDED = AdminSettings(
    listen="0.0.0.0:8090", token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest().upper(), insecure=True
)
BEARER = ("authorization", f"Bearer {TOKEN}")

PUBLIC = ("/healthz", "/readyz")
PRIVATE = ("/metrics", "/api/status", "/api/clients", "/api/rules", "/api/config", "/api/stats", "/api/openapi.json")


@pytest.mark.parametrize("path", [*PUBLIC, *PRIVATE])
async def test_everything_is_answered_and_kept_by_no_cache(path: str) -> None:
    got = await get(server_application(), path)
    assert got.status == 200
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["content-length"] == str(len(got.body))


async def test_a_client_has_tunnels_instead_of_clients_and_rules() -> None:
    application = client_application()
    statuses = {path: (await get(application, path)).status for path in ("/api/tunnels", "/api/clients", "/api/rules")}
    assert statuses == {"/api/tunnels": 200, "/api/clients": 404, "/api/rules": 404}


async def test_readiness_falls_with_reasons() -> None:
    server = FakeServer()
    server.ready = Readiness(False, ("draining",))
    got = await get(server_application(server), "/readyz")
    assert (got.status, got.json) == (503, {"ready": False, "reasons": ["draining"]})


# -- who may look


@pytest.mark.parametrize("path", [*PRIVATE, "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer tnl_other")],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [BEARER, BEARER],
        [("authorization", f"Bearer {GUARDED.token_sha256}")],
    ],
)
async def test_without_the_token_nothing_is_shown(path: str, headers: list[tuple[str, str]]) -> None:
    got = await get(server_application(settings=GUARDED), path, *headers)
    assert (got.status, got.json["code"]) == (401, "unauthenticated")
    assert got.headers["www-authenticate"] == "Bearer"
    assert got.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_opens_everything(path: str, scheme: str) -> None:
    got = await get(server_application(settings=GUARDED), path, ("authorization", f"{scheme} {TOKEN}"))
    assert got.status == 200


@pytest.mark.parametrize("path", PUBLIC)
async def test_probes_need_no_token(path: str) -> None:
    assert (await get(server_application(settings=GUARDED), path)).status == 200


@pytest.mark.parametrize("host", ["evil.test", "localhost.evil.test:80", "127.0.0.1.evil.test", "[::1", "a@127.0.0.1"])
async def test_pages_of_other_hosts_do_not_look_at_a_port_without_a_token(host: str) -> None:
    got = await get(server_application(), "/api/status", ("host", host), host=False)
    assert (got.status, got.json["code"]) == (421, "misdirected")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8090", "LOCALHOST", "[::1]:8090", "10.0.0.7:1", ""])
async def test_addresses_and_localhost_are_this_host(host: str) -> None:
    assert (await get(server_application(), "/api/status", ("host", host), host=False)).status == 200


async def test_a_page_of_another_host_gains_nothing_by_two_host_fields() -> None:
    got = await get(server_application(), "/api/status", ("host", "evil.test"))
    assert got.status == 421


# -- what is refused


async def test_head_has_the_fields_of_get_and_no_body() -> None:
    whole, head = [await get(server_application(), "/api/status", method=each) for each in ("GET", "HEAD")]
    assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
async def test_other_methods_are_not_allowed(method: str) -> None:
    got = await get(server_application(), "/api/status", method=method)
    assert (got.status, got.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/api", "/api/status/", "/API/status", "//healthz"])
async def test_other_paths_are_not_found(path: str) -> None:
    got = await get(server_application(), path)
    assert (got.status, got.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        f"limit={MAX_PAGE + 1}",
        "limit=ten",
        "limit=-1",
        "limit=",
        "offset=-1",
        "limit=1&limit=2",
        "page=1",
        "limit=%FF",
        "limit=٣",
        "offset=" + "9" * 30,
        "limit=1&" * 20,
    ],
)
async def test_wrong_parameters_are_a_bad_request(query: str) -> None:
    got = await get(server_application(), f"/api/clients?{query}")
    assert (got.status, got.json["code"]) == (400, "bad_request")


async def test_pages_are_bounded_and_asked_for() -> None:
    server = FakeServer()
    application = server_application(server)
    await get(application, "/api/clients")
    await get(application, f"/api/clients?offset=200&limit={MAX_PAGE}")
    await get(application, "/api/rules?group=web&limit=1")
    assert server.asked == [(0, 100), (200, MAX_PAGE), ("web", 0, 1)]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("url=http://app.test/&group=web", "the parameters url and group exclude each other"),
        ("limit=1&url=http://app.test/", "the parameters url and limit exclude each other"),
        ("forward=web&group=web", "the parameters forward and group exclude each other"),
        ("method=GET", "the parameter method goes with url"),
    ],
)
async def test_parameters_that_would_not_count_are_refused(query: str, detail: str) -> None:
    got = await get(server_application(), f"/api/rules?{query}")
    assert (got.status, got.json["detail"]) == (400, detail)


async def test_rules_of_an_unknown_group_are_not_found() -> None:
    assert (await get(server_application(), "/api/rules?group=nobody")).status == 404


async def test_forward_rules_are_asked_for_by_group() -> None:
    server = FakeServer()
    await get(server_application(server), "/api/rules?forward=web&limit=1")
    assert server.asked == [(None, 0, 1, "web")]


async def test_a_request_is_explained() -> None:
    server = FakeServer()
    got = await get(server_application(server), "/api/rules?url=http%3A%2F%2Fapp.test%2Fa%3Fb%3D1&method=POST")
    assert (got.status, got.json["rule"]) == (200, {"key": "rules[0]"})
    assert server.asked == [("http://app.test/a?b=1", "POST")]


async def test_what_cannot_be_explained_is_a_bad_request() -> None:
    got = await get(server_application(), "/api/rules?url=nonsense")
    assert (got.status, got.json["detail"]) == (400, "url: expected a URL")


async def test_a_failure_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    server = FakeServer()
    server.failure = RuntimeError("secret of the inside")
    got = await get(server_application(server), "/api/status")
    assert (got.status, got.json["code"]) == (500, "internal")
    assert b"secret" not in got.body
    assert "/api/status could not be answered" in caplog.text


async def test_a_request_with_a_body_ends_its_connection() -> None:
    for field in (("content-length", "3"), ("transfer-encoding", "chunked")):
        assert (await get(server_application(), "/healthz", field)).headers["connection"] == "close"
    assert "connection" not in (await get(server_application(), "/healthz", ("content-length", "0"))).headers


async def test_other_settings_hold_from_the_next_request_on() -> None:
    application = server_application()
    application.settings = GUARDED
    assert (await get(application, "/api/status")).status == 401
    application.settings = msgspec.structs.replace(LOOPBACK)
    assert (await get(application, "/api/status", HOST, host=False)).status == 200


async def test_other_scopes_are_not_served() -> None:
    with pytest.raises(NotImplementedError, match="websocket"):
        await server_application()({"type": "websocket"}, None, None)  # type: ignore[arg-type]

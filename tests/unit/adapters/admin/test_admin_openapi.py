"""What is answered is what the description says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from admin_kit import FakeServer, client_application, get, server_application

from tunnel.adapters.admin.application import AdminApplication
from tunnel.ports.inspection import Readiness

pytestmark = pytest.mark.anyio

EXAMPLES = {"/api/rules": ["", "?url=http://app.test/", "?group=web"], "/api/clients": ["", "?limit=1"]}


async def described(application: AdminApplication) -> dict[str, Any]:
    return (await get(application, "/api/openapi.json")).json


def validate(document: dict[str, Any], schema: dict[str, Any], instance: Any) -> None:
    """Against a schema within the document, of which nothing beyond what is named may be there."""
    closed = json.loads(json.dumps(document["components"]))
    for component in closed["schemas"].values():
        if component.get("type") == "object":
            component["additionalProperties"] = False
    jsonschema.Draft202012Validator({**schema, "components": closed}).validate(instance)


def response(document: dict[str, Any], path: str, status: int, media_type: str) -> dict[str, Any]:
    return document["paths"][path]["get"]["responses"][str(status)]["content"][media_type]["schema"]


@pytest.mark.parametrize("make", [server_application, client_application])
async def test_every_answer_is_as_described(make: Any) -> None:
    application = make()
    document = await described(application)
    assert document["openapi"] == "3.1.0"
    for path in document["paths"]:
        for query in EXAMPLES.get(path, [""]):
            got = await get(application, path + query)
            media_type = got.headers["content-type"].partition(";")[0]
            schema = response(document, path, got.status, media_type)
            if media_type == "application/json":
                validate(document, schema, got.json)


async def test_what_is_not_ready_is_as_described() -> None:
    server = FakeServer()
    server.ready = Readiness(False, ("draining",))
    application = server_application(server)
    got = await get(application, "/readyz")
    document = await described(application)
    validate(document, response(document, "/readyz", 503, "application/json"), got.json)


@pytest.mark.parametrize(
    ("target", "method", "host", "status"),
    [
        ("/api/clients?limit=0", "GET", "127.0.0.1", 400),
        ("/api/rules?group=nobody", "GET", "127.0.0.1", 404),
        ("/api/clients", "PUT", "127.0.0.1", 405),
        ("/api/clients", "GET", "evil.test", 421),
    ],
)
async def test_problems_are_as_described(target: str, method: str, host: str, status: int) -> None:
    application = server_application()
    got = await get(application, target, ("host", host), host=False, method=method)
    document = await described(application)
    assert got.status == status
    schema = response(document, target.partition("?")[0], status, "application/problem+json")
    validate(document, schema, got.json)
    assert got.json["status"] == status


async def test_every_reference_leads_somewhere_and_names_are_unique() -> None:
    document = await described(server_application())
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    referenced = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referenced == names
    operations = [path["get"]["operationId"] for path in document["paths"].values()]
    assert len(operations) == len(set(operations))


async def test_fields_are_described_where_they_are() -> None:
    schemas = (await described(server_application()))["components"]["schemas"]
    undescribed = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, kind in schema.get("properties", {}).items()
        if not kind.get("description")
    ]
    assert undescribed == []
    assert not any("Args:" in schema["description"] for schema in schemas.values())

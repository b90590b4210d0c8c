"""The description of the admin port, made of its endpoints and of the types that they show.

Source: OpenAPI Specification 3.1.0, whose schemas are JSON Schema 2020-12.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import msgspec

from tunnel.adapters.admin.answer import PROBLEM, Problem
from tunnel.adapters.admin.descriptions import described
from tunnel.adapters.admin.endpoint import Endpoint

__all__ = ["openapi_document"]

_REFERENCE: Final = "#/components/schemas/{name}"

_WORDS: Final = {200: "What was asked for", 503: "Not ready, with the reasons"}

_ERRORS: Final = {
    "400": "The parameters are wrong",
    "401": "The bearer token is missing or wrong",
    "404": "There is no such thing",
    "405": "Only GET and HEAD are allowed",
    "421": "Without a token, the Host field has to hold an IP address or localhost",
}


def openapi_document(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """Describe ``endpoints``."""
    types = [each for endpoint in endpoints for each in endpoint.shows]
    schemas, components = msgspec.json.schema_components((*types, Problem), ref_template=_REFERENCE)
    problem = schemas[-1]
    remaining = iter(schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tunnel admin port", "version": version("hextunnel")},
        "components": {
            "schemas": described(components),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "paths": {
            each.path: {"get": _operation(each, [next(remaining) for _ in each.shows], problem)} for each in endpoints
        },
    }


def _operation(endpoint: Endpoint, schemas: list[dict[str, object]], problem: dict[str, object]) -> dict[str, object]:
    shown: dict[str, object] = {} if not schemas else schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    content = {endpoint.media_type: {"schema": shown or {"type": "string"}}}
    errors = {
        code: {"description": words, "content": {PROBLEM: {"schema": problem}}}
        for code, words in _ERRORS.items()
        if not (endpoint.public and code in ("401", "421"))
    }
    return {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "security": [] if endpoint.public else [{"token": []}, {}],
        "parameters": [
            {"name": each.name, "in": "query", "description": each.description, "schema": each.schema}
            for each in endpoint.parameters
        ],
        "responses": {
            **{str(status): {"description": _WORDS[status], "content": content} for status in endpoint.statuses},
            **errors,
        },
    }

"""No secret is shown, whatever it is part of."""

from __future__ import annotations

import re

import msgspec
from msgspec import inspect
from support.app_kit import group

from tunnel.app.redaction import redacted, redacted_rule
from tunnel.domain.configuration import (
    AdminSettings,
    AuthSettings,
    ClientSettings,
    MemoryTransportSettings,
    Secret,
    ServerSettings,
    TokenSettings,
    TransportsSettings,
)
from tunnel.domain.rules.rule import Rule, ValueMatch

SUSPICIOUS = re.compile(r"auth|certificate|credential|hash|key|passw|private|secret|sha256|token")
HARMLESS = {
    "auth": "the table",
    "tokens": "the table",
    "token_env": "the name of a variable",
    "token_file": "the name of a file",
    "certificate": "the name of a file",
    "key": "the name of a file",
    "hash_on": "what is hashed",
}
"""Keys that sound like secrets and hold none."""

HASH, OTHER_HASH = "a1" * 32, "b2" * 32


def paths(kind: inspect.Type, path: str = "") -> dict[str, inspect.Type]:
    """Every key of settings with its type, by dotted path."""
    match kind:
        case inspect.StructType(fields=fields):
            found: dict[str, inspect.Type] = {}
            for field in fields:
                here = f"{path}.{field.name}".lstrip(".")
                found |= {here: field.type} | paths(field.type, here)
            return found
        case inspect.UnionType(types=types):
            return {key: each for kind in types for key, each in paths(kind, path).items()}
        case inspect.DictType(value_type=value):
            return paths(value, f"{path}.NAME")
        case inspect.VarTupleType(item_type=item):
            return paths(item, path)
        case _:
            return {}


def shown_at(table: object, path: str) -> list[object]:
    """What is shown at a path; NAME stands for any key."""
    values = [table]
    for part in path.split("."):
        below = [each for value in values for each in (value if isinstance(value, list) else [value])]
        values = [each[key] for each in below if isinstance(each, dict) for key in each if part in ("NAME", key)]
    return values


def test_every_key_that_sounds_like_a_secret_is_redacted_or_known_to_be_none() -> None:
    server = ServerSettings(
        transports=TransportsSettings(memory=MemoryTransportSettings(name="edge")),
        auth=AuthSettings(tokens={"laptop": TokenSettings(sha256=HASH)}),
        admin=AdminSettings(listen="127.0.0.1:0", token_sha256=OTHER_HASH),
    )
    client = ClientSettings(
        group="web",
        servers=("memory://edge",),
        token=Secret("tnl_x"),
        admin=AdminSettings(listen="127.0.0.1:0", token_sha256=OTHER_HASH),
    )
    checked = set()
    for settings in (server, client):
        for path in paths(inspect.type_info(type(settings))):
            name = path.rpartition(".")[2]
            if SUSPICIOUS.search(name) and name not in HARMLESS:
                assert set(shown_at(redacted(settings), path)) == {"***"}, path
                checked.add(path)
    assert {"auth.tokens.NAME.sha256", "admin.token_sha256", "token"} <= checked


def test_values_of_rules_that_may_be_secrets_are_redacted() -> None:
    rule = Rule(
        path_prefix="/",
        headers={
            "X-Api-Key": "k1",
            "cookie": ValueMatch(regex="k2"),
            "x-env": "canary",
            "x-any": ValueMatch(present=True),
        },
        query={"access_token": "k3", "page": "1"},
        group="web",
    )
    assert redacted_rule(rule) == {
        "path_prefix": "/",
        "group": "web",
        "headers": {
            "X-Api-Key": "***",
            "cookie": "***",
            "x-env": "canary",
            "x-any": {"regex": None, "present": True},
        },
        "query": {"access_token": "***", "page": "1"},
    }


def test_settings_are_json_in_the_shape_of_a_file() -> None:
    settings = ServerSettings(
        transports=TransportsSettings(memory=MemoryTransportSettings(name="edge")),
        groups={"web": group()},
        rules=(Rule(path_prefix="/", group="web"),),
    )
    shown = msgspec.json.decode(msgspec.json.encode(redacted(settings)))
    assert shown == redacted(settings)
    assert shown["groups"]["web"]["upstreams"]["app"]["targets"] == ["http://127.0.0.1:3000"]
    assert shown["rules"][0]["group"] == "web"

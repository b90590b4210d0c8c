"""Where a key belongs that stands where nobody knows it: in another table, or in the file of the other side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Final

import msgspec
from msgspec import inspect

__all__ = ["CLIENT_KEYS", "SERVER_KEYS", "belongs"]

SERVER_KEYS: Final = frozenset(
    {"access_log", "auth", "claims", "forward", "groups", "ingress", "middleware", "rules", "transports"}
)
"""Top-level keys that only a server's file has."""

CLIENT_KEYS: Final = frozenset(
    {
        "allow_targets",
        "claim",
        "client_id",
        "entry",
        "fallback",
        "group",
        "insecure",
        "proxy",
        "servers",
        "tls",
        "token",
        "token_env",
        "token_file",
        "upstreams",
    }
)
"""Top-level keys that only a client's file has."""

_MAX_PLACES: Final = 2
_SIDES: Final = (("server", SERVER_KEYS), ("client", CLIENT_KEYS))


def belongs(key: str, root: type[msgspec.Struct], *, at_top: bool) -> str:
    """``; "upstreams" belongs in groups.NAME or forward``, or nothing where no table has such a key.

    Args:
        key: Which the table it stands in does not have.
        root: The settings of the whole file.
        at_top: Whether it stands in no table.
    """
    places = _places(root).get(key, ())
    if len(places) > _MAX_PLACES:
        places = (*places[:_MAX_PLACES], "others")
    if at_top and not places:
        # Whose file it is, its own keys tell: those of the other side are not among them.
        own = frozenset(root.__struct_encode_fields__)
        places = tuple(f"in a {side}'s file" for side, keys in _SIDES if key in keys and keys.isdisjoint(own))
    if not places:
        return ""
    where = places[0] if len(places) == 1 else f"{', '.join(places[:-1])} or {places[-1]}"
    return f"; {json.dumps(key)} belongs {where}"


@cache
def _places(root: type[msgspec.Struct]) -> dict[str, tuple[str, ...]]:
    """For each key where it may stand, tables written as the documentation writes them."""
    places: dict[str, tuple[str, ...]] = {}
    for key, place in _keys(inspect.type_info(root), ""):
        if place not in places.get(key, ()):
            places[key] = (*places.get(key, ()), place)
    return places


def _keys(kind: inspect.Type, table: str) -> Iterator[tuple[str, str]]:
    """Each key of ``kind`` and of the tables below, and where it stands."""
    match kind:
        case inspect.StructType(fields=fields):
            for field in fields:
                yield field.encode_name, f"in {table}" if table else "at the top of the file"
                yield from _keys(field.type, f"{table}.{field.encode_name}" if table else field.encode_name)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _keys(each, table)
        case inspect.VarTupleType(item_type=item):
            yield from _keys(item, f"{table}[]")
        case inspect.DictType(value_type=item):
            yield from _keys(item, f"{table}.NAME")
        case _:
            return

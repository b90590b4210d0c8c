"""What config sync ships to the clients of a group."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import msgspec

from tunnel.domain.configuration.decoding import decode_table
from tunnel.domain.configuration.groups import GroupSettings, UpstreamSettings, check_routes
from tunnel.domain.configuration.middleware import MiddlewareSettings, check_middleware, check_rules_middleware, in_use
from tunnel.domain.configuration.planned import PlannedKeys
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.domain.rules.rule import Rule

__all__ = ["GroupSnapshot"]


class GroupSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules and upstreams of one group, checked.

    Encoded as JSON, without keys that are None::

        {"rules": [{"path_prefix": "/", "upstream": "app"}],
         "upstreams": {"app": {"balance": "round_robin", "targets": ["http://127.0.0.1:3000"], ...}}}

    and, where rules name middleware, with their tables as they are written. A client that does not know of these
    refuses the key, and so the snapshot: what should guard a rule is not to be left out.

    Args:
        rules: Each names an upstream below.
        upstreams: By name.
        middleware: Those that the rules name, by name.

    Raises:
        ConfigurationError: Naming the keys.
    """

    rules: tuple[Rule, ...] = ()
    upstreams: Mapping[str, UpstreamSettings] = {}
    middleware: Mapping[str, MiddlewareSettings] = {}

    def __post_init__(self) -> None:
        found = Findings()
        check_middleware(self.middleware, found)
        check_routes(self.rules, self.upstreams, "", found)
        check_rules_middleware(self.rules, self.middleware, "rules", found)
        found.tell()

    @classmethod
    def of(cls, group: GroupSettings, middleware: Mapping[str, MiddlewareSettings] = {}) -> GroupSnapshot:
        """What clients of ``group`` are to know.

        Args:
            group: The group.
            middleware: All that the server knows of, by name; those that the group's rules name are taken.
        """
        return cls(rules=group.rules, upstreams=group.upstreams, middleware=in_use(group.rules, middleware))

    def encode(self) -> bytes:
        """The one encoding of this snapshot: equal snapshots give equal bytes, whatever order the tables came in."""
        table = msgspec.to_builtins(self)
        table["middleware"] = {name: each.table for name, each in self.middleware.items()} or None
        return msgspec.json.encode(_without_none(table), order="sorted")

    @property
    def hash(self) -> str:
        """SHA-256 of the encoding, in lower-case hexadecimal digits: what clients and servers compare versions by."""
        return hashlib.sha256(self.encode()).hexdigest()

    @classmethod
    def decode(cls, encoded: bytes) -> GroupSnapshot:
        """Read what ``encode`` wrote.

        A key this version does not know is an error: a predicate that is ignored would send requests astray.

        Raises:
            ConfigurationError: This is no snapshot, or not one that this version can follow.
        """
        try:
            table = json.loads(encoded)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"expected a snapshot in JSON: {type(error).__name__}") from error
        return decode_table(table, cls, PlannedKeys())


def _without_none(value: object) -> object:
    match value:
        case dict():
            return {key: _without_none(each) for key, each in value.items() if each is not None}
        case list() | tuple():
            return [_without_none(each) for each in value]
        case _:
            return value

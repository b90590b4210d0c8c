"""Changes to header fields that are the same for every message.

Source: Gateway API, HTTPHeaderFilter: ``set`` overwrites, ``add`` appends, ``remove`` removes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from tunnel.domain.errors import ConfigurationError
from tunnel.domain.kinds import Headers

__all__ = ["HeaderEdits", "HeaderValues", "check_field_name", "check_field_value", "first_field", "without_fields"]

HeaderValues: TypeAlias = Mapping[str, str]
"""Values by name."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")
"""What names of fields and keys of gRPC metadata have in common."""

_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
"""What values of both may be: visible ASCII, without blanks around it."""

_FRAMING: Final = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
"""What says where a message ends, where it goes, and how one connection is used: not for configuration to change."""

_FRAMING_PREFIXES: Final = ("grpc-", "sec-websocket-")


class HeaderEdits:
    """Sets, adds and removes fields. Immutable.

    Args:
        set: Take the places of all fields of their names.
        add: Go behind the others.
        remove: Names of what goes.
    """

    __slots__ = ("_appended", "_dropped")

    def __init__(self, *, set: HeaderValues, add: HeaderValues, remove: Iterable[str]) -> None:
        self._dropped: Final = frozenset(name.lower().encode() for name in (*set, *remove))
        self._appended: Final[Headers] = tuple(
            text for name, value in (*set.items(), *add.items()) for text in (name.lower().encode(), value.encode())
        )

    def __bool__(self) -> bool:
        return bool(self._dropped or self._appended)

    def applied(self, headers: Headers) -> Headers:
        """``headers`` as changed: what is kept keeps its order, what is set or added comes last."""
        return without_fields(headers, self._dropped) + self._appended

    @staticmethod
    def check(*, set: HeaderValues, add: HeaderValues, remove: Iterable[str], path: str) -> None:
        """Refuse what is no field, what frames messages, and names that are given twice.

        Raises:
            ConfigurationError: Naming the key below ``path``.
        """
        seen: dict[str, str] = {}
        given = [(f"{path}set.{name}", name, value) for name, value in set.items()]
        given += [(f"{path}add.{name}", name, value) for name, value in add.items()]
        given += [(f"{path}remove[{index}]", name, "") for index, name in enumerate(remove)]
        for where, name, value in given:
            check_field_name(name, where)
            check_field_value(value, where)
            if name.lower() in seen:
                raise ConfigurationError(
                    f"given twice, also as {seen[name.lower()]}; letter case does not count", key_path=where
                )
            seen[name.lower()] = where


def check_field_name(name: str, path: str) -> None:
    """Refuse what cannot name a field, or names one that frames messages.

    Raises:
        ConfigurationError: Always naming ``path``.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError("expected the name of a header field: letters, digits, -, _ and .", key_path=path)
    if name.lower() in _FRAMING or name.lower().startswith(_FRAMING_PREFIXES):
        raise ConfigurationError("expected a field that does not frame or route messages", key_path=path)


def check_field_value(value: str, path: str) -> None:
    """Refuse what cannot be the value of a field.

    Raises:
        ConfigurationError: Always naming ``path``.
    """
    if not _VALUE.fullmatch(value):
        raise ConfigurationError("expected visible ASCII characters, and no blanks around them", key_path=path)


def without_fields(headers: Headers, names: frozenset[bytes]) -> Headers:
    """``headers`` without the fields whose lower-case name is in ``names``; the same tuple if there are none."""
    own = list(map(bytes.lower, headers[::2]))
    if names.isdisjoint(own):
        return headers
    kept = list(headers)
    for index in range(len(own) - 1, -1, -1):
        if own[index] in names:
            del kept[2 * index : 2 * index + 2]
    return tuple(kept)


def first_field(headers: Headers, name: bytes) -> bytes | None:
    """The value of the first field called ``name``, in lower case; None when there is none.

    Fields whose name is written in lower case, as ingresses write them, go before others.
    """
    names = headers[::2]
    if name in names:
        return headers[2 * names.index(name) + 1]
    return next((headers[2 * at + 1] for at, each in enumerate(names) if each.lower() == name), None)

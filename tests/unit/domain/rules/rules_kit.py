"""Rules and requests from a small alphabet, so that they meet often, and a linear matcher that knows the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from hypothesis import strategies as st

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.rule import Rule, ValueMatch

T = TypeVar("T")

LABELS = ("a", "b")
SEGMENTS = ("x", "y", "%78", "x%2Fy")
PATTERNS = ("/.*", "/[xy]", "/x(/.*)?", "/x%2Fy", "/x/.", ".*x")
PATH_KINDS = ("none", "none", "path", "path", "prefix", "prefix", "prefix", "regex", "call")
VALUES = ("1", "2", "1, 2", ValueMatch(present=True), ValueMatch(regex="1|2"), "a b")
CALLS = (("x", "y"), ("x", "x"), ("x", None), ("y", None), (None, "y"), (None, "x"))
PAIRS = ("q=1", "q=2", "q=%31", "q", "r+s=1", "r%20s=a+b", "", "q=1%")


class Chooser(Random):
    """Random choices, written down as rules and requests need them."""

    def some(self, choices: Sequence[T], *, most: int) -> list[T]:
        return self.choices(choices, k=self.randint(0, most))

    def seldom(self, value: T) -> T | None:
        return value if self.random() < 0.2 else None

    def host(self, *, depth: int) -> str:
        return ".".join([*self.some(LABELS, most=depth), "test"])

    def rule(self) -> Rule:
        kind = self.choice(PATH_KINDS)
        path = "/" + "/".join(self.some(SEGMENTS, most=2))
        if path != "/":
            path += self.choice(["", "", "/"])
        service, method = self.choice(CALLS) if kind == "call" else (None, None)
        protocols = ["grpc"] if kind == "call" else ["http", "http", "grpc", "websocket", "tcp"]
        return Rule(
            host=self.choice([None, self.host(depth=2), f"*.{self.host(depth=2)}"]),
            path=path if kind == "path" else None,
            path_prefix=path if kind == "prefix" else None,
            path_regex=self.choice(PATTERNS) if kind == "regex" else None,
            service=service,
            method=method,
            priority=self.choice([None, None, 0, 1, -1]),
            protocol=self.seldom(self.choice(protocols)),
            methods=self.seldom(self.choice([("GET",), ("GET", "POST"), ("POST",)])),
            headers=self.seldom({name: self.choice(VALUES) for name in self.some(["h", "K"], most=2)}),
            query=self.seldom({name: self.choice(VALUES) for name in self.some(["q", "r s"], most=2)}),
        )

    def request(self) -> HttpRequest:
        host = self.host(depth=3)
        fields = [(self.choice([b"h", b"H", b"k"]), self.choice([b"1", b"2"])) for _ in range(self.randint(0, 3))]
        return HttpRequest(
            self.choice(["GET", "GET", "POST", "get"]),
            path=("/" + "/".join(self.some(["x", "y", "%79", "x%2fy", ""], most=3))).encode(),
            host=self.choice([host, host, host.upper(), f"{host}:80", f"{host}."]).encode(),
            protocol=self.choice(["http", "http", "http", "http", "grpc", "grpc", "websocket", "tcp"]),
            headers=tuple(part for field in fields for part in field),
            query=self.choice([None, "&".join(self.some(PAIRS, most=3)).encode()]),
        )


def _simplest_first(values: list[T]) -> list[T]:
    return sorted(values, key=lambda value: len(repr(value)))


# Drawn whole from a pool, which is many times faster than field by field, and still shrinks to few and simple ones.
_CHOOSER = Chooser(11)
RULES = _simplest_first([_CHOOSER.rule() for _ in range(4000)])
REQUESTS = _simplest_first([_CHOOSER.request() for _ in range(2000)])

requests = st.sampled_from(REQUESTS)
# Few rules rarely meet: short lists are for the shrinker, which prefers what comes first, and for now and then.
rule_lists = st.lists(st.sampled_from(RULES), max_size=28) | st.lists(st.sampled_from(RULES), min_size=14, max_size=28)


@dataclass(frozen=True)
class Oracle:
    """Scans all rules and sorts those that match by the precedence, written down once more and as plainly as can be."""

    rules: list[Rule]

    def matches(self, head: HttpRequest) -> list[int]:
        """Places of the rules that match, the first by precedence first."""
        found = [order for order, rule in enumerate(self.rules) if not self.failed(rule, head)]
        return sorted(found, key=lambda order: (*self._rank(self.rules[order]), order))

    def failed(self, rule: Rule, head: HttpRequest) -> set[str]:
        """What ``rule`` asks of ``head`` in vain."""
        host = head.host.decode().lower().removesuffix(":80").removesuffix(".")
        path = [unquote(part) for part in head.path.decode()[1:].split("/")]
        fields: dict[str, list[str]] = {}
        for name, value in zip(head.headers[::2], head.headers[1::2], strict=True):
            fields.setdefault(name.decode().lower(), []).append(value.decode())
        parameters: dict[str, str] = {}
        for name, value in parse_qsl((head.query or b"").decode(), keep_blank_values=True):
            parameters.setdefault(name, value)
        checks = {
            "host": self._host_matches(rule, host),
            "path": self._path_matches(rule, path),
            "protocol": self._protocol_matches(rule, head.protocol),
            "service": rule.service is None or (len(path) == 2 and path[0] == rule.service),
            "grpc method": rule.method is None or (len(path) == 2 and path[1] == rule.method),
            "method": rule.methods is None or head.method in rule.methods,
        }
        for name, match in (rule.headers or {}).items():
            values = fields.get(name.lower())
            checks[f"header {name}"] = self._value_matches(None if values is None else ", ".join(values), match)
        for name, match in (rule.query or {}).items():
            checks[f"query {name}"] = self._value_matches(parameters.get(name), match)
        return {label for label, holds in checks.items() if not holds}

    @staticmethod
    def _host_matches(rule: Rule, host: str) -> bool:
        if rule.host is None:
            return True
        return host.endswith(rule.host[1:]) if rule.host.startswith("*.") else host == rule.host

    @staticmethod
    def _path_matches(rule: Rule, path: list[str]) -> bool:
        if rule.path is not None:
            return [unquote(part) for part in rule.path[1:].split("/")] == path
        if rule.path_regex is not None:
            joined = "".join("/" + part.replace("%", "%25").replace("/", "%2F") for part in path)
            return re.fullmatch(rule.path_regex, joined) is not None
        prefix = [unquote(part) for part in (rule.path_prefix or "/")[1:].removesuffix("/").split("/")]
        return prefix == [""] or path[: len(prefix)] == prefix

    @staticmethod
    def _protocol_matches(rule: Rule, protocol: str) -> bool:
        if rule.service is not None or rule.method is not None:
            return protocol == "grpc"
        return protocol != "tcp" if rule.protocol is None else protocol == rule.protocol

    @staticmethod
    def _value_matches(value: str | None, match: str | ValueMatch) -> bool:
        if value is None:
            return False
        if isinstance(match, str):
            return value == match
        return match.regex is None or re.fullmatch(match.regex, value) is not None

    @staticmethod
    def _rank(rule: Rule) -> tuple[object, ...]:
        host = (2, 0) if rule.host is None else (1, -len(rule.host)) if rule.host.startswith("*.") else (0, 0)
        depth = len((rule.path_prefix or "/").removesuffix("/").split("/")) - 1
        path = (1, -depth)
        if rule.path is not None or (rule.service is not None and rule.method is not None):
            path = (0, 0)
        elif rule.service is not None:
            path = (1, -1)
        elif rule.method is not None or rule.path_regex is not None:
            path = (2, 0)
        asked = (0 if rule.methods else 1, -len(rule.headers or {}), -len(rule.query or {}))
        return (host, path, *asked, -(rule.priority or 0))

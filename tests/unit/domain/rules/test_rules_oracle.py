"""The compiled engine against a naive linear matcher, over rules and requests from a small alphabet."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule

MIN_SHARE_WITH_SEVERAL_MATCHES = 0.3

labels = st.sampled_from(["a", "b"])
names = st.lists(labels, min_size=0, max_size=2).map(lambda front: ".".join([*front, "test"]))
hosts = st.none() | names | names.map(lambda name: f"*.{name}")
segments = st.sampled_from(["x", "y", "%78", "x%2Fy"])
rule_paths = st.lists(segments, max_size=2).map(lambda parts: "/" + "/".join(parts))
slashes = st.sampled_from(["", "", "/"])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    path = draw(rule_paths)
    if path != "/":
        path += draw(slashes)
    kind = draw(st.sampled_from(["none", "exact", "prefix"]))
    return Rule(
        host=draw(hosts),
        path=path if kind == "exact" else None,
        path_prefix=path if kind == "prefix" else None,
        priority=draw(st.sampled_from([None, None, 0, 1, -1])),
        protocol=draw(st.sampled_from([None, None, "http"])),
    )


@st.composite
def requests(draw: st.DrawFn) -> HttpRequest:
    host = draw(st.lists(labels, max_size=3).map(lambda front: ".".join([*front, "test"])))
    host = draw(st.sampled_from([host, host, host.upper(), f"{host}:80", f"{host}."]))
    path = draw(st.lists(st.sampled_from(["x", "y", "%79", "x%2fy", ""]), max_size=3).map("/".join))
    protocol = draw(st.sampled_from(["http", "http", "websocket"]))
    return HttpRequest("GET", path=f"/{path}".encode(), host=host.encode(), protocol=protocol)


# Few rules rarely overlap: short lists are for the shrinker and for now and then.
rule_lists = st.lists(rules(), min_size=6, max_size=16) | st.lists(rules(), max_size=16)


@dataclass(frozen=True)
class Oracle:
    """Scans all rules and sorts those that match by the precedence, written down once more and as plainly as can be."""

    rules: list[Rule]

    def matches(self, head: HttpRequest) -> list[Rule]:
        host = head.host.decode().lower().removesuffix(":80").removesuffix(".")
        path = [unquote(part) for part in head.path.decode()[1:].split("/")]
        found = []
        for order, rule in enumerate(self.rules):
            host_rank = self._host_rank(rule, host)
            path_rank = self._path_rank(rule, path)
            if host_rank is not None and path_rank is not None and rule.protocol in (None, head.protocol):
                found.append((host_rank, path_rank, -(rule.priority or 0), order, rule))
        return [rule for *_, rule in sorted(found, key=lambda entry: entry[:-1])]

    @staticmethod
    def _host_rank(rule: Rule, host: str) -> tuple[int, int] | None:
        if rule.host is None:
            return 2, 0
        if rule.host.startswith("*."):
            return (1, -len(rule.host)) if host.endswith(rule.host[1:]) else None
        return (0, 0) if host == rule.host else None

    @staticmethod
    def _path_rank(rule: Rule, path: list[str]) -> tuple[int, int] | None:
        if rule.path is not None:
            return (0, 0) if [unquote(part) for part in rule.path[1:].split("/")] == path else None
        prefix = [unquote(part) for part in (rule.path_prefix or "/")[1:].removesuffix("/").split("/")]
        if prefix == [""]:
            return 1, 0
        return (1, -len(prefix)) if path[: len(prefix)] == prefix else None


@settings(max_examples=400, deadline=None)
@given(rule_lists, st.lists(requests(), min_size=1, max_size=8))
@example([Rule(host="a.test", path="/x"), Rule(host="*.test")], [HttpRequest("GET", path=b"/y", host=b"a.test")])
def test_engine_agrees_with_a_linear_scan(rule_list: list[Rule], heads: list[HttpRequest]) -> None:
    engine, oracle = RulesEngine(rule_list), Oracle(rule_list)
    for head in heads:
        expected = oracle.matches(head)
        # Equal rules are told apart by identity.
        assert engine.match(head) is (expected[0] if expected else None)


def test_generated_requests_often_match_several_rules() -> None:
    counts: list[int] = []

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(rule_lists, requests())
    def sample(rule_list: list[Rule], head: HttpRequest) -> None:
        counts.append(len(Oracle(rule_list).matches(head)))

    sample()
    several = sum(count >= 2 for count in counts) / len(counts)
    assert several >= MIN_SHARE_WITH_SEVERAL_MATCHES, f"{several:.0%}"
    assert counts.count(0), "some requests match nothing"

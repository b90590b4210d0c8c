"""Forward rules compiled for each group by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.app.forward_rules import Forwarded, ForwardRules
from tunnel.domain.configuration import ForwardRule
from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType, HttpRequest, TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError
from tunnel.domain.rules.engine import RulesEngine

GROUPS = ("web", "api", "batch")
HOSTS = ("a.test", "b.test", "*.test", None)
PATHS = ("/", "/x", "/x/y")

rules = st.lists(
    st.builds(
        ForwardRule,
        host=st.sampled_from(HOSTS),
        path_prefix=st.sampled_from(PATHS),
        priority=st.sampled_from((None, 1)),
        groups=st.lists(st.sampled_from(GROUPS), unique=True).map(tuple),
        upstream=st.sampled_from(("one", "two")),
    ),
    max_size=8,
)


@given(rules, st.sampled_from(GROUPS), st.sampled_from(("a.test", "c.test", "d")), st.sampled_from((*PATHS, "/z")))
def test_session_meets_the_rules_of_its_group_as_if_there_were_no_others(
    those: list[ForwardRule], group: str, host: str, path: str
) -> None:
    head = HttpRequest("GET", path.encode(), host=host.encode())
    visible = [(order, rule) for order, rule in enumerate(those) if group in rule.groups]
    chosen = RulesEngine([rule for _, rule in visible]).match(head)
    expected = next(
        (Forwarded(f"forward.rules[{order}]", rule.upstream or "") for order, rule in visible if rule is chosen), None
    )
    assert ForwardRules(those).match(head, group) == expected


def test_group_that_no_rule_names_meets_none() -> None:
    compiled = ForwardRules([ForwardRule(upstream="one"), ForwardRule(upstream="one", groups=("api",))])
    assert compiled.match(HttpRequest("GET", b"/", host=b"a.test"), "web") is None
    assert compiled.groups == {"api"}


def test_call_is_routed_by_its_service() -> None:
    compiled = ForwardRules([ForwardRule(service="shop.v1.Orders", groups=("web",), upstream="one")])
    call = GrpcFrame(GrpcFrameType.METADATA.value, "shop.v1.Orders", "Get")
    assert compiled.match(call, "web") == Forwarded("forward.rules[0]", "one")
    assert compiled.match(GrpcFrame(GrpcFrameType.METADATA.value, "shop.v1.Other", "Get"), "web") is None


def test_rules_of_http_permit_no_tcp_and_rules_of_tcp_no_http() -> None:
    compiled = ForwardRules(
        [
            ForwardRule(groups=("web",), upstream="app"),
            ForwardRule(protocol="tcp", groups=("web", "api"), upstream="ssh"),
        ]
    )
    assert compiled.match(TcpOpen("app"), "web") is None
    assert compiled.match(TcpOpen("ssh"), "api") == Forwarded("forward.rules[1]", "ssh")
    assert compiled.match(TcpOpen("ssh"), "batch") is None
    assert compiled.match(HttpRequest("GET", b"/", host=b"a.test"), "api") is None


def test_head_that_is_malformed_is_refused() -> None:
    compiled = ForwardRules([ForwardRule(groups=("web",), upstream="app")])
    with pytest.raises(SessionError) as caught:
        compiled.match(HttpRequest("GET", b"/../x", host=b"a.test"), "web")
    assert caught.value.code is ErrorCode.BAD_REQUEST

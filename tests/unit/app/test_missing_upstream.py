"""A conversation for an upstream that this client does not have."""

from __future__ import annotations

import random

import pytest
from support.app_kit import FakeStream, FakeUpstream, Recorder

from tunnel.adapters.clock import AnyioClock
from tunnel.app.container import ClientContainer
from tunnel.app.upstream_router import UpstreamRouter
from tunnel.domain.configuration import GroupSnapshot, TargetPolicy
from tunnel.domain.envelopes import TcpOpen
from tunnel.domain.errors import ErrorCode, SessionError

pytestmark = pytest.mark.anyio


@pytest.mark.rule("H21")
async def test_upstream_that_the_client_does_not_have_is_refused() -> None:
    router = UpstreamRouter(
        GroupSnapshot(),
        TargetPolicy(()),
        lambda *_: FakeUpstream(),
        random.Random(1),
        telemetry=Recorder(),
        clock=AnyioClock(),
        kinds=ClientContainer.middleware,
        start=lambda work: None,
    )

    with pytest.raises(SessionError) as caught:
        await router.handle(FakeStream(TcpOpen("bastion")))  # type: ignore[arg-type]  # any opening has a head

    assert caught.value.code is ErrorCode.REFUSED

"""What an upstream may be asked, by its targets."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration.groups import UpstreamSettings


@pytest.mark.parametrize(
    ("targets", "calls", "requests"),
    [
        (("http://127.0.0.1:3000",), False, True),
        (("https://127.0.0.1:3000",), False, True),
        (("grpc://127.0.0.1:50051",), True, False),
        (("grpcs://127.0.0.1:50051",), True, False),
        (("http://127.0.0.1:3000", "grpc://127.0.0.1:50051"), True, True),
        (("asgi:shop.main:app",), True, True),
        (("unix:/run/app.sock",), True, True),
    ],
)
def test_targets_tell_whether_calls_and_requests_may_be_answered(
    targets: tuple[str, ...], *, calls: bool, requests: bool
) -> None:
    upstream = UpstreamSettings(targets=targets)

    assert (upstream.calls, upstream.requests) == (calls, requests)

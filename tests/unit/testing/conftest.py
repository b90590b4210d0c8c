"""Both event loops, each on virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from support.virtual_loop import VirtualLoop

from tunnel.testing.autojump import autojump_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return autojump_backend()
    return "asyncio", {"loop_factory": VirtualLoop}

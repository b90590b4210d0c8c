"""What is released, and an environment that has it and nothing of the source tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.distribution import built, environment_with


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory)


@pytest.fixture(scope="session")
def wheel(distribution: Path) -> Path:
    (found,) = distribution.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(wheel, tmp_path_factory.mktemp("installed") / "venv")

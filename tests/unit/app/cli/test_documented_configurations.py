"""What the documentation shows of configurations is right by ``tunnel check``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tunnel.app.cli import main

ROOT = Path(__file__).parents[4]
TRANSPORT = '[transports.memory]\nname = "shown"\n'
HASH = "0" * 64


def shown(page: str, *beginnings: str) -> str:
    """The TOML on ``page``, one after the other, that begins so; once each."""
    blocks = re.findall(r"(?ms)^ *```toml\n(.*?)^ *```", (ROOT / page).read_text())
    found = []
    for beginning in beginnings:
        (block,) = (each for each in blocks if each.lstrip().startswith(beginning))
        found.append(block)
    return "\n".join(found).replace("<its hash>", HASH)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(shown("README.md", "[transports.grpc]", "[ingress.grpc]"), id="quick start and more"),
        pytest.param(TRANSPORT + shown("docs/reference/grpc.md", "[ingress.grpc]"), id="grpc"),
        pytest.param(TRANSPORT + "[groups.web]\n" + shown("docs/reference/tcp.md", "[[ingress.tcp]]"), id="tcp"),
    ],
)
def test_configuration_that_is_shown_passes(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().err == ""


def test_calls_of_the_quick_start_go_past_the_rule_for_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(shown("README.md", "[transports.grpc]", "[ingress.grpc]"))
    assert main(["explain", str(file), "--grpc", "/shop.v1.Orders/Place", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["upstream"] == "orders"

"""Who types what another program calls it is told what it is called here."""

from __future__ import annotations

import pytest

from tunnel.app.cli import main


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("expos 3000", "did you mean expose?"),
        ("http 3000", "did you mean expose PORT --server URL?"),
        ("version", "did you mean --version?"),
        ("token nwe", "did you mean new?"),
        ("expose 3000 --server grpc://127.0.0.1:1 --subdomain a", "did you mean --host, with all labels of a host "),
        ("expose 3000 --server grpc://127.0.0.1:1 --hsot=a", "did you mean --host?"),
        ("expose 3000 --to grpc://127.0.0.1:1 --server grpc://127.0.0.1:1", "did you mean --server?"),
        ("server --config a.toml --log-levle debug", "did you mean --log-level?"),
        ("server --config a.toml b.toml", "did you mean --config b.toml?"),
        ("expose 3000 --server grpc://127.0.0.1:1 --quux", "unrecognized arguments: --quux"),
        ("expose 3000 --server grpc://127.0.0.1:1 --hos a", "unrecognized arguments: --hos a"),
        ("explain f.toml --wrong", "usage: tunnel explain"),
    ],
)
def test_argument_that_nobody_knows_is_told_what_was_meant(
    typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed.split()) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert told in err

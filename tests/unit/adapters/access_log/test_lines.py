import json

import msgspec
import pytest

from tunnel.adapters.access_log.lines import json_line, text_line
from tunnel.ports.telemetry import SessionEnded

AT_S = 1_769_860_800.0625

WHOLE = SessionEnded(
    protocol="http",
    request_id="5eba-1",
    peer="192.0.2.1",
    method="GET",
    host="app.example.test",
    path="/a%20b",
    rule="rules[0]",
    group="web",
    member="laptop/one",
    outcome="ok",
    status=200,
    duration_s=0.0123456789,
    first_byte_s=0.01,
    received_bytes=3,
    sent_bytes=5,
    tries=1,
)
BARE = SessionEnded(protocol="tcp", upstream="ssh", outcome="peer_lost", duration_s=1)


def test_text_is_words_of_what_there_is() -> None:
    assert text_line(AT_S, WHOLE) == (
        b"2026-01-31T12:00:00.062Z protocol=http request_id=5eba-1 peer=192.0.2.1 method=GET host=app.example.test "
        b"path=/a%20b rule=rules[0] group=web member=laptop/one outcome=ok status=200 duration_s=0.012346 "
        b"first_byte_s=0.010000 received_bytes=3 sent_bytes=5 tries=1\n"
    )
    assert text_line(AT_S, BARE) == (
        b"2026-01-31T12:00:00.062Z protocol=tcp upstream=ssh outcome=peer_lost status=0 duration_s=1.000000 "
        b"received_bytes=0 sent_bytes=0 tries=0\n"
    )


def test_route_of_an_entry_is_told() -> None:
    assert b" upstream=ssh route=direct outcome=" in text_line(AT_S, msgspec.structs.replace(BARE, route="direct"))


def test_json_is_every_field() -> None:
    line = json_line(AT_S, BARE)

    assert line.endswith(b"}\n")
    assert json.loads(line) == {"time": "2026-01-31T12:00:00.062Z", **msgspec.to_builtins(BARE)}


@pytest.mark.parametrize("evil", ["a\nb", "a b", "a=b", 'a"b', "a\\b", "caf\\xe9", "\x1b[31m", "\u2028", "a\x00"])
def test_no_value_breaks_a_line_or_looks_like_another_field(evil: str) -> None:
    record = msgspec.structs.replace(WHOLE, path=evil)

    text = text_line(AT_S, record).decode()
    assert text.count("\n") == 1
    assert f" path={json.dumps(evil)} rule=rules[0]" in text
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert json_line(AT_S, record).count(b"\n") == 1
    assert json.loads(json_line(AT_S, record))["path"] == evil


@pytest.mark.parametrize("evil", ["a\u2028b", "a\x85b", "\x9b2J", "\x1b[2J\n"])
def test_json_has_no_line_ends_and_no_terminal_controls(evil: str) -> None:
    line = json_line(AT_S, msgspec.structs.replace(WHOLE, path=evil))
    assert line.isascii()
    assert len(line.decode().splitlines()) == 1
    assert b"\x1b" not in line
    assert json.loads(line)["path"] == evil
    assert list(json.loads(line)) == list(json.loads(json_line(AT_S, WHOLE)))

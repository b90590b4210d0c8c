"""Changes that would break older peers, made for a moment: each has to be found by a recording.

That they get on without the change is what ``test_recordings.py`` shows.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support import wire_changes as changes
from support.golden_vectors import CODECS
from support.other_versions import later, terser
from support.recorded_peer import Incompatible
from support.recordings import load, names
from support.replay import replay_client, replay_server
from support.virtual_loop import VirtualLoop
from support.wire_changes import flipped, strict_reader, swapped, translated

from tunnel.domain.envelopes import (
    BodyChunk,
    GrpcFrame,
    HeadPart,
    HttpRequest,
    HttpResponse,
    TcpOpen,
    Trailers,
    WebSocketFrame,
)

FULL = os.environ.get("TUNNEL_FULL") == "1"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


@dataclass(frozen=True)
class Case:
    """A change, the recording that finds it, and the words in which.

    Args:
        name: What is changed.
        change: Makes it.
        recording: One that finds it.
        replay: With which end of today.
        says: In the message.
        rewrite: The peer's version, when it is not the recorded one.
    """

    name: str
    change: Callable[[pytest.MonkeyPatch], None]
    recording: str
    replay: Callable[..., Awaitable[None]]
    says: str
    rewrite: Any = None


CASES = [
    Case(
        "fields-renumbered",
        lambda patch: translated(patch, swapped(HttpRequest, "path", "host")),
        "http-get",
        replay_client,
        "waits for session 2: head",
    ),
    Case(
        "kinds-renumbered",
        lambda patch: translated(patch, changes.renumbered_kinds),
        "http-early-response",
        replay_server,
        "waits for|got",
    ),
    Case(
        "flag-inverted",
        lambda patch: translated(patch, flipped(BodyChunk, "end")),
        "tcp-half-close",
        replay_client,
        "waits for session 2|got",
    ),
    Case(
        "call-frames-renumbered",
        lambda patch: translated(patch, changes.renumbered_frames),
        "grpc-unary-whole",
        replay_client,
        "waits for|got",
    ),
    Case(
        "message-boundary-inverted",
        lambda patch: translated(patch, flipped(WebSocketFrame, "fin")),
        "websocket",
        replay_client,
        "waits for session 2|got",
    ),
    Case(
        "repeated-headers-lost",
        lambda patch: translated(patch, changes.one_of_each_name),
        "http-get",
        replay_client,
        "behind today's client got",
    ),
    Case(
        "default-dropped",
        lambda patch: strict_reader(patch, lambda has, knows: has < knows),
        "http-get",
        replay_client,
        "a payload of kind 17 has .* fields, not",
        terser("http-get"),
    ),
    Case(
        "further-field-refused",
        lambda patch: strict_reader(patch, lambda has, knows: has > knows),
        "http-get",
        replay_server,
        "a payload of kind 16 has .* fields, not",
        later("messagepack"),
    ),
    Case("parity-changed-on-the-server", changes.other_parity, "http-get", replay_server, "waits for session 2: "),
    Case(
        "parity-changed-on-the-client",
        changes.other_parity,
        "http-get",
        replay_client,
        "the link ended: .*session 2|waits for",
    ),
    Case("version-raised", changes.other_version, "http-get", replay_server, "waits for RegisterResponse"),
    Case("capability-required", changes.required_capability, "http-get", replay_server, "waits for RegisterResponse"),
    Case("snapshot-changed", changes.other_snapshots, "http-get", replay_client, "waits for ConfigApplied"),
    Case("error-codes-renamed", changes.other_error_codes, "http-error", replay_server, "error internal"),
    Case(
        "acknowledgement-dropped",
        changes.never_acknowledges,
        "http-early-response",
        replay_server,
        "waits for acknowledg",
    ),
    Case("credit-not-returned", changes.never_returns_credit, "http-credit", replay_client, "waits for credit"),
    Case(
        "credit-ignored",
        changes.ignores_credit,
        "http-pieces",
        replay_server,
        "session 2 was sent more than its credit",
    ),
    Case(
        "nothing-sent-again-by-the-server",
        changes.sends_nothing_again,
        "resume",
        replay_server,
        "waits for session 2: bytes",
    ),
    Case(
        "nothing-sent-again-by-the-client",
        changes.sends_nothing_again,
        "resume-answer",
        replay_client,
        "waits for session 2",
    ),
    Case(
        "call-fields-renumbered",
        lambda patch: translated(patch, swapped(GrpcFrame, "method", "message")),
        "grpc-error",
        replay_server,
        "behind today's server got",
    ),
    Case(
        "connection-fields-renumbered",
        lambda patch: translated(patch, swapped(TcpOpen, "upstream", "peer")),
        "forward-tcp",
        replay_server,
        "waits for session 1: bytes",
    ),
    Case(
        "last-part-inverted",
        lambda patch: translated(patch, flipped(HeadPart, "more")),
        "http-long-heads",
        replay_client,
        "waits for session 2: head",
    ),
    Case(
        "parts-encoded-otherwise-by-the-server",
        changes.parts_in_another_order,
        "http-long-heads",
        replay_server,
        "got .*error protocol_error",
    ),
    Case(
        "parts-encoded-otherwise-by-the-client",
        changes.parts_in_another_order,
        "http-long-heads",
        replay_client,
        "waits for session 2: head",
    ),
    Case(
        "nothing-taken-from-clients",
        changes.takes_nothing_from_clients,
        "forward-http",
        replay_server,
        "waits for session 1: ",
    ),
    Case("reason-renamed", changes.other_error_codes, "forward-forbidden", replay_client, "got .*error internal"),
    Case("refusal-unsaid", changes.refuses_without_a_word, "refused-token", replay_server, "waits for Error unauth"),
    Case(
        "every-version-spoken", changes.speaks_every_version, "refused-version", replay_server, "waits for Error forb"
    ),
    Case(
        "refused-for-a-while",
        changes.tries_again_whatever_the_refusal,
        "refused-group",
        replay_client,
        "turned away with '', not 'forbidden'",
    ),
    Case(
        "superseded-for-a-while",
        changes.tries_again_whatever_the_refusal,
        "superseded",
        replay_client,
        "turned away with '', not 'superseded'",
    ),
    Case("closed-without-a-code", changes.closes_without_a_code, "superseded", replay_server, "waits for Close supers"),
    Case("revoked-without-a-code", changes.closes_without_a_code, "revoked", replay_server, "waits for Close forbid"),
    Case("rejection-unsaid", changes.never_rejects, "config-rejected", replay_client, "waits for ConfigRejected"),
    Case(
        "openings-not-refused-by-go-away",
        changes.opens_whatever_go_away_says,
        "go-away-crossed",
        replay_server,
        "got .*error peer_lost.*not .*error no_client",
    ),
    Case(
        "sessions-taken-after-go-away",
        changes.takes_sessions_after_go_away,
        "go-away-crossed",
        replay_client,
        "behind today's client got",
    ),
    Case(
        "forgotten-tunnels-refused",
        changes.refuses_tunnels_it_does_not_know,
        "resume-forgotten",
        replay_server,
        "waits for RegisterResponse",
    ),
    Case(
        "parts-of-configurations-taken-alone",
        changes.takes_each_part_for_all,
        "config-parts",
        replay_client,
        "waits for ConfigApplied",
    ),
    Case(
        "last-fields-inverted",
        lambda patch: translated(patch, flipped(Trailers, "more")),
        "http-upload-trailers",
        replay_client,
        "the upstream waits for more",
    ),
    Case("body-not-asked-for", changes.never_asks_for_the_body, "http-expect-continue", replay_client, "2: head"),
    Case(
        "reset-as-an-end",
        lambda patch: translated(patch, changes.renumbered_kinds),
        "http-broken-off",
        replay_client,
        "waits for session 2: stop_sending",
    ),
    Case(
        "leaving-as-an-end",
        lambda patch: translated(patch, changes.renumbered_kinds),
        "http-visitor-leaves",
        replay_server,
        "waits for session 2: stop_sending",
    ),
    Case("one-session-at-a-time", changes.one_session_at_a_time, "http-at-once", replay_client, "waits for session 4"),
    Case(
        "message-continuation-inverted",
        lambda patch: translated(patch, flipped(GrpcFrame, "more")),
        "grpc-streamed",
        replay_client,
        "waits for session 2: bytes",
    ),
    Case(
        "end-of-refusals-inverted",
        lambda patch: translated(patch, flipped(HttpResponse, "end")),
        "websocket-refused",
        replay_server,
        "behind today's server got",
    ),
    Case(
        "frames-of-clients-calls-renumbered",
        lambda patch: translated(patch, changes.renumbered_frames),
        "forward-grpc",
        replay_server,
        "waits for session 1: messages",
    ),
    Case(
        "boundaries-of-clients-messages-inverted",
        lambda patch: translated(patch, flipped(WebSocketFrame, "fin")),
        "forward-websocket",
        replay_server,
        "behind today's server got",
    ),
    Case(
        "claims-renumbered",
        lambda patch: translated(patch, changes.claims_the_other_way_round),
        "claim",
        replay_server,
        "waits for RegisterResponse",
    ),
    Case(
        "closed-instead-of-going-away",
        changes.closes_instead_of_going_away,
        "server-goes-away",
        replay_server,
        "waits for GoAway",
    ),
    Case(
        "last-session-counted-otherwise",
        lambda patch: translated(patch, changes.other_last_session),
        "client-goes-away",
        replay_server,
        "got .*error refused",
    ),
    Case("pings-unanswered", changes.no_pongs, "config-push", replay_server, r"waits for Pong \(0 of"),
]


# None of them is about one encoding, but peers of yet other versions are made of MessagePack here.
TRIALS = [
    pytest.param(case, codec, id=f"{case.name}-{codec}")
    for case in CASES
    for codec in CODECS
    if codec == "messagepack" or (FULL and case.rewrite is None)
]


@pytest.mark.anyio
@pytest.mark.parametrize(("case", "codec"), TRIALS)
async def test_change_that_breaks_an_older_peer_is_found(
    case: Case, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.change(monkeypatch)

    with pytest.raises(Incompatible, match=case.says):
        await case.replay(load(case.recording), codec=codec, rewrite=case.rewrite)


def test_every_recording_finds_a_change() -> None:
    assert {case.recording for case in CASES} == set(names())

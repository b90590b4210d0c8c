"""Changes that would break older peers, made for a moment: each has to be found by a recording or a golden vector."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from support.golden_vectors import CODECS
from support.recorded_peer import Incompatible
from support.recordings import load
from support.replay import later, replay_client, replay_server, terser
from support.virtual_loop import VirtualLoop

from tunnel.app import client_configuration, dialer, handshake, link_service
from tunnel.domain.envelopes import (
    KIND_OF,
    BodyChunk,
    Envelope,
    Error,
    Frame,
    GrpcFrame,
    HttpRequest,
    Register,
    StopSending,
    WebSocketFrame,
)
from tunnel.domain.errors import ConfigurationError, ErrorCode, RegistrationRefused
from tunnel.domain.limits import Limits
from tunnel.domain.mux import acknowledgement, multiplexer, outbound, retention, windows

Change = Callable[[Any], Any]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def translated(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Read and write payloads by another, self-consistent convention: ``change`` undoes itself."""

    def changed(frame: Frame) -> Frame:
        payloads = [change(each.payload) for each in frame.envelopes]
        return Frame(
            tuple(
                Envelope(each.session_id, KIND_OF.get(type(payload), each.kind), payload)
                for each, payload in zip(frame.envelopes, payloads, strict=True)
            ),
            frame.ack,
            frame.seq,
        )

    for name, (encode, decode) in list(CODECS.items()):
        monkeypatch.setitem(
            CODECS,
            name,
            (lambda frame, encode=encode: encode(changed(frame)), lambda data, decode=decode: changed(decode(data))),
        )


def swapped(kind: type, one: str, other: str) -> Change:
    def swap(payload: Any) -> Any:
        if type(payload) is not kind:
            return payload
        return msgspec.structs.replace(payload, **{one: getattr(payload, other), other: getattr(payload, one)})

    return swap


def flipped(kind: type, name: str) -> Change:
    def flip(payload: Any) -> Any:
        if type(payload) is not kind:
            return payload
        return msgspec.structs.replace(payload, **{name: not getattr(payload, name)})

    return flip


def renumbered_kinds(payload: Any) -> Any:
    match payload:
        case StopSending(code):
            return Error(code)
        case Error(code):
            return StopSending(code)
        case _:
            return payload


def renumbered_frames(payload: Any) -> Any:
    match payload:
        case GrpcFrame(type=4 | 5):
            return msgspec.structs.replace(payload, type=9 - payload.type)
        case _:
            return payload


def one_of_each_name(payload: Any) -> Any:
    if isinstance(payload, HttpRequest):
        fields = dict(zip(payload.headers[::2], payload.headers[1::2], strict=True))
        return msgspec.structs.replace(payload, headers=tuple(each for field in fields.items() for each in field))
    return payload


def strict_reader(monkeypatch: pytest.MonkeyPatch, refuses: Callable[[int, int], bool]) -> None:
    """Read a payload of ``has`` fields, where this version knows ``knows``, only unless ``refuses(has, knows)``."""
    encode, decode = CODECS["messagepack"]
    known = {kind: len(msgspec.structs.fields(payload)) for payload, kind in KIND_OF.items()}

    def read(data: bytes) -> Frame:
        for _, kind, payload, *_ in msgspec.msgpack.decode(data)[0]:
            if refuses(len(payload) - 1, known.get(kind, len(payload) - 1)):
                raise Incompatible(f"a payload of kind {kind} has {len(payload) - 1} fields, not {known[kind]}")
        return decode(data)

    monkeypatch.setitem(CODECS, "messagepack", (encode, read))


def other_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = multiplexer.Multiplexer
    for module in (link_service, dialer):
        monkeypatch.setattr(
            module, "Multiplexer", lambda *, opens_odd, **others: plain(opens_odd=not opens_odd, **others)
        )


def required_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = link_service._checked

    def check(request: Register) -> int:
        if "time-travel" not in request.capabilities:
            raise RegistrationRefused(ErrorCode.FORBIDDEN, "too old")
        return checked(request)

    monkeypatch.setattr(link_service, "_checked", check)


def never_acknowledges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledgement.Acknowledgement, "tick", lambda *_: None)
    monkeypatch.setattr(acknowledgement.Acknowledgement, "deadline", None)


def never_returns_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows.ReceiveWindow, "consumed", lambda *_: 0)


def ignores_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    init = windows.SendWindow.__init__

    def generous(self: windows.SendWindow, limits: Limits) -> None:
        init(self, msgspec.structs.replace(limits, session_window_bytes=16 * limits.session_window_bytes))

    monkeypatch.setattr(windows.SendWindow, "__init__", generous)


def other_error_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ErrorCode, "parse", lambda text: ErrorCode.INTERNAL)


def other_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigurationError("", "zone", "expected a zone")

    monkeypatch.setattr(client_configuration.GroupSnapshot, "decode", refuse)


def other_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "PROTOCOL_VERSION", 2)


def no_pongs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound.Outbound, "pong", lambda *_: None)


def sends_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention.Retention, "attached", lambda *_: None)


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
        lambda patch: translated(patch, renumbered_kinds),
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
        lambda patch: translated(patch, renumbered_frames),
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
        lambda patch: translated(patch, one_of_each_name),
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
        terser,
    ),
    Case(
        "further-field-refused",
        lambda patch: strict_reader(patch, lambda has, knows: has > knows),
        "http-get",
        replay_server,
        "a payload of kind 16 has .* fields, not",
        later("messagepack"),
    ),
    Case("parity-changed-on-the-server", other_parity, "http-get", replay_server, "waits for session 2: "),
    Case(
        "parity-changed-on-the-client", other_parity, "http-get", replay_client, "the link ended: .*session 2|waits for"
    ),
    Case("version-raised", other_version, "http-get", replay_server, "waits for RegisterResponse"),
    Case("capability-required", required_capability, "http-get", replay_server, "waits for RegisterResponse"),
    Case("snapshot-changed", other_snapshots, "http-get", replay_client, "waits for ConfigApplied"),
    Case("error-codes-renamed", other_error_codes, "http-error", replay_server, "error internal"),
    Case("acknowledgement-dropped", never_acknowledges, "http-early-response", replay_server, "waits for acknowledg"),
    Case("credit-not-returned", never_returns_credit, "http-credit", replay_client, "waits for credit"),
    Case("credit-ignored", ignores_credit, "http-pieces", replay_server, "session 2 was sent more than its credit"),
    Case(
        "nothing-sent-again-by-the-server", sends_nothing_again, "resume", replay_server, "waits for session 2: bytes"
    ),
    Case(
        "nothing-sent-again-by-the-client", sends_nothing_again, "resume-answer", replay_client, "waits for session 2"
    ),
    Case("pings-unanswered", no_pongs, "config-push", replay_server, r"waits for Pong \(0 of"),
]


# Peers of yet other versions are made of MessagePack here.
TRIALS = [
    pytest.param(case, codec, id=f"{case.name}-{codec}")
    for case in CASES
    for codec in CODECS
    if codec == "messagepack" or case.rewrite is None
]


@pytest.mark.anyio
@pytest.mark.parametrize(("case", "codec"), TRIALS)
async def test_change_that_breaks_an_older_peer_is_found(
    case: Case, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.change(monkeypatch)

    with pytest.raises(Incompatible, match=case.says):
        await case.replay(load(case.recording), codec=codec, rewrite=case.rewrite)


@pytest.mark.anyio
@pytest.mark.parametrize(("case", "codec"), TRIALS)
async def test_without_the_change_they_get_on(case: Case, codec: str) -> None:
    await case.replay(load(case.recording), codec=codec, rewrite=case.rewrite)

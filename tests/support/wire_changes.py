"""Changes of today's code that older peers would not get on with, made for the length of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.golden_vectors import CODECS
from support.recorded_peer import Incompatible

from tunnel.app import (
    client_configuration,
    dialer,
    forward_target,
    handshake,
    link_service,
    on_demand_stream,
    session_stream,
    tunnel,
)
from tunnel.domain.claims.claim import Claim
from tunnel.domain.envelopes import (
    KIND_OF,
    ConfigRejected,
    Envelope,
    Error,
    Frame,
    GoAway,
    GrpcFrame,
    HttpRequest,
    Register,
    StopSending,
)
from tunnel.domain.errors import ConfigurationError, ErrorCode, RegistrationRefused
from tunnel.domain.limits import Limits
from tunnel.domain.mux import acknowledgement, multiplexer, outbound, pieces, retention, session_table, windows

__all__ = [
    "claims_the_other_way_round",
    "closes_instead_of_going_away",
    "closes_without_a_code",
    "flipped",
    "ignores_credit",
    "never_acknowledges",
    "never_asks_for_the_body",
    "never_rejects",
    "never_returns_credit",
    "no_pongs",
    "one_of_each_name",
    "one_session_at_a_time",
    "opens_whatever_go_away_says",
    "other_error_codes",
    "other_last_session",
    "other_parity",
    "other_snapshots",
    "other_version",
    "parts_in_another_order",
    "refuses_tunnels_it_does_not_know",
    "refuses_without_a_word",
    "renumbered_frames",
    "renumbered_kinds",
    "required_capability",
    "sends_nothing_again",
    "speaks_every_version",
    "strict_reader",
    "swapped",
    "takes_each_part_for_all",
    "takes_nothing_from_clients",
    "takes_sessions_after_go_away",
    "translated",
    "tries_again_whatever_the_refusal",
]

Change = Callable[[Any], Any]


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
        raise ConfigurationError("expected a zone", key_path="zone")

    monkeypatch.setattr(client_configuration.GroupSnapshot, "decode", refuse)


def other_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "PROTOCOL_VERSION", 2)


def no_pongs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound.Outbound, "pong", lambda *_: None)


def sends_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention.Retention, "attached", lambda *_: None)


def parts_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put what heads in parts hold into another encoding, in the same way at both ends."""
    encode, decode = pieces.encode_payload, pieces.decode_payload
    monkeypatch.setattr(pieces, "encode_payload", lambda payload: encode(payload)[::-1])
    monkeypatch.setattr(pieces, "decode_payload", lambda data: decode(data[::-1]))


def opens_whatever_go_away_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_all(self: multiplexer.Multiplexer, envelope: Envelope, received: Any, now: float) -> None:
        received.going_away = True

    monkeypatch.setattr(multiplexer.Multiplexer, "_on_go_away", take_all)


def takes_sessions_after_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = session_table.SessionTable.accept

    def accept_more(self: Any, *args: Any) -> Any:
        kept, self.last_accepted = self.last_accepted, None
        try:
            return accept(self, *args)
        finally:
            self.last_accepted = kept

    monkeypatch.setattr(session_table.SessionTable, "accept", accept_more)


def tries_again_whatever_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "FATAL_CODES", frozenset())


def refuses_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(link_service, "refuse", nothing)


def speaks_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_service, "negotiate_version", lambda versions: versions[0])


def closes_without_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    close = tunnel.Tunnel.close
    monkeypatch.setattr(tunnel.Tunnel, "close", lambda self, code, message="": close(self, "", message))


def never_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    say = tunnel.Tunnel.say

    def say_no_rejection(self: tunnel.Tunnel, *messages: Any) -> None:
        say(self, *(each for each in messages if not isinstance(each, ConfigRejected)))

    monkeypatch.setattr(tunnel.Tunnel, "say", say_no_rejection)


def takes_nothing_from_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_target.ForwardTargets, "serves", lambda *_: False)


def refuses_tunnels_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    resumed = link_service.ServerLinks._resumed

    def refuse(self: Any, request: Register, principal: Any) -> Any:
        found = resumed(self, request, principal)
        if found is None and request.resume is not None:
            raise RegistrationRefused(ErrorCode.REFUSED, "there is no such tunnel")
        return found

    monkeypatch.setattr(link_service.ServerLinks, "_resumed", refuse)


def takes_each_part_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    take = client_configuration.ClientConfiguration.take
    monkeypatch.setattr(
        client_configuration.ClientConfiguration,
        "take",
        lambda self, message: take(self, msgspec.structs.replace(message, more=False)),
    )


def never_asks_for_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_demand_stream.OnDemandStream, "receive", session_stream.SessionStream.receive)


def one_session_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = session_table.SessionTable.accept

    def accept_one(self: Any, session_id: int, *args: Any) -> Any:
        return None if self._peer_sessions and session_id > self.high_water else accept(self, session_id, *args)

    monkeypatch.setattr(session_table.SessionTable, "accept", accept_one)


def closes_instead_of_going_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel.Tunnel, "go_away", lambda self, code: self.close(code))


def other_last_session(payload: Any) -> Any:
    match payload:
        case GoAway(last):
            return msgspec.structs.replace(payload, last_session_id=last ^ 2)
        case _:
            return payload


def claims_the_other_way_round(payload: Any) -> Any:
    match payload:
        case Register(claim=Claim(host, path_prefix)):
            return msgspec.structs.replace(payload, claim=Claim(path_prefix, host))
        case _:
            return payload

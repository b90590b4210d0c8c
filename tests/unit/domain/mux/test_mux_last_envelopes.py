"""The last envelopes of a direction, framed together."""

from __future__ import annotations

import pytest
from mux_kit import CLIENT, SERVER, Ends

from tunnel.domain.envelopes import GrpcFrame, GrpcFrameType
from tunnel.domain.errors import ErrorCode, SendingStopped, SessionError
from tunnel.domain.limits import KIB, MAX_FRAME_BYTES, Limits
from tunnel.domain.messagepack import encode_frame
from tunnel.domain.mux.pieces import MAX_ENVELOPE_BYTES, encoded_bound
from tunnel.domain.mux.session import Session
from tunnel.domain.mux.session_state import SessionState

CALL = GrpcFrame(GrpcFrameType.WHOLE.value, "s.S", "M")
HEAD = GrpcFrame(GrpcFrameType.METADATA.value, metadata=(b"k", b"v"))
MESSAGE = GrpcFrame(GrpcFrameType.DATA.value, data=b"message")
STATUS = GrpcFrame(GrpcFrameType.TRAILER.value, status=5, message="gone")


def framed(ends: Ends, side: int = SERVER) -> list[list[object]]:
    """Payloads of each frame that ``side`` sends now; they are delivered too."""
    frames = ends.send_all(side)
    for _ in frames:
        ends.deliver(1 - side)
    return [[envelope.payload for envelope in frame.envelopes] for frame in frames]


def answered(limits: Limits | None = None) -> tuple[Ends, Session, Session]:
    """A call and its other end, where it is to be answered."""
    ends = Ends(limits)
    session, peer = ends.open(CALL)
    return ends, session, peer


@pytest.mark.parametrize("payloads", [(STATUS,), (MESSAGE, STATUS), (HEAD, MESSAGE, STATUS)])
def test_they_go_in_one_frame_in_their_order(payloads: tuple[GrpcFrame, ...]) -> None:
    ends, session, peer = answered()
    credit = peer.send_window.credit
    assert peer.offer_last(payloads)
    assert peer.unframed_bytes == sum(payload.cost for payload in payloads)
    assert framed(ends) == [list(payloads)]
    assert credit - peer.send_window.credit == sum(payload.cost for payload in payloads)
    assert (peer.pending, peer.ahead) == (None, ())
    assert [session.take(ends.now) for _ in payloads] == list(payloads)
    assert (session.state, peer.state) == (SessionState.CLOSED, SessionState.CLOSED)


def test_what_is_larger_than_a_chunk_together_is_not_taken() -> None:
    ends, _, peer = answered(Limits(session_window_bytes=8 * KIB))
    room = peer.send_window.chunk_cost - STATUS.cost - MESSAGE.cost
    fitting = GrpcFrame(MESSAGE.type, data=MESSAGE.data + b"m" * room)
    assert not peer.offer_last((GrpcFrame(MESSAGE.type, data=fitting.data + b"m"), STATUS))
    assert peer.pending is None
    assert framed(ends) == []
    assert peer.offer_last((fitting, STATUS))
    assert framed(ends) == [[fitting, STATUS]]


def test_more_fields_than_a_frame_holds_are_not_taken() -> None:
    _, _, peer = answered()
    fields = (b"", b"") * (MAX_FRAME_BYTES // 40)
    assert not peer.offer_last((GrpcFrame(HEAD.type, metadata=fields), GrpcFrame(STATUS.type, metadata=fields)))
    assert peer.pending is None


def test_what_just_fits_into_an_envelope_is_taken() -> None:
    _, _, peer = answered()
    fields, data = (b"", b"") * 13_043, b"mm"  # five bytes a field at most, beside its own
    exactly = GrpcFrame(HEAD.type, metadata=fields, data=data)
    bare = GrpcFrame(STATUS.type)
    assert sum(encoded_bound(each, each.cost) for each in (exactly, bare)) == MAX_ENVELOPE_BYTES
    assert not peer.offer_last((GrpcFrame(HEAD.type, metadata=fields, data=data + b"m"), bare))
    assert peer.offer_last((exactly, bare))


def test_fields_of_all_of_them_count_for_the_size_of_a_frame() -> None:
    ends = Ends()
    fields = (b"", b"") * 500
    for peer in [ends.open(CALL)[1] for _ in range(200)]:
        assert peer.offer_last((GrpcFrame(HEAD.type, metadata=fields), STATUS))
    frames = ends.send_all(SERVER)
    assert sum(len(frame.envelopes) for frame in frames) == 400
    assert max(len(encode_frame(frame)) for frame in frames) <= MAX_FRAME_BYTES


def test_without_credit_they_wait_and_go_together_later() -> None:
    ends, session, peer = answered(Limits(session_window_bytes=8 * KIB))
    filling = GrpcFrame(MESSAGE.type, data=b"m" * (peer.send_window.chunk_cost - 256))
    for _ in range(4):
        peer.offer(filling)
        framed(ends)
    assert peer.offer_last((MESSAGE, STATUS))
    assert framed(ends) == []
    for _ in range(4):
        session.take(ends.now)
    framed(ends, CLIENT)
    assert framed(ends) == [[MESSAGE, STATUS]]


def test_handler_that_has_left_does_not_take_them_along() -> None:
    ends, session, peer = answered()
    peer.offer_last((MESSAGE, STATUS))
    peer.finish()
    assert framed(ends) == [[MESSAGE, STATUS]]
    assert (session.take(ends.now), session.take(ends.now)) == (MESSAGE, STATUS)
    session.finish()
    assert (ends.client.session_count, ends.server.session_count) == (0, 0)


@pytest.mark.parametrize("breaking", ["reset", "stopped"])
def test_what_breaks_the_conversation_off_drops_them_all(breaking: str) -> None:
    ends, session, peer = answered()
    peer.offer_last((MESSAGE, STATUS))
    if breaking == "reset":
        session.reset(SessionError(ErrorCode.CANCELLED, "enough"))
    else:
        session.stop_receiving("enough")
    framed(ends, CLIENT)
    assert (peer.pending, peer.ahead) == (None, ())
    assert MESSAGE not in [payload for frame in framed(ends) for payload in frame]


def test_what_is_taken_back_is_taken_back_whole() -> None:
    ends, session, peer = answered()
    peer.offer_last((MESSAGE, STATUS))
    assert peer.withdraw()
    peer.offer(STATUS)
    assert framed(ends) == [[STATUS]]
    assert session.take(ends.now) == STATUS


def test_they_are_refused_where_nothing_may_be_sent() -> None:
    ends, session, peer = answered()
    session.stop_receiving("enough")
    framed(ends, CLIENT)
    with pytest.raises(SendingStopped):
        peer.offer_last((MESSAGE, STATUS))
    ends, _, peer = answered()
    peer.reset(SessionError(ErrorCode.INTERNAL, "over"))
    with pytest.raises(SessionError):
        peer.offer_last((MESSAGE, STATUS))


def test_the_end_is_taken_on_its_own_only_where_it_comes_next() -> None:
    ends, session, peer = answered()
    assert session.take_end() is None
    peer.offer(MESSAGE)
    framed(ends)
    peer.offer_last((MESSAGE, STATUS))
    framed(ends)
    assert session.take_end() is None
    assert session.take(ends.now) == MESSAGE
    assert session.take_end() is None
    assert session.take(ends.now) == MESSAGE
    assert session.take_end() == STATUS
    assert session.take_end() is None

"""Responses from any split of their bytes."""

from __future__ import annotations

import itertools
import tracemalloc
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunnel.adapters.http.upstream_response import ResponseReader
from tunnel.domain.errors import ErrorCode, SessionError

CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nTransfer-Encoding: chunked\r\nset-cookie: b\r\n\r\n"
    b"5;x=y\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"
)


def read(
    *pieces: bytes, head_request: bool = False, max_header_bytes: int = 1024, max_headers: int = 100
) -> ResponseReader:
    reader = ResponseReader(max_header_bytes=max_header_bytes, max_headers=max_headers)
    reader.begin(head_request=head_request)
    for piece in pieces:
        reader.feed(piece)
    return reader


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=30))
@example(list(range(len(CHUNKED))))
def test_chunked_response_reads_alike_however_it_is_split(cuts):
    reader = read(*split(CHUNKED, cuts))
    assert reader.complete
    assert reader.reusable
    assert reader.status == 200
    assert reader.headers == (b"Set-Cookie", b"a", b"set-cookie", b"b")
    assert reader.take_body() == b"hello world"
    assert reader.trailers == (b"X-Sum", b"1", b"x-sum", b"2")


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=30))
def test_one_reader_reads_exchange_after_exchange(cuts):
    reader = read(*split(CHUNKED, cuts))
    assert reader.take_body() == b"hello world"
    for head_request in (True, False, True):
        reader.begin(head_request=head_request)
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + (b"" if head_request else b"abc")
        for piece in split(data, cuts):
            reader.feed(piece)
        assert reader.complete
        assert reader.reusable
        assert reader.take_body() == (b"" if head_request else b"abc")
        assert reader.trailers == ()


LONG = bytes(range(256)) * 320
"""A body that is counted, but for what comes with the head."""


@given(
    st.integers(min_value=0, max_value=len(LONG)),
    st.lists(st.integers(min_value=0, max_value=len(LONG) + 400), max_size=8),
)
@example(len(LONG), [1])
@example(len(LONG), [41])
@example(len(LONG), [41, 42])
@example(len(LONG), [len(LONG) + 40])
def test_body_of_known_length_reads_alike_however_it_is_split(size_bytes, cuts):
    body = LONG[:size_bytes]
    reader = ResponseReader(max_header_bytes=1024, max_headers=100)
    for head_request in (False, True, False):
        reader.begin(head_request=head_request)
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size_bytes + (b"" if head_request else body)
        taken = []
        for piece in split(data, cuts):
            assert not reader.complete
            reader.feed(piece)
            assert reader.size_bytes <= len(piece)
            taken.append(reader.take_body())
        assert reader.complete
        assert reader.reusable
        assert reader.heard_bytes == len(data)
        assert b"".join(taken) == (b"" if head_request else body)


def test_long_body_is_given_out_as_it_came():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(LONG) + 1), b"x")
    assert reader.take_body() == b"x"
    reader.feed(LONG)
    assert reader.take_body() is LONG
    assert reader.complete


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n",
    ],
)
def test_connection_that_closes_after_a_long_body_is_not_reused(head):
    reader = read(head % (len(LONG) + 1), b"x", LONG)
    assert reader.complete
    assert not reader.reusable
    assert reader.http10 is head.startswith(b"HTTP/1.0")


def test_what_follows_a_long_body_spoils_the_connection():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(LONG) + 1), b"x", LONG + b"HTTP/1.1 200")
    assert reader.complete
    assert not reader.reusable
    assert reader.take_body() == b"x" + LONG


def test_long_body_cut_short_is_never_complete():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(LONG) + 2), b"x", LONG)
    reader.finish()
    assert not reader.complete
    assert not reader.reusable


def test_long_body_in_chunks_is_read_by_the_parser():
    chunk = b"%x\r\n%b\r\n" % (len(LONG), LONG)
    reader = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, chunk[:9], chunk[9:] + b"0\r\n\r\n")
    assert reader.complete
    assert reader.reusable
    assert reader.take_body() == LONG * 2


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 204 No\r\nContent-Length: 0\r\nA: b\r\n\r\n", (b"A", b"b")),
        (b"HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n", ()),
        (b"HTTP/1.1 304 Not\r\nContent-Length: 3\r\n\r\n", (b"Content-Length", b"3")),
    ],
)
def test_204_and_304_have_no_body_whatever_their_fields_say(head, kept):
    reader = read(head)
    assert reader.complete
    assert reader.reusable
    assert reader.headers == kept


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_204_that_speaks_of_a_body_may_have_one_to_come(framing):
    reader = read(b"HTTP/1.1 204 No\r\n" + framing + b"\r\n\r\n")
    assert (reader.complete, reader.reusable, reader.headers) == (True, False, ())


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_answer_to_head_has_no_body_and_leaves_the_connection_usable(framing):
    reader = read(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", head_request=True)
    assert reader.complete
    assert reader.reusable
    reader.begin(head_request=False)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (reader.complete, reader.take_body()) == (True, b"ok")


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 2\r\n\r\nok",
        b"Content-Length: 2\r\n\r\no",
        b"Transfer-Encoding: chunked\r\n\r\n2",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n",
    ],
)
@pytest.mark.parametrize("status", [b"200 OK", b"304 Not"])
def test_body_sent_where_there_is_none_spoils_the_connection(status, said):
    reader = read(b"HTTP/1.1 " + status + b"\r\n" + said, head_request=status == b"200 OK")
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, b"")


@given(st.lists(st.integers(min_value=0, max_value=60), max_size=9))
@example(list(range(60)))
def test_head_without_a_body_reads_alike_however_it_is_split(cuts):
    reader = read(*split(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", cuts), head_request=True)
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, True, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokH",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok???",
    ],
)
def test_connection_that_closes_or_says_too_much_is_not_reused(data):
    reader = read(data)
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, b"ok")
    assert reader.headers == (b"Content-Length", b"2")


def test_chunks_in_http_10_are_read_and_the_connection_is_not_reused():
    head = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader = read(head + b"2\r\nok\r\n0\r\n\r\n")
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, b"ok")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@given(st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]), st.lists(st.integers(min_value=0, max_value=60), max_size=9))
@example(b"\r\n", list(range(60)))
def test_empty_lines_before_a_response_are_left_out(before, cuts):
    reader = read(*split(before + OK, cuts))
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, True, b"ok")


@given(
    st.sampled_from([b"HTTP/0.9", b"HTTP/3.1", b"http/1.1", b"RTSP/1.0", b"ICE/1.0", b" HTTP/1.1", b"H\r\n"]),
    st.lists(st.integers(min_value=0, max_value=50), max_size=9),
)
def test_other_versions_and_protocols_are_refused_however_they_are_split(version, cuts):
    with pytest.raises(SessionError) as raised:
        read(*split(version + b" 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", cuts))
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE


def test_empty_lines_before_a_response_are_limited():
    with pytest.raises(SessionError):
        read(*[b"\r\n" * 200] * 3)


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t "])
def test_blanks_around_a_value_are_no_part_of_it(blanks):
    fields = b"X-A:%b1%b\r\nX-B:%b\r\nContent-Length:%b2%b" % (blanks, blanks, blanks, blanks, blanks)
    reader = read(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nok")
    assert reader.headers == (b"X-A", b"1", b"X-B", b"", b"Content-Length", b"2")


def test_length_behind_thousands_of_zeros_is_read():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"0" * 5000 + b"2\r\n\r\no", b"k", max_header_bytes=8192)
    assert (reader.complete, reader.take_body()) == (True, b"ok")


@given(st.lists(st.integers(min_value=0, max_value=50), max_size=9))
@example(list(range(50)))
def test_status_line_of_http_2_is_read_as_one_of_http_1_and_the_connection_is_not_reused(cuts):
    reader = read(*split(b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", cuts))
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, b"ok")
    reader.begin(head_request=False)
    reader.close()
    reader.feed(OK)
    assert reader.reusable


@pytest.mark.parametrize(
    "before", [b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n", b"HTTP/1.0 103 Early\r\n\r\n"]
)
@pytest.mark.parametrize(
    ("response", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
    ],
)
def test_informational_response_that_says_close_is_followed_by_another_and_the_connection_is_not_reused(
    before, response, body
):
    for pieces in ([before + response], [before, response]):
        reader = read(*pieces)
        assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, body)


def test_blanks_after_the_size_of_a_chunk_are_left_out():
    reader = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0 \r\n\r\n")
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, True, b"ok")


@pytest.mark.parametrize("more", [b"\r\n", b"0\r\n\r\n", OK])
def test_whatever_comes_later_than_a_response_spoils_the_connection(more):
    reader = read(OK, more)
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, b"ok")


def test_nothing_is_kept_of_what_follows_a_response_that_is_not_taken_yet():
    reader = read(OK, b"HTTP/1.1 200 OK\r\nX: ")
    tracemalloc.start()
    try:
        for _ in range(200):
            reader.feed(b"x" * 65536)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    assert (reader.reusable, reader.take_body()) == (False, b"ok")


def test_switch_of_protocols_after_a_response_spoils_the_connection_only():
    reader = read(OK + b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, b"ok")


def test_http_10_with_keep_alive_is_reused():
    assert read(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok").reusable


def test_body_that_ends_with_the_connection_is_complete_at_its_end_only():
    reader = read(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"some", b" more")
    assert not reader.complete
    reader.finish()
    assert (reader.complete, reader.reusable, reader.take_body()) == (True, False, b"some more")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_response_cut_short_is_never_complete(data):
    reader = read(data)
    reader.finish()
    assert not reader.complete


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 199 ?\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 600 ?\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    ],
)
def test_what_is_no_response_is_an_upstream_failure(data):
    with pytest.raises(SessionError) as raised:
        read(data)
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE


BIG = b"x" * 200


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", *[b"A: " + BIG + b"\r\n"] * 6, b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + (b"A: " + BIG + b"\r\n") * 6 + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nA: ", *[BIG] * 6],
        [b"HTTP/1.1 103 Early\r\nA: " + BIG + b"\r\n\r\n"] * 6,
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: ", *[BIG] * 6],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", *[BIG] * 6],
    ],
)
def test_what_is_not_body_is_limited(pieces):
    with pytest.raises(SessionError) as raised:
        read(*pieces)
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 6 + b"\r\n",
    ],
)
def test_fields_are_limited_in_number(data):
    assert read(data, max_headers=6).complete
    with pytest.raises(SessionError) as raised:
        read(data, max_headers=5)
    assert raised.value.code is ErrorCode.UPSTREAM_UNREACHABLE


def test_trailers_are_limited_also_where_they_share_a_read_with_body():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(SessionError):
        read(head + b"1\r\nx\r\n0\r\nA: " + BIG * 4, BIG * 4 + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("value", "limit_s"),
    [
        (b"timeout=5", 4.0),
        (b"max=100, Timeout = 10", 8.0),
        (b"timeout=0", 0.0),
        (b"timeout", inf),
        (b"xtimeout=3", inf),
        (b"timeout=3x", inf),
    ],
)
def test_idle_limit_is_a_part_of_what_the_upstream_allows(value, limit_s):
    reader = read(b"HTTP/1.1 200 OK\r\nKeep-Alive: " + value + b"\r\nContent-Length: 0\r\n\r\n")
    assert reader.idle_limit_s == limit_s
    assert reader.headers == (b"Content-Length", b"0")


def test_permission_for_the_body_is_noted_and_other_informational_responses_are_none():
    assert not read(b"HTTP/1.1 103 Early\r\n\r\n").permitted
    reader = read(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (reader.permitted, reader.status) == (True, 0)
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    reader.begin(head_request=False)
    assert not reader.permitted


def test_long_stream_of_small_chunks_is_not_taken_for_a_large_head():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader = read(head, *[b"1\r\n", b"x", b"\r\n"] * 2000, b"0\r\n\r\n", max_header_bytes=100)
    assert (reader.complete, reader.size_bytes) == (True, 2000)

"""Requests on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.adapters.http.upstream_request import CHUNKED, HeadRenderer
from tunnel.adapters.http.upstream_upload import render_trailers
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.errors import ErrorCode, SessionError


def get(*headers: bytes, **rest) -> HttpRequest:
    rest = {"method": "GET", "path": b"/", "host": b"a.test", "end": True} | rest
    return HttpRequest(headers=headers, **rest)


HOST = (b"Host", b"a.test")


def test_fields_keep_order_case_and_repetition():
    head = get(b"x-B", b"1", *HOST, b"X-a", b"", b"x-b", b"2")
    assert (
        HeadRenderer(host=None).render(head)[0]
        == b"GET / HTTP/1.1\r\nx-B: 1\r\nHost: a.test\r\nX-a: \r\nx-b: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("query", "expected"), [(None, b"/a%2F..//b"), (b"", b"/a%2F..//b?"), (b"q=%20?&x", b"/a%2F..//b?q=%20?&x")]
)
def test_path_and_query_are_written_as_received(query, expected):
    block, _ = HeadRenderer(host=None).render(get(*HOST, path=b"/a%2F..//b", query=query))
    assert block.split(b" ")[1] == expected


def test_missing_host_is_added_from_the_authority():
    assert HeadRenderer(host=None).render(get(b"A", b"1"))[0] == b"GET / HTTP/1.1\r\nHost: a.test\r\nA: 1\r\n\r\n"
    assert HeadRenderer(host=None).render(get())[0] == b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def test_host_override_takes_the_visitors_place():
    assert (
        HeadRenderer(host=b"b:1").render(get(b"A", b"1", b"hOst", b"x"))[0]
        == b"GET / HTTP/1.1\r\nA: 1\r\nhOst: b:1\r\n\r\n"
    )


def test_hop_by_hop_fields_and_expect_are_left_out():
    fields = (b"Connection", b"x-one", b"X-One", b"1", b"TE", b"gzip", b"Expect", b"100-continue", b"Upgrade", b"h2c")
    assert HeadRenderer(host=None).render(get(*HOST, *fields))[0] == b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def test_upstream_is_told_that_trailers_are_wanted_and_nothing_else_of_te():
    renderer, asking = (
        HeadRenderer(host=None),
        b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
    )
    assert renderer.render(get(*HOST, b"te", b"gzip, Trailers"))[0] == asking
    for names in ((b"te", b"gzip"), (b"Connection", b"close", b"TE", b"deflate"), (b"Connection", b"x", b"TE", b"")):
        assert renderer.render(get(*HOST, *names))[0] == b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
    assert renderer.render(get(*HOST, b"Connection", b"close", b"TE", b"trailers"))[0] == asking


@pytest.mark.parametrize(
    ("method", "body", "length", "line"),
    [
        ("GET", b"", 0, b""),
        ("HEAD", b"", 0, b""),
        ("DELETE", b"", 0, b""),
        ("POST", b"", 0, b"Content-Length: 0\r\n"),
        ("GET", b"abc", 3, b"Content-Length: 3\r\n"),
        ("PUT", b"abc", 3, b"Content-Length: 3\r\n"),
    ],
)
def test_whole_body_gets_its_length(method, body, length, line):
    block, announced = HeadRenderer(host=None).render(get(*HOST, method=method, body=body))
    assert block == method.encode() + b" / HTTP/1.1\r\nHost: a.test\r\n" + line + b"\r\n"
    assert announced == length


def test_streamed_body_without_length_is_chunked_and_with_length_is_not():
    block, announced = HeadRenderer(host=None).render(get(*HOST, method="POST", end=False))
    assert block.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert announced == CHUNKED
    block, announced = HeadRenderer(host=None).render(get(*HOST, b"content-length", b"7", method="POST", end=False))
    assert block.endswith(b"\r\ncontent-length: 7\r\n\r\n")
    assert announced == 7


def test_whole_body_that_is_not_as_long_as_announced_is_a_protocol_error():
    with pytest.raises(SessionError) as raised:
        HeadRenderer(host=None).render(get(*HOST, b"Content-Length", b"4", body=b"abc"))
    assert raised.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "head",
    [
        get(*HOST, b"A", b"1\r\nB: 2"),
        get(*HOST, b"A", b"1\nB: 2"),
        get(*HOST, b"A", b"1\rB"),
        get(*HOST, b"A", b"1\0"),
        get(*HOST, b"A\r\nB", b"1"),
        get(*HOST, b"Transfer-Encoding ", b"chunked"),
        get(*HOST, b"", b"1"),
        get(*HOST, *HOST),
        get(b"a", b"b", host=b"x\r\nA: b"),
        get(*HOST, path=b"/ HTTP/1.1\r\nA: b"),
        get(*HOST, path=b"/a b"),
        get(*HOST, query=b"\r\n"),
        get(*HOST, method="GE T"),
        get(*HOST, method=""),
        get(*HOST, method="G\u00c4T"),
        get(*HOST, method="CONNECT"),
        get(*HOST, b"Content-Length", b"3", b"content-length", b"3", body=b"abc"),
        get(*HOST, b"Content-Length", b"+3", body=b"abc"),
        get(*HOST, b"Content-Length", b"3,3", body=b"abc"),
    ],
)
def test_what_cannot_be_written_as_one_request_is_refused(head):
    with pytest.raises(SessionError) as raised:
        HeadRenderer(host=None).render(head)
    assert raised.value.code is ErrorCode.BAD_REQUEST


def test_trailers_follow_the_last_chunk_without_fields_that_frame_or_route():
    fields = (b"X-Sum", b"1", b"content-length", b"3", b"Host", b"b", b"TE", b"x", b"x-sum", b"2")
    assert render_trailers(fields) == b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"
    for bad in ((b"A", b"1\r\n\r\nGET"), (b"a b", b"1")):
        with pytest.raises(SessionError):
            render_trailers(bad)


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=4), st.binary(max_size=6))
def test_no_field_can_add_a_line(fields, path):
    headers = HOST + tuple(item for pair in fields for item in pair)
    try:
        block, _ = HeadRenderer(host=None).render(get(*headers, path=b"/" + path))
    except SessionError:
        return
    assert block.count(b"\n") == block.count(b"\r\n") == block[:-2].count(b"\r\n") + 1
    assert block.index(b"\r\n\r\n") == len(block) - 4


@pytest.mark.parametrize("host", [None, b"b.test"])
@pytest.mark.parametrize("fields", [(b"A",), (b"Connection", b"x", b"A"), (b"Content-Length",)], ids=str)
def test_field_without_a_value_is_a_bad_request(host, fields):
    with pytest.raises(SessionError) as raised:
        HeadRenderer(host=host).render(get(*HOST, *fields))
    assert raised.value.code is ErrorCode.BAD_REQUEST
    with pytest.raises(SessionError) as raised:
        render_trailers(fields)
    assert raised.value.code is ErrorCode.BAD_REQUEST

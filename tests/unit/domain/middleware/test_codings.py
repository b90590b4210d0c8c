import pytest

from tunnel.domain.envelopes import HttpResponse
from tunnel.domain.middleware.codings import Compressible, accepts, coded_headers, varying_headers

TEXT = (b"content-type", b"text/plain; charset=utf-8")
TYPES = ("text/*", "application/json", "+xml")


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        (b"gzip", True),
        (b"br, GZIP;q=0.5", True),
        (b"x-gzip", True),
        (b"*", True),
        (b"", False),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0, *", False),
        (b"*;q=0", False),
        (b"gzip; q=0.2, identity;q=0.8", False),
        (b"gzip;q=1.000, identity;q=0.8", True),
        (b"gzip;q=nonsense", False),
        (b"gzip;q=0.5, identity;q=0.5", True),
        (b"gzip, identity", True),
        (b"gzip;q=1.9, identity", True),
        (b"gzip;q=0.5, *;q=0.8", True),
        (b"br, gzip;q=0", False),
        (b"*;q=0, x-gzip", True),
        (b"gzip, identity;q=1.9", True),
    ],
)
def test_coding_is_accepted_as_weights_say(field, accepted):
    assert accepts(field, b"gzip") is accepted


@pytest.mark.parametrize(
    ("response", "worth"),
    [
        (HttpResponse(200, TEXT), True),
        (HttpResponse(200, TEXT, b"x" * 10, end=True), True),
        (HttpResponse(200, TEXT, b"x" * 9, end=True), False),
        (HttpResponse(200, (*TEXT, b"Content-Length", b"9")), False),
        (HttpResponse(200, (*TEXT, b"Content-Length", b"99")), True),
        (HttpResponse(404, TEXT), True),
        (HttpResponse(200, (b"content-type", b"application/soap+xml")), True),
        (HttpResponse(200, (b"content-type", b"image/png")), False),
        (HttpResponse(200, (b"content-type", b"textile/x")), False),
        (HttpResponse(200, ()), False),
        (HttpResponse(204, TEXT), False),
        (HttpResponse(205, TEXT), False),
        (HttpResponse(206, TEXT), False),
        (HttpResponse(200, (b"content-type", b"textual/plain")), False),
        (HttpResponse(304, TEXT), False),
        (HttpResponse(101, TEXT), False),
        (HttpResponse(200, (*TEXT, b"content-range", b"bytes 0-1/2")), False),
        (HttpResponse(200, (*TEXT, b"content-encoding", b"br")), False),
        (HttpResponse(200, (*TEXT, b"content-encoding", b"identity")), True),
        (HttpResponse(200, (*TEXT, b"cache-control", b"public, No-Transform")), False),
        (HttpResponse(200, (*TEXT, b"cache-control", b"public")), True),
        (HttpResponse(200, (*TEXT, b"x-note", b"no-transform")), True),
        (HttpResponse(200, (*TEXT, b"x-note", b"1", b"Cache-Control", b"no-transform")), False),
    ],
)
def test_only_what_gains_by_it_is_compressed(response, worth):
    assert Compressible(TYPES, min_bytes=10)(response) is worth


def test_entity_tag_becomes_weak_and_what_was_said_of_the_bytes_goes():
    headers = (*TEXT, b"ETag", b'"a"', b"Content-Length", b"5", b"Accept-Ranges", b"bytes")
    assert coded_headers(headers, b"gzip") == (
        *TEXT,
        *(b"ETag", b'W/"a"', b"vary", b"Accept-Encoding", b"content-encoding", b"gzip"),
    )


def test_nothing_at_all_is_not_compressed_however_low_the_bound():
    assert not Compressible(("text/*",), min_bytes=0)(HttpResponse(200, TEXT, b"", end=True))
    assert Compressible(("text/*",), min_bytes=0)(HttpResponse(200, TEXT, b"x", end=True))


def test_weak_entity_tag_stays_and_other_fields_too():
    headers = (b"x-note", b"1", *TEXT, b"etag", b'W/"a"', b"vary", b"*")
    assert coded_headers(headers, b"gzip") == (*headers, b"content-encoding", b"gzip")


def test_vary_is_found_among_other_fields():
    headers = (b"x-note", b"accept-encoding", *TEXT, b"Vary", b"Accept-Encoding")
    assert varying_headers(headers) == headers


def test_vary_is_said_once():
    assert varying_headers((b"Vary", b"Cookie, accept-encoding")) == (b"Vary", b"Cookie, accept-encoding")
    assert varying_headers((b"Vary", b"Cookie")) == (b"Vary", b"Cookie", b"vary", b"Accept-Encoding")

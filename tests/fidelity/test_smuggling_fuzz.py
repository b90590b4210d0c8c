"""Whatever bytes a visitor says, the upstream reads exactly the requests that the ingress has answered for it."""

from __future__ import annotations

import os

import pytest
from fidelity_exchange import exchange
from fidelity_wire import Wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from smuggling_vectors import VECTORS
from strict_http import read_requests, read_responses
from test_smuggling import check_readings_agree

FULL = os.environ.get("TUNNEL_FULL") == "1"
EXAMPLES = 5_000 if FULL else 200

HOST = b"Host: kept.test\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
VALID = [
    b"GET /a?b=c HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    b"POST /b HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"GET http://kept.test/d HTTP/1.1\r\n" + HOST + b"X: y\r\nX: z\r\n\r\n",
    b"DELETE /e HTTP/1.1\r\n" + HOST + b"Connection: X\r\nX: y\r\n\r\n",
    b"POST /u HTTP/1.1\r\n" + HOST + UPGRADE + b"Content-Length: 5\r\n\r\nhello",
    b"GET /f HTTP/1.0\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi",
]
TELLING = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n ",
        b" ",
        b"\t",
        b"\x00",
        b"\x0b",
        b"\xff",
        b":",
        b",",
        b";",
        b"0",
        b"+",
        b"-",
        b"x",
    ),
    *(
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 50\r\n",
        b"chunked",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        HOST,
        b"Host: evil.test\r\n",
        b" HTTP/1.1",
    ),
    *(
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        UPGRADE,
        b"GET /g HTTP/1.1\r\n" + HOST + b"\r\n",
        b"/../",
        b"%2e%2e",
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Pipelined requests with a few bytes changed, taken away, doubled, or put in where they may mean something."""
    data = b"".join(draw(st.lists(st.sampled_from(VALID) | _VECTORS, min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.sampled_from([0, 0, 1, 1, 2, 8])))
        inserted = draw(st.sampled_from(TELLING) | st.just(data[at:until] * 2) | st.binary(max_size=2))
        data = data[:at] + inserted + data[until:]
    return data


_VECTORS = st.sampled_from([vector.data for vector in VECTORS])


def is_subsequence(some: list[object], of: list[object]) -> bool:
    rest = iter(of)
    return all(each in rest for each in some)


@pytest.mark.fidelity("H-FUZZ")
def test_upstream_reads_what_the_ingress_answered(wire: Wire) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not FULL,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=mutated(), pieces=st.sampled_from([1, 1, 2, 5]))
    def check(data: bytes, pieces: int) -> None:
        outcome = exchange(wire, data, pieces=pieces)

        # The two ends read the same requests, and each was answered once, in order.
        check_readings_agree(outcome)
        answers, left = read_responses(outcome.answer, [])
        assert left == b""
        numbers = [dict(answer.fields)[b"x-number"] for answer in answers if answer.status == 200]
        assert numbers == [b"%d" % number for number in range(len(outcome.requests))]
        assert {answer.status for answer in answers} <= {200, 400, 404, 408, 413, 426, 431, 501, 505}
        # They are requests that a strict reading finds in what was said.
        said, _ = read_requests(data, tolerant=True)
        assert is_subsequence([each.meaning for each in outcome.requests], [each.meaning for each in said])

    check()

"""Requests that recipients are known to disagree on reach nobody, or in one form that none can read differently."""

from __future__ import annotations

import h11
import pytest
from fidelity_exchange import Outcome, exchange
from fidelity_wire import Wire
from smuggling_vectors import VECTORS, Fate, Vector
from strict_http import read_responses


def by_h11(heard: bytes) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """The complete requests in what one connection heard, as h11 reads them."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(heard)
    requests = []
    while isinstance(event := connection.next_event(), h11.Request):
        body = b""
        while isinstance(part := connection.next_event(), h11.Data):
            body += bytes(part.data)
        if not isinstance(part, h11.EndOfMessage):
            return requests
        requests.append((event.method, event.target, dict(event.headers)[b"host"], body))
        connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        connection.start_next_cycle()
    assert event is h11.NEED_DATA
    return requests


def check_readings_agree(outcome: Outcome) -> None:
    """Another parser finds the same requests in what the upstream heard."""
    found = [request for heard in outcome.heard for request in by_h11(heard)]
    assert sorted(found) == sorted(request.meaning for request in outcome.requests)


@pytest.mark.fidelity("H-SMUGGLING")
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
@pytest.mark.parametrize("pieces", [1, 7])
def test_ambiguous_bytes_are_refused_or_forwarded_in_one_form(wire: Wire, vector: Vector, pieces: int) -> None:
    outcome = exchange(wire, vector.data, pieces=pieces)

    check_readings_agree(outcome)
    responses, left = read_responses(outcome.answer, [request.method for request in outcome.requests])
    assert left == b""
    statuses = [response.status for response in responses]
    if vector.fate is Fate.FORWARDED or (vector.fate is Fate.EITHER and outcome.requests):
        assert [request.meaning for request in outcome.requests] == list(vector.requests)
        assert statuses == [200] * len(vector.requests)
        return
    assert outcome.requests == []
    assert [status for status in statuses if not (400 <= status < 500 or status in (501, 505))] == []
    may_be_cut = vector.fate in (Fate.CUT, Fate.EITHER)
    assert len(statuses) == 1 or (may_be_cut and statuses == [])
    assert outcome.heard == [] or may_be_cut
    assert vector.fate is Fate.UNROUTABLE or all(response.closes for response in responses)

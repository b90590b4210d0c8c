from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tunnel.adapters.http.ingress_census import (
    CODING,
    EXPECT,
    HOP,
    HOST,
    LENGTH,
    MALFORMED,
    MAX_FIELDS,
    TE,
    TRAILER,
    UPGRADE,
    census,
    tally,
)

KINDS = {
    b"host": {HOST},
    b"Content-Length": {LENGTH},
    b"connection": {HOP},
    b"Keep-Alive": {HOP},
    b"TE": {HOP, TE},
    b"transfer-encoding": {HOP, CODING},
    b"Upgrade": {HOP, UPGRADE},
    b"expect": {EXPECT},
    b"Trailer": {TRAILER},
    b"accept": set(),
    b"x-host": set(),
    b"": {MALFORMED},
    b"a b": {MALFORMED},
    b"host:": {MALFORMED},
    b"h\xc3\xb6st": {MALFORMED},
}
ALL = (CODING, EXPECT, HOP, HOST, LENGTH, MALFORMED, TE, TRAILER, UPGRADE)


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=300))
def test_every_kind_is_counted_by_itself(names):
    total = census(names)
    for kind in ALL:
        assert tally(total, kind) == sum(kind in KINDS[name] for name in names)


def test_as_many_fields_as_may_be_counted_do_not_spill_over():
    total = census([b"host"] * MAX_FIELDS)
    assert [tally(total, kind) for kind in ALL if kind != HOST] == [0] * (len(ALL) - 1)

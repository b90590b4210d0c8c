from hypothesis import given
from hypothesis import strategies as st

from tunnel.domain.middleware.token_bucket import TokenBuckets


def test_burst_passes_at_once_and_then_one_at_a_time():
    buckets = TokenBuckets(2.0, 10, max_keys=5)
    assert [buckets.take(b"a", 100.0) for _ in range(10)] == [0.0] * 10
    assert 0 < buckets.take(b"a", 100.0) <= 0.5
    assert buckets.take(b"a", 100.5) == 0.0
    assert buckets.take(b"a", 100.5) > 0


def test_wait_that_is_told_is_long_enough():
    buckets = TokenBuckets(3.0, 1, max_keys=5)
    assert buckets.take(b"a", 7.0) == 0.0
    wait_s = buckets.take(b"a", 7.1)
    assert buckets.take(b"a", 7.1 + wait_s) == 0.0


def test_keys_do_not_share_a_bucket():
    buckets = TokenBuckets(1.0, 1, max_keys=5)
    assert buckets.take(b"a", 0.0) == buckets.take(b"b", 0.0) == 0.0


def test_table_is_bounded_and_full_buckets_are_forgotten():
    buckets = TokenBuckets(1.0, 1, max_keys=3)
    for number in range(100):
        buckets.take(b"%d" % number, 0.0)
    assert len(buckets) == 3
    for now in (1000.0, 1002.0):
        buckets.take(b"a", now)
    assert len(buckets) == 1


GAPS = st.lists(st.floats(min_value=0, max_value=3), max_size=60)


@given(GAPS, st.floats(min_value=0.1, max_value=50), st.integers(min_value=1, max_value=20))
def test_never_more_than_burst_and_rate_in_any_span(gaps, rate, burst):
    buckets = TokenBuckets(rate, burst, max_keys=2)
    now, taken = 0.0, []
    for gap in gaps:
        now += gap
        if not buckets.take(b"a", now):
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - start) + 1e-3


def test_bucket_unused_for_longest_is_forgotten_first():
    buckets = TokenBuckets(1.0, 2, max_keys=2)
    buckets.take(b"a", 0.0)
    buckets.take(b"b", 0.0)
    buckets.take(b"a", 0.1)
    buckets.take(b"c", 0.1)
    assert buckets.take(b"a", 0.1) > 0, "it was used after b"
    assert buckets.take(b"b", 0.1) == 0.0


def test_bucket_that_was_asked_in_vain_is_in_use_too():
    buckets = TokenBuckets(1.0, 1, max_keys=2)
    buckets.take(b"a", 0.0)
    buckets.take(b"b", 0.0)
    assert buckets.take(b"a", 0.1) > 0
    buckets.take(b"c", 0.1)
    assert buckets.take(b"a", 0.1) > 0
    assert buckets.take(b"c", 0.1) > 0, "nor is the newest forgotten"


def test_two_full_buckets_are_dropped_for_each_that_is_made():
    buckets = TokenBuckets(1.0, 1, max_keys=9)
    for number in range(6):
        buckets.take(b"%d" % number, 0.0)
    buckets.take(b"a", 1.0)
    assert len(buckets) == 5

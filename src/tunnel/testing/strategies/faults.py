"""Schedules of faults."""

from __future__ import annotations

from hypothesis import strategies as st

from tunnel.testing.faults import Cut, Delay, Fault, FaultSchedule, HalfOpen, Heal, Reorder, ScheduledFault, Throttle

__all__ = ["fault_schedules", "faults"]


def faults(*, reordering: bool = True) -> st.SearchStrategy[Fault]:
    """Faults of every kind.

    Args:
        reordering: With ``Reorder``, which no network does to a connection, and which costs a tunnel its life.
    """
    kinds: list[st.SearchStrategy[Fault]] = [
        st.builds(Cut, unreachable=st.booleans()),
        st.just(HalfOpen()),
        st.builds(Delay, delay_s=st.floats(0, 2).map(_to_the_millisecond)),
        st.builds(Throttle, bytes_per_s=st.integers(1_000, 10_000_000).map(float)),
        st.just(Heal()),
    ]
    return st.one_of(*kinds, *([st.just(Reorder())] if reordering else []))


def fault_schedules(
    *, lasts_s: float = 60.0, max_faults: int = 6, reordering: bool = True, healed: bool = True
) -> st.SearchStrategy[FaultSchedule]:
    """Schedules; fewer faults, and earlier ones, are simpler.

    Args:
        lasts_s: Seconds; no fault strikes later.
        max_faults: Most that strike, the healing left out.
        reordering: As in ``faults``.
        healed: Ends with ``Heal`` at ``lasts_s``, so that what comes then can be expected to work.
    """
    times = st.floats(0, lasts_s).map(_to_the_millisecond)
    struck = st.lists(st.builds(ScheduledFault, times, faults(reordering=reordering)), max_size=max_faults)
    last = (ScheduledFault(lasts_s, Heal()),) if healed else ()
    return struck.map(lambda made: FaultSchedule((*sorted(made, key=lambda each: min(each.at_s, lasts_s)), *last)))


def _to_the_millisecond(number_s: float) -> float:
    return round(number_s, 3)

"""The keys ``balance``, ``weights`` and ``hash_on``, which groups and upstreams have alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from tunnel.domain.balancing import KEYED_STRATEGIES, MAX_WEIGHT, STRATEGIES, UNWEIGHTED_STRATEGIES, HashKey
from tunnel.domain.configuration.mistakes import alternatives, mistake, unknown_name
from tunnel.domain.findings import Findings

__all__ = ["DEFAULT_HASH_ON", "Weight", "check_balance"]

Weight: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_WEIGHT)]
"""A share in relation to the others'; 0: none while another can be chosen."""

DEFAULT_HASH_ON: Final = "address"
"""Visitors have one, whatever else they send or leave out."""


def check_balance(path: str, *, balance: str, weights: Mapping[str, int], hash_on: str, found: Findings) -> None:
    """Refuse a strategy that is not there, and what the one that is there would ignore.

    Args:
        path: Key path of the table that holds the three.
        balance: As configured.
        weights: As configured.
        hash_on: As configured.
        found: Takes the mistakes.
    """
    with found:
        if balance not in STRATEGIES:
            raise unknown_name(balance, STRATEGIES, f"{path}.balance", kind="strategy")
    with found:
        if weights and balance in UNWEIGHTED_STRATEGIES:
            weighted = STRATEGIES.keys() - UNWEIGHTED_STRATEGIES
            raise mistake(f"{path}.weights", f"balance to be {alternatives(sorted(weighted))}", got=balance)
    try:
        HashKey.parse(hash_on)
    except ValueError:
        raise mistake(f"{path}.hash_on", '"address", "header:NAME" or "cookie:NAME"', got=hash_on) from None
    if hash_on != DEFAULT_HASH_ON and balance in STRATEGIES.keys() - KEYED_STRATEGIES:
        keyed = alternatives(sorted(KEYED_STRATEGIES))
        raise mistake(f"{path}.hash_on", f"balance to be {keyed}", got=balance)

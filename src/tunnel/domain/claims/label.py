"""The first label of a host that the server chooses: to be read aloud, and not to be guessed.

Sixteen random bits become five letters, consonants and vowels in turn, as proquints do. Three of those are 2^48 labels:
whoever tries a thousand a second for a year has tried one in nine thousand.

Source: D. S. Wilkerson, "A Proposal for Proquints: Identifiers that are Readable, Spellable, and Pronounceable".
"""

from __future__ import annotations

from typing import Final

from tunnel.domain.random_source import RandomSource

__all__ = ["random_label"]

_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"
_SYLLABLES: Final = 3


def random_label(random: RandomSource) -> str:
    """A label such as ``lusab-babad-gutih``.

    Args:
        random: Unpredictable, where the label is to be.
    """
    return "-".join(_quint(random.randrange(1 << 16)) for _ in range(_SYLLABLES))


def _quint(bits: int) -> str:
    return "".join(
        (
            _CONSONANTS[bits >> 12],
            _VOWELS[bits >> 10 & 3],
            _CONSONANTS[bits >> 6 & 15],
            _VOWELS[bits >> 4 & 3],
            _CONSONANTS[bits & 15],
        )
    )

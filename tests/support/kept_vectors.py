"""The list of golden vectors and recordings there have ever been, each with a digest of its bytes on the wire.

Run as a program, this adds to the list what is not in it yet::

    PYTHONPATH=src:tests python tests/support/kept_vectors.py
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from support.golden_vectors import vectors
from support.recordings import load, names

__all__ = ["LIST", "gone", "kept", "present"]

LIST = Path(__file__).parents[1] / "contract" / "kept_vectors.txt"

_DIGEST_CHARACTERS = 16


def kept() -> dict[str, str]:
    """Names in the list, and the digests of their bytes."""
    return dict(line.split() for line in LIST.read_text().splitlines() if not line.startswith("#"))


def present() -> dict[str, str]:
    """The vectors and recordings there are, and the digests of their bytes."""
    found = {
        f"golden/{vector}": _digest(*(vector.encodings[codec] for codec in sorted(vector.encodings)))
        for vector in vectors("both", "decode", "refuse")
    }
    for name in names():
        steps = load(name).steps
        found[f"recordings/{name}"] = _digest(
            *(step.encodings[codec] for step in steps for codec in sorted(step.encodings))
        )
    return found


def gone(listed: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is in the list and not there any more, or with other bytes."""
    return [
        f"{name}: {'its bytes were changed' if name in found else 'removed'}; older peers still send it"
        for name, digest in listed.items()
        if found.get(name) != digest
    ]


def _digest(*pieces: bytes) -> str:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(len(piece).to_bytes(8, "big") + piece)
    return whole.hexdigest()[:_DIGEST_CHARACTERS]


if __name__ == "__main__":
    listed = kept()
    with LIST.open("a") as file:
        file.writelines(f"{name} {digest}\n" for name, digest in present().items() if name not in listed)

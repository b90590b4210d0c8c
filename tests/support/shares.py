"""Which tests go together to one process, where several run."""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadFileScheduling

__all__ = ["APART", "Shares"]

APART: Final = (
    "tests/contract/test_mutants_of_ports.py",
    "tests/contract/test_transport_mutants.py",
    "tests/docs/test_pages.py",
    "tests/unit/domain/mux/test_resume_model.py",
)
"""Files that take long, and whose tests share nothing."""


class Shares(LoadFileScheduling):
    """A file is run by one process, which has the servers that its tests share, but those of ``APART`` by all."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return nodeid if file in APART else file

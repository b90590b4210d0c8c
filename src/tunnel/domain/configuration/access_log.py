"""The ``[access_log]`` table: one line for each conversation."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tunnel.domain.configuration.mistakes import mistake

__all__ = ["AccessLogSettings"]


class AccessLogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[access_log]``: conversations are recorded if the table is there, even when it is empty.

    Args:
        path: Of the file that lines are appended to; ``-`` for standard error.
        format: Of the lines.
        sample: Share of the conversations that are recorded.
    """

    path: str = "-"
    format: Literal["text", "json"] = "text"
    sample: Annotated[float, Meta(gt=0, le=1)] = 1

    def check(self) -> None:
        """Refuse what no file is called.

        Raises:
            ConfigurationError: Naming the key.
        """
        if not self.path or "\0" in self.path:
            raise mistake("access_log.path", 'the name of a file, or "-" for standard error', got=self.path)

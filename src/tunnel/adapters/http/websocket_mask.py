"""Masking of payloads, in C where ``websockets`` has it compiled.

Source: RFC 6455 section 5.3.
"""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this platform
    from websockets.utils import apply_mask

__all__ = ["apply_mask"]

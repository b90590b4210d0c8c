"""The program of ``make mutation`` is beside the package, in ``scripts``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

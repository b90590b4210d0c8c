from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_committed_classes_match_the_proto_files() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_proto.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stdout) == (0, ""), check.stderr

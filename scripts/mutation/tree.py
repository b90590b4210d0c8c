"""Where the domain and its tests are, and what its modules are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["DOMAIN", "ROOT", "SURVIVORS", "TESTS", "import_name", "module_files", "short_name"]

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = ROOT / "src" / "tunnel" / "domain"
TESTS = ROOT / "tests" / "unit" / "domain"
SURVIVORS = ROOT / "tests" / "mutation" / "survivors.toml"


def short_name(path: Path) -> str:
    """``mux/windows`` of the file."""
    return path.relative_to(DOMAIN).with_suffix("").as_posix()


def import_name(path: Path) -> str:
    """``tunnel.domain.mux.windows`` of the file."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_files(wanted: Sequence[str]) -> list[Path]:
    """Files of the modules and packages named, all when none is.

    Raises:
        SystemExit: There is no such module.
    """
    found: list[Path] = []
    for name in wanted or ["."]:
        path = DOMAIN / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        if missing := [file for file in files if not file.is_file()]:
            raise SystemExit(f"no module or package of the domain: {short_name(missing[0])}")
        found += files
    return list(dict.fromkeys(found))

"""Regenerate the protobuf classes from ``proto/``, or with ``--check`` tell whether the committed ones still match.

What protoc writes refuses every protobuf runtime older than protoc itself, although the classes are only a serialised
descriptor that any runtime since 6.30 loads. So the guard is rewritten to the oldest runtime that is tested, which
also keeps the output the same whichever release of grpcio-tools made it.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTO = ROOT / "proto"
SOURCES = ("tunnel/v1/tunnel.proto", "tunnel/v1/skeleton.proto")
OUTPUT = ROOT / "src" / "tunnel" / "adapters" / "grpc" / "_generated"
OLDEST_RUNTIME = (6, 30, 0)

PACKAGE = '"""Protobuf classes made by scripts/generate_proto.py; never edited by hand."""\n'

_GUARD = re.compile(
    r"(ValidateProtobufRuntimeVersion\(\n\s*_runtime_version\.Domain\.PUBLIC,\n)(\s*)\d+,\s*\d+,\s*\d+,"
)
_COMMENT = re.compile(r"# Protobuf Python Version: .*\n")


def generate() -> dict[str, str]:
    """File names in the output folder, and what they should hold."""
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(sys.executable).with_name("protoc-gen-mypy")
        subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}"),
                *(f"--python_out={folder}", f"--mypy_out=quiet:{folder}", f"--plugin=protoc-gen-mypy={plugin}"),
                *SOURCES,
            ],
            check=True,
        )
        made = {file.name: file.read_text() for file in sorted((Path(folder) / "tunnel" / "v1").iterdir())}
    modules = {name: _for_any_runtime(text) if name.endswith(".py") else text for name, text in made.items()}
    return {"__init__.py": PACKAGE, **modules}


def _for_any_runtime(text: str) -> str:
    version = "".join(f"\n\\g<2>{number}," for number in OLDEST_RUNTIME).removeprefix("\n")
    text, guards = _GUARD.subn(rf"\g<1>{version}", text)
    if guards != 1:
        raise SystemExit("protoc no longer writes the version guard that this script rewrites")
    return _COMMENT.sub("# Protobuf Python Version: {}.{}.{} or later\n".format(*OLDEST_RUNTIME), text)


def drift(wanted: dict[str, str]) -> list[str]:
    """What differs between ``wanted`` and the committed files, as lines of a diff."""
    present = {file.name: file.read_text() for file in OUTPUT.glob("*.py*") if file.is_file()}
    return [
        line
        for name in sorted(wanted.keys() | present.keys())
        for line in difflib.unified_diff(
            present.get(name, "").splitlines(), wanted.get(name, "").splitlines(), name, f"{name} (generated)", "", ""
        )
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed files differ")
    check = parser.parse_args(arguments).check
    wanted = generate()
    if check:
        differences = drift(wanted)
        sys.stdout.writelines(f"{line}\n" for line in differences)
        return 1 if differences else 0
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (OUTPUT / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

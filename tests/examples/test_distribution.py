"""What is released: its contents, its metadata, and that it works where there is nothing else."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from support.distribution import ROOT

PACKAGE = ROOT / "src" / "tunnel"


def environment() -> dict[str, str]:
    left_out = {"PYTHONPATH", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def test_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    modules = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        information = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}

    assert packed == modules
    assert {"tunnel/py.typed", "tunnel/adapters/grpc/_generated/tunnel_pb2.py"} <= packed
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= information


def test_sdist_has_what_a_wheel_is_built_of_and_no_certificates(distribution: Path) -> None:
    (sdist,) = distribution.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "src/tunnel/py.typed",
        "proto/tunnel/v1/tunnel.proto",
    } <= names
    assert [name for name in names if name.startswith((".git/", ".venv", "build/")) or name.endswith(".pem")] == []


def test_metadata_is_what_an_index_takes(distribution: Path, wheel: Path) -> None:
    pytest.importorskip("twine")
    files = [str(path) for path in distribution.iterdir()]

    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True, env=environment()
    )

    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Name"] == "hextunnel"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


@pytest.mark.full
def test_wheel_works_in_an_environment_that_has_nothing_else(wheel: Path, tmp_path: Path) -> None:
    venv.EnvBuilder(with_pip=True, symlinks=True).create(tmp_path / "bare")
    programs = tmp_path / "bare" / "bin"

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(programs / command[0]), *command[1:]], cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "--quiet", str(wheel))

    assert run("tunnel", "--version").startswith("tunnel ")
    assert "rows passed" in run("tunnel", "demo", "--once")
    assert run("pip", "check")

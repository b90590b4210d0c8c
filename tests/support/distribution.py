"""What is released, built once for all processes that run tests, and environments that have it installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

__all__ = ["ROOT", "built", "environment_with", "environment_without", "packages_besides"]

ROOT = Path(__file__).parents[2]


def built(factory: pytest.TempPathFactory) -> Path:
    """Directory with the wheel and the sdist of this tree.

    The processes of one run share a directory; the first builds, and the others wait.
    """
    run = factory.getbasetemp()
    shared = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "distribution"
    with open(f"{shared}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            made = shared.with_name("distribution.part")
            shutil.rmtree(made, ignore_errors=True)
            # The wheel is made of the sdist, as it is where somebody builds from that.
            subprocess.run(
                [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made), str(ROOT)],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            made.rename(shared)
    return shared


def environment_with(wheel: Path, directory: Path) -> Path:
    """A virtual environment with the wheel installed, and every other package seen where it is; returns its programs.

    Nothing is fetched. The package in the source tree is not seen: the folder with the dependencies is searched, but
    not for what it has installed for editing.
    """
    programs = _environment(directory, Path(sysconfig.get_path("purelib")))
    install = [programs / "python3", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(install, check=True, env=environment | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return programs


def environment_without(directory: Path) -> Path:
    """A virtual environment that sees every package but ours, for those who install it; returns its programs."""
    directory.mkdir()
    packages = packages_besides(("hextunnel", "_editable", "tunnel"), directory / "packages")
    return _environment(directory / "venv", packages)


def packages_besides(left_out: tuple[str, ...], directory: Path) -> Path:
    """A directory with the packages of this environment, but for those whose names begin in one of these ways."""
    directory.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(left_out) and path.suffix != ".pth":
            (directory / path.name).symlink_to(path)
    return directory


def _environment(directory: Path, packages: Path) -> Path:
    """A virtual environment that also sees what is in ``packages``; returns its programs."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(directory)
    programs = directory / "bin"
    own = Path(sysconfig.get_path("purelib", vars={"base": str(directory)}))
    (own / "dependencies.pth").write_text(f"{packages}\n")
    for name in ("pip", "pytest", "uvicorn"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{programs}/python3" -m {name} "$@"\n')
        program.chmod(0o755)
    return programs

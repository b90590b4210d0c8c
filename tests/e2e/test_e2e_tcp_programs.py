"""Programs that people use TCP for, through the tunnel: ssh, and a database with its own client."""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_visitor import Address
from support.ports import unused_port

DEADLINE_S = 60
MIB = 1 << 20

pytestmark = pytest.mark.full


def program(name: str) -> str:
    """Where a program is; skips without it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        pytest.skip(f"needs {name} on PATH")
    return found


def ran(*arguments: str, data: bytes = b"", user: str | None = None) -> bytes:
    done = subprocess.run(
        arguments, input=data, capture_output=True, timeout=DEADLINE_S, user=user, cwd="/" if user else None
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def wait_for_listener(address: Address, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{process.args} does not listen")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[Address, Path]]:
    """A server of our own, for our own user and key; its address, and the directory with the key."""
    server, keygen = program("sshd"), program("ssh-keygen")
    program("ssh")
    for name in ("host", "user"):
        ran(keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name))
    keys = tmp_path / "authorized_keys"
    shutil.copy(tmp_path / "user.pub", keys)
    address = ("127.0.0.1", unused_port())
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": str(address[1]),
        "HostKey": str(tmp_path / "host"),
        "AuthorizedKeysFile": str(keys),
        "StrictModes": "no",
        "PidFile": "none",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
    }
    arguments = [f"-o{name}={value}" for name, value in options.items()]
    process = subprocess.Popen([server, "-D", "-e", "-f", "/dev/null", *arguments], stderr=subprocess.DEVNULL)
    try:
        wait_for_listener(address, process)
        yield address, tmp_path
    finally:
        process.kill()
        process.wait()


def test_ssh_runs_commands_and_carries_megabytes(sshd: tuple[Address, Path], deploy) -> None:
    address, keys = sshd
    _, port = deploy(tcp={"ssh": address}).tcp("ssh")
    options = ["-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR"]
    ssh = [program("ssh"), "-F", "/dev/null", "-i", str(keys / "user"), "-p", str(port), *options]
    where = f"{getpass.getuser()}@127.0.0.1"

    assert ran(*ssh, where, "echo hello; exit 0") == b"hello\n"
    data = os.urandom(8 * MIB)
    assert ran(*ssh, where, "sha256sum", data=data).split()[0].decode() == hashlib.sha256(data).hexdigest()
    zeros = ran(*ssh, where, f"head -c {16 * MIB} /dev/zero")
    assert zeros == bytes(16 * MIB)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A database of our own without a password. It does not run as root, so root runs it as the user ``postgres``."""
    server, initdb = program("postgres"), program("initdb")
    program("psql")
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        try:
            pwd.getpwnam(user)
        except KeyError:
            pytest.skip("needs the user postgres")
    directory = Path("/tmp") / f"tunnel-e2e-postgres-{os.getpid()}-{unused_port()}"
    address = ("127.0.0.1", unused_port())
    directory.mkdir()
    try:
        if user is not None:
            shutil.chown(directory, user)
        data = str(directory / "data")
        ran(initdb, "--auth=trust", "--username=tester", "--no-sync", "-D", data, user=user)
        arguments = ["-D", data, "-p", str(address[1]), "-h", address[0], "-k", str(directory), "-F"]
        process = subprocess.Popen([server, *arguments], stderr=subprocess.DEVNULL, user=user, cwd="/")
        try:
            wait_for_listener(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
    finally:
        shutil.rmtree(directory)


def test_database_answers_its_own_client(postgres: Address, deploy) -> None:
    host, port = deploy(tcp={"postgres": postgres}).tcp("postgres")
    psql = [program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    psql += ["-h", host, "-p", str(port), "-U", "tester", "-d", "postgres"]

    statements = """
        create table numbers (number int primary key, word text);
        insert into numbers select n, md5(n::text) from generate_series(1, 100000) as n;
        select count(*), sum(number), min(length(word)) from numbers;
    """
    assert ran(*psql, "-c", statements).split() == [b"100000|5000050000|32"]
    copied = ran(*psql, "-c", "copy (select * from numbers order by number) to stdout")
    assert copied.count(b"\n") == 100_000
    ran(*psql, "-c", "truncate numbers")
    ran(*psql, "-c", "copy numbers from stdin", data=copied)
    again = ran(*psql, "-c", "copy (select * from numbers order by number) to stdout")
    assert again == copied

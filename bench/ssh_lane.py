"""``ssh -R`` through an sshd of our own, with throwaway keys, on a free port of loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.lanes import Entrance, Lane
from bench.processes import Processes, accepts, free_port, program
from bench.upstreams import Upstreams

__all__ = ["privilege_separation_directory", "start_ssh"]


@contextlib.contextmanager
def privilege_separation_directory() -> Iterator[None]:
    """The empty directory that sshd demands when root runs it; removed again where we had to make it."""
    directory = Path("/run/sshd")
    needed = os.geteuid() == 0 and directory.parent.is_dir() and not directory.exists()
    if needed:
        directory.mkdir(mode=0o755)
    try:
        yield
    finally:
        if needed:
            with contextlib.suppress(OSError):
                directory.rmdir()


def start_ssh(upstreams: Upstreams, processes: Processes) -> Lane:
    """One SSH connection that forwards a port for each upstream. Compression is off; encryption cannot be.

    Raises:
        NotFound: No sshd, ssh or ssh-keygen.
        Failed: They do not get ready.
    """
    sshd, ssh, keygen = program("sshd"), program("ssh"), program("ssh-keygen")
    directory = processes.directory
    for key in ("host_key", "user_key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", directory / key], check=True)
    port = free_port()
    forwarded = {name: f"127.0.0.1:{free_port()}" for name in upstreams.addresses}
    configuration = directory / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {directory}/user_key.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "UsePAM no\nStrictModes no\nPermitRootLogin yes\nAllowTcpForwarding yes\nCompression no\nLogLevel ERROR\n"
    )
    server = processes.start("sshd", sshd, "-D", "-e", "-f", configuration)
    server.until(accepts(f"127.0.0.1:{port}"))
    options = {
        "IdentityFile": f"{directory}/user_key",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "ExitOnForwardFailure": "yes",
        "Compression": "no",
        "LogLevel": "ERROR",
    }
    client = processes.start(
        "ssh",
        *(ssh, "-N", "-F", "none", "-p", str(port)),
        *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
        *(part for name, address in forwarded.items() for part in ("-R", f"{address}:{upstreams.addresses[name]}")),
        f"{getpass.getuser()}@127.0.0.1",
    )
    for address in forwarded.values():
        client.until(accepts(address))
    return Lane(
        "ssh",
        {name: Entrance(address) for name, address in forwarded.items()},
        upstreams.publisher,
        {"server": server.pid, "client": client.pid},
        upstreams.processes,
    )

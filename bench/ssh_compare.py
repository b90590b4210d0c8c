"""Small GETs through a tunnel, through ``ssh -R`` and straight to the upstream, in one run on one machine.

The lanes are all up for the whole run and take turns, round by round, so that whatever else the machine does falls on
all of them alike. What is reported of a lane is its median over the rounds; its ratio to ``ssh -R`` is taken within
each round first. A lane whose programs are not installed is skipped, and the output says so.

CPU and memory are read from /proc for each process and its descendants; elsewhere than on Linux they are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import getpass
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

LANES = ("websocket", "grpc", "ssh", "direct")
TITLES = {"websocket": "tunnel, websocket", "grpc": "tunnel, grpc", "ssh": "ssh -R", "direct": "direct"}
BODY = b"ok\n"
START_TIMEOUT_S = 20.0
WARM_UP_S = 1
SCHEMES = {"websocket": "ws", "grpc": "grpc"}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LaneUnavailable(Exception):
    """A lane cannot be measured here, because a program it needs is not installed."""


class LaneFailed(Exception):
    """A lane should have worked, and did not."""


@dataclass(frozen=True)
class Lane:
    """One way to the upstream, running. ``processes`` maps a role to the process at the root of its tree."""

    name: str
    url: str
    processes: dict[str, int]


@dataclass(frozen=True)
class Sample:
    """What one round of one lane gave. Latencies are milliseconds, CPU is microseconds a request by role."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: dict[str, float] = field(default_factory=dict)


# Processes


class Processes:
    """Starts processes with their output in a log file each, and ends every one of them in the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str | Path) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process, log

    def stop_all(self) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            running = [process for process in reversed(self._started) if process.poll() is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal_number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=3)


def until(ready: Callable[[], str | None], process: subprocess.Popen[bytes], log: Path) -> str:
    """What ``ready`` returns once it returns something, while ``process`` lives."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (found := ready()) is not None:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.05)
    state = "did not get ready" if process.poll() is None else f"ended with {process.returncode}"
    tail = "".join(log.read_text(errors="replace").splitlines()[-1:])
    raise LaneFailed(f"{Path(process.args[0]).name} {state}: {tail}")  # type: ignore[index, arg-type]


def accepts(port: int) -> Callable[[], str | None]:
    def probe() -> str | None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return None
        return f"127.0.0.1:{port}"

    return probe


def logged(log: Path, pattern: str) -> Callable[[], str | None]:
    def probe() -> str | None:
        match = re.search(pattern, log.read_text(errors="replace"))
        return match[1] if match else None

    return probe


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Full path of a program; sshd and nginx often lie outside an ordinary user's PATH."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/bin")
    if path is None:
        raise LaneUnavailable(f"{name} is not installed")
    return path


# The upstream


class _Answers(asyncio.Protocol):
    """A fixed answer to each request without a body; pipelining and keep-alive included."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)

    def __init__(self) -> None:
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._pending = (self._pending + data).split(b"\r\n\r\n")
        self._transport.write(self.ANSWER * len(requests))


def serve_upstream(port: int) -> None:
    """Be the upstream where there is no nginx. Runs in a process of its own."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(main())


NGINX_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok\\n"; }} }}
}}
"""


def start_upstream(processes: Processes, directory: Path) -> tuple[str, int]:
    """Start the upstream; returns what it is and its port."""
    port = free_port()
    try:
        nginx = program("nginx")
    except LaneUnavailable:
        kind = "asyncio"
        process, log = processes.start("upstream", sys.executable, __file__, "--serve-upstream", str(port))
    else:
        kind = "nginx"
        configuration = directory / "nginx.conf"
        configuration.write_text(NGINX_CONFIGURATION.format(directory=directory, port=port))
        process, log = processes.start("upstream", nginx, "-p", directory, "-c", configuration)
    until(accepts(port), process, log)
    return kind, port


# The lanes

SERVER_CONFIGURATION = """
[transports.{transport}]
listen = "127.0.0.1:0"
[ingress.http]
listen = "127.0.0.1:0"
[auth.tokens.bench]
sha256 = "{digest}"
groups = ["bench"]
[[rules]]
path_prefix = "/"
group = "bench"
[groups.bench]
[[groups.bench.rules]]
path_prefix = "/"
upstream = "app"
[groups.bench.upstreams.app]
targets = ["http://127.0.0.1:{port}"]
"""

CLIENT_CONFIGURATION = """
client_id = "bench"
group = "bench"
token = "{token}"
servers = ["{scheme}://{address}"]
"""


def start_tunnel(transport: str, upstream_port: int, processes: Processes, directory: Path) -> Lane:
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    configuration = directory / f"server-{transport}.toml"
    configuration.write_text(SERVER_CONFIGURATION.format(transport=transport, digest=digest, port=upstream_port))
    command = (sys.executable, "-m", "tunnel")
    server, log = processes.start(f"server-{transport}", *command, "server", "--config", configuration)
    listening = r"listening kind={} name=\S+ address=(\S+)"
    address = until(logged(log, listening.format("transport")), server, log)
    entry = until(logged(log, listening.format("ingress")), server, log)

    configuration = directory / f"client-{transport}.toml"
    configuration.write_text(
        CLIENT_CONFIGURATION.format(token=token, scheme=SCHEMES[transport], address=address),
    )
    client, log = processes.start(f"client-{transport}", *command, "client", "--config", configuration)
    until(logged(log, r"(ready client=bench)"), client, log)
    return Lane(transport, f"http://{entry}/", {"server": server.pid, "client": client.pid})


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


def start_ssh(upstream_port: int, processes: Processes, directory: Path) -> Lane:
    """An sshd of our own with keys of its own, and a client that forwards one of its ports back to the upstream."""
    sshd, ssh, keygen = program("sshd"), program("ssh"), program("ssh-keygen")
    for key in ("host_key", "user_key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", directory / key], check=True)
    port, forwarded = free_port(), free_port()
    configuration = directory / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {directory}/user_key.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "UsePAM no\nStrictModes no\nPermitRootLogin yes\nAllowTcpForwarding yes\nCompression no\nLogLevel ERROR\n"
    )
    server, log = processes.start("sshd", sshd, "-D", "-e", "-f", configuration)
    until(accepts(port), server, log)
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
    client, log = processes.start(
        "ssh",
        *(ssh, "-N", "-F", "none", "-p", str(port)),
        *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
        *("-R", f"127.0.0.1:{forwarded}:127.0.0.1:{upstream_port}", f"{getpass.getuser()}@127.0.0.1"),
    )
    until(accepts(forwarded), client, log)
    return Lane("ssh", f"http://127.0.0.1:{forwarded}/", {"server": server.pid, "client": client.pid})


def start_lane(name: str, upstream_port: int, processes: Processes, directory: Path) -> Lane:
    """Start a lane and prove that it answers."""
    match name:
        case "direct":
            lane = Lane(name, f"http://127.0.0.1:{upstream_port}/", {})
        case "ssh":
            lane = start_ssh(upstream_port, processes, directory)
        case _:
            lane = start_tunnel(name, upstream_port, processes, directory)
    try:
        with OPENER.open(lane.url, timeout=10) as response:
            body = response.read()
    except OSError as exc:
        raise LaneFailed(f"no answer from {lane.url}: {exc}") from exc
    if body != BODY:
        raise LaneFailed(f"unexpected answer from {lane.url}: {body[:80]!r}")
    return lane


# Measuring


def tree(pid: int) -> list[int]:
    """``pid`` and its descendants; empty where there is no /proc."""
    found, pending = [], [pid]
    while pending:
        current = pending.pop()
        try:
            children = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        found.append(current)
        pending += map(int, children)
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, that the tree below ``pid`` has used."""
    ticks = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            after_name = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_mib(pid: int) -> float:
    """Peak resident memory of the tree below ``pid``: the sum of its members' own peaks."""
    kib = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{member}/status").read_text())
            kib += int(match[1]) if match else 0
    return kib / 1024


UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def percentile_ms(report: str, percent: int) -> float:
    match = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", report, re.MULTILINE)
    return float(match[1]) * UNIT_MS[match[2]] if match else float("nan")


def measure(lane: Lane, *, connections: int, seconds: int) -> Sample:
    before = {role: cpu_s(pid) for role, pid in lane.processes.items()}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", lane.url]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    used = {role: cpu_s(pid) - before[role] for role, pid in lane.processes.items()}

    requests = int(re.search(r"(\d+) requests in", report)[1])  # type: ignore[index]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    return Sample(
        requests_per_s=float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1]),  # type: ignore[index]
        p50_ms=percentile_ms(report, 50),
        p99_ms=percentile_ms(report, 99),
        failed=int(failed[1] if failed else 0) + sum(map(int, broken.groups() if broken else ())),
        cpu_us={role: used[role] * 1e6 / max(requests, 1) for role in used if tree(lane.processes[role])},
    )


# Reporting


def ratios(samples: dict[str, list[Sample]], name: str) -> list[float]:
    """Requests a second relative to ``ssh -R``, round by round."""
    return [
        own.requests_per_s / ssh.requests_per_s
        for own, ssh in zip(samples[name], samples.get("ssh", ()), strict=False)
        if ssh.requests_per_s
    ]


def summary(samples: dict[str, list[Sample]], name: str, rss_mib: dict[str, float]) -> dict[str, object]:
    rounds = samples[name]
    return {
        "requests_per_s": median(sample.requests_per_s for sample in rounds),
        "ratio_to_ssh": ratios(samples, name),
        "p50_ms": median(sample.p50_ms for sample in rounds),
        "p99_ms": median(sample.p99_ms for sample in rounds),
        "failed": sum(sample.failed for sample in rounds),
        "cpu_us_per_request": {role: median(s.cpu_us[role] for s in rounds) for role in rounds[0].cpu_us},
        "peak_rss_mib": rss_mib,
        "rounds": [asdict(sample) for sample in rounds],
    }


def table(summaries: dict[str, dict[str, object]]) -> str:
    heads = ("lane", "requests/s", "ratio to ssh -R", "p50 ms", "p99 ms", "cpu us/request", "peak RSS MiB", "failed")
    rows = [heads]
    for name, values in summaries.items():
        ratio: list[float] = values["ratio_to_ssh"]  # type: ignore[assignment]
        cpu: dict[str, float] = values["cpu_us_per_request"]  # type: ignore[assignment]
        rss: dict[str, float] = values["peak_rss_mib"]  # type: ignore[assignment]
        rows.append(
            (
                TITLES[name],
                f"{values['requests_per_s']:,.0f}",
                f"{median(ratio):.2f} ({min(ratio):.2f}-{max(ratio):.2f})" if ratio else "-",
                f"{values['p50_ms']:.2f}",
                f"{values['p99_ms']:.2f}",
                ", ".join(f"{role} {value:.1f}" for role, value in cpu.items()) or "-",
                ", ".join(f"{role} {value:.0f}" for role, value in rss.items()) or "-",
                str(values["failed"]),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def distribution_version() -> str:
    try:
        return importlib.metadata.version("hextunnel")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, object]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "hextunnel": distribution_version(),
    }


def run(options: argparse.Namespace, directory: Path) -> int:
    processes = Processes(directory)
    samples: dict[str, list[Sample]] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(privilege_separation_directory())
        stack.callback(processes.stop_all)
        upstream, port = start_upstream(processes, directory)
        lanes = []
        for name in options.only:
            try:
                lanes.append(start_lane(name, port, processes, directory))
            except LaneUnavailable as exc:
                skipped[name] = str(exc)
            except LaneFailed as exc:
                failed[name] = str(exc)
        for lane in lanes:
            measure(lane, connections=options.connections, seconds=WARM_UP_S)
        for number in range(options.rounds):
            # Each round starts with another lane, so that none always runs right after the same one.
            turn = number % len(lanes) if lanes else 0
            for lane in lanes[turn:] + lanes[:turn]:
                sample = measure(lane, connections=options.connections, seconds=options.seconds)
                samples.setdefault(lane.name, []).append(sample)
                print(f"round {number + 1} {TITLES[lane.name]}: {sample.requests_per_s:,.0f}/s", file=sys.stderr)
        rss = {
            lane.name: {role: peak_rss_mib(pid) for role, pid in lane.processes.items() if tree(pid)} for lane in lanes
        }
    summaries = {name: summary(samples, name, rss[name]) for name in options.only if name in samples}
    about = machine() | {
        "upstream": upstream,
        "connections": options.connections,
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    print("\n" + ", ".join(f"{key} {value}" for key, value in about.items()))
    print(table(summaries))
    for name, reason in skipped.items():
        print(f"{TITLES[name]}: skipped, {reason}")
    for name, reason in failed.items():
        print(f"{TITLES[name]}: failed, {reason}")
    if options.json is not None:
        document = {"about": about, "lanes": summaries, "skipped": skipped, "failed": failed}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if failed else 0


def lane_names(value: str) -> list[str]:
    names = value.split(",")
    if unknown := set(names) - set(LANES):
        raise argparse.ArgumentTypeError(f"no such lane: {', '.join(sorted(unknown))}; there are {', '.join(LANES)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", type=lane_names, default=list(LANES), help=f"some of {','.join(LANES)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (5)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a lane's turn in a round (5)")
    parser.add_argument("--connections", type=int, default=50, help="visitors' connections (50)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured to FILE")
    parser.add_argument("--serve-upstream", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_upstream is not None:
        serve_upstream(options.serve_upstream)
        return 0
    if shutil.which("wrk") is None:
        print("skipped: wrk, which makes the load, is not installed")
        return 0
    # So that whoever ends this with SIGTERM leaves no process behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as directory:
        return run(options, Path(directory))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench` as a whole: one tunnel and tiny sizes, and what is left of it afterwards."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEADLINE_S = 60

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="what processes use is read from /proc")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench", *arguments]


@needs_proc
def test_a_tunnel_is_measured_beside_its_upstream_and_its_rules(tmp_path):
    result, drawing = tmp_path / "result.json", tmp_path / "result.svg"
    loads = {
        "download",
        "upload",
        "lookup",
        "websocket-echo",
        "websocket-idle",
        "grpc-unary",
        "tcp-bulk-up",
        "tcp-echo",
    }
    names = ",".join(["websocket", "direct", "ssh", "rules-10", *loads])
    sizes = ("--rounds", "2", "--seconds", "0.05", "--large-mib", "1", "--bulk-mib", "1", "--idle-sockets", "20")

    done = subprocess.run(
        command("--only", names, *sizes, "--json", str(result), "--svg", str(drawing)),
        cwd=ROOT,
        env=os.environ | {"PATH": "", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )

    assert done.returncode == 0, done.stderr + done.stdout
    document = json.loads(result.read_text())
    assert set(document["loads"]) == loads
    assert {name for name, load in document["loads"].items() if load["failed"]} == set()
    assert document["loads"]["websocket-idle"]["lanes"]["websocket"]["done"] == 20
    tunnel = document["loads"]["download"]["lanes"]["websocket"]
    assert len(tunnel["rounds"]) == 2
    assert set(tunnel["cpu_us"]) == set(tunnel["peak_mib"]) == {"server", "client", "upstream"}
    assert tunnel["ratios"]["direct"]["middle"] > 0
    assert document["loads"]["lookup"]["lanes"]["rules-10"]["rate"]["middle"] > 0
    assert document["about"]["command"].startswith("python -m bench --only")
    assert drawing.read_text().startswith("<svg ")
    assert "tunnel, WebSocket" in done.stdout
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@needs_proc
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_all_it_started(tmp_path, number, code):
    process = subprocess.Popen(
        command("--only", "direct,download", "--rounds", "100000", "--seconds", "0.05", "--large-mib", "1"),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr.readline().startswith("download round 1 direct")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(number)
        process.stderr.read()

        assert process.wait(DEADLINE_S) == code
    assert children
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("--only", "nonsense"), ("--rounds", "0"), ("--seconds", "nan")])
def test_a_wrong_command_line_starts_nothing(arguments):
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)

    assert done.returncode == 2
    assert arguments[0] in done.stderr

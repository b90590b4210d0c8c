import os
import threading
from pathlib import Path

import pytest

from tunnel.adapters.access_log.log_file import LogFile


def test_line_after_one_that_was_cut_off_stands_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LogFile(str(tmp_path / "log"))
    write = os.write
    allowed = [3]

    def short_of_space(fd: int, data: bytes) -> int:
        if not allowed:
            raise OSError(28, "No space left on device")
        return write(fd, data[: allowed.pop()])

    monkeypatch.setattr(os, "write", short_of_space)
    with pytest.raises(OSError, match="No space"):
        file.write(b"first\n")
    with pytest.raises(OSError, match="No space"):
        file.write(b"second\n")
    monkeypatch.setattr(os, "write", write)
    file.write(b"third\n")
    file.write(b"fourth\n")
    file.close()

    assert (tmp_path / "log").read_bytes() == b"fir\nthird\nfourth\n"


def test_pipe_that_does_not_wait_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    monkeypatch.setattr("tunnel.adapters.access_log.log_file._STDERR_FD", writing)
    lines = b"x" * 99_999 + b"\n"
    heard = []

    def read() -> None:
        while sum(map(len, heard)) < len(lines):
            heard.append(os.read(reading, 65536))

    reader = threading.Thread(target=read)
    reader.start()
    LogFile("-").write(lines)
    reader.join(10)
    os.close(reading)
    os.close(writing)

    assert b"".join(heard) == lines


def test_pipe_that_nobody_reads_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    file = LogFile(str(path))
    with pytest.raises(OSError, match=r"No such device or address|not configured"):
        file.open()

    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file.write(b"first\n")
    assert os.read(reader, 100) == b"first\n"
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        file.write(b"second\n")
    with pytest.raises(OSError, match=r"No such device or address|not configured"):
        file.write(b"third\n")

    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file.write(b"fourth\n")
    assert os.read(reader, 100).endswith(b"fourth\n")
    os.close(reader)
    file.close()

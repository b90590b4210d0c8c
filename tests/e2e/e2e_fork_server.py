"""Runs Python programs in forks of a process that has imported what they import, which is most of what a start costs.

Run by ``e2e_forks``. Each message on the control socket asks for one program: its arguments, directory and environment,
with three files: its stdin, its stdout and stderr, and where to write its process id and, once it has ended, its exit
code. Between this process and the program stands a keeper that waits for it, so that nobody has to wait for several.

The program leaves as any Python does, by the end of its main module, with everything that an interpreter does then.
"""

import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

# What servers and clients import sooner or later, and nothing that starts a thread.
PRELOADED = (
    "tunnel.app.cli.client",
    "tunnel.app.cli.server",
    "tunnel.app.client",
    "tunnel.app.server",
    "tunnel.adapters.admin.listener",
    "tunnel.adapters.grpc.ingress",
    "tunnel.adapters.grpc.listener",
    "tunnel.adapters.grpc.transport",
    "tunnel.adapters.grpc.upstream",
    "tunnel.adapters.http.ingress_uvicorn",
    "tunnel.adapters.http.upstream",
    "tunnel.adapters.tcp.ingress",
    "tunnel.adapters.tcp.upstream",
    "tunnel.adapters.websocket.listener",
    "tunnel.adapters.websocket.transport",
    "uvloop",
)
MESSAGE_BYTES = 256 * 1024


def serve(control: socket.socket) -> dict | None:
    """Fork for each message. Returns None once nobody is left to send any, and in a fork the program that it is."""
    while True:
        message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 3)
        if not message:
            return None
        keeper = os.fork()
        if keeper == 0:
            control.close()
            become_program_or_keep_it(*files)
            return json.loads(message)
        for each in files:
            os.close(each)
        forget_ended_keepers()


def become_program_or_keep_it(stdin: int, output: int, status: int) -> None:
    """Return in the program, with its files in place. The keeper tells of it until it has ended, and ends."""
    program = os.fork()
    if program == 0:
        os.dup2(stdin, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for each in (stdin, output, status):
            os.close(each)
        return
    # A pipe that the keeper held would not end with the program.
    for each in (0, 1, 2, stdin, output):
        os.close(each)
    os.write(status, b"%d\n" % program)
    _, ending = os.waitpid(program, 0)
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ending))
    os._exit(0)


def forget_ended_keepers() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def run(program: dict) -> None:
    """Do what a new interpreter does with these arguments."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(program["environment"])
    os.chdir(program["directory"])
    match program["arguments"]:
        case ["-m", module, *arguments]:
            sys.argv[:], sys.path[0] = [module, *arguments], program["directory"]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *arguments]:
            sys.argv[:], sys.path[0] = ["-c", *arguments], ""
            exec(code, {"__name__": "__main__"})
        case [script, *arguments]:
            sys.argv[:], sys.path[0] = [script, *arguments], str(Path(script).parent)
            runpy.run_path(script, run_name="__main__")


def main() -> None:
    # Ctrl-C goes to all processes of a terminal, and the tests are to end their programs themselves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in PRELOADED:
        import_module(module)
    # What is there now is garbage in no fork, and stays shared by all of them.
    gc.collect()
    gc.freeze()
    program = serve(socket.socket(fileno=int(sys.argv[1])))
    if program is not None:
        run(program)


if __name__ == "__main__":
    main()

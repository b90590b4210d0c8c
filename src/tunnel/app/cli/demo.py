"""``tunnel demo``: run server, client and a sample application, send requests through them, show what came back."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio

from tunnel.app.cli import demo_app
from tunnel.app.cli.demo_calls import CALL_VISITS
from tunnel.app.cli.demo_expose import EXPOSED_NAME, advice, exposed_visit
from tunnel.app.cli.demo_process import DemoProcess, DidNotStart, running
from tunnel.app.cli.demo_table import Table
from tunnel.app.cli.demo_tcp import TCP_VISITS, echoing
from tunnel.app.cli.demo_tunnel import TRANSPORTS, DemoTunnel, Plan, refusing_port, running_tunnel
from tunnel.app.cli.demo_visits import VISITS, pay
from tunnel.app.cli.failures import FAILED, OK, report
from tunnel.app.cli.output import write, write_error
from tunnel.app.cli.stop_signals import stop_numbers

__all__ = ["add_arguments", "run"]

_INTERRUPTED: Final = 130
_LISTENING: Final = r"^listening address=(\S+)$"
_TAKING_CALLS: Final = r"^listening calls=(\S+)$"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--transport", choices=TRANSPORTS, help="what joins server and client (default: each in turn)")
    parser.add_argument("--once", action="store_true", help="end after the table instead of going on until interrupted")


def run(args: argparse.Namespace) -> int:
    """Run the demo.

    Over ``grpc`` and ``websocket`` server and client are processes of their own, started as users do; over ``memory``
    both are in this one. The sample application is always a process of its own. All of them have ended, and their files
    are gone, when this returns or raises.

    Returns:
        0 when every row passed and, with ``--once``, nothing ended early; 1 otherwise; 130 interrupted before that was
        known.

    Raises:
        TunnelError: A part could not be started in this process.
    """
    transports = (args.transport,) if args.transport else TRANSPORTS
    with asyncio.Runner() as runner:
        return runner.run(_until_interrupted(_Demo(transports, once=args.once)))


async def _until_interrupted(demo: _Demo) -> int:
    """Run the demo; the first signal ends it in order, and further ones change nothing, since that takes seconds."""
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as scope:

        def interrupt() -> None:
            if demo.staying:
                demo.enough.set()
            else:
                scope.cancel()

        for number in stop_numbers(hangup=True):
            try:
                loop.add_signal_handler(number, interrupt)
            except NotImplementedError:
                # Windows: an interrupt cancels this task.
                break
        return await demo.run()
    return _INTERRUPTED


class _Demo:
    """One run of the demo.

    ``staying`` says that the rows are done and that it goes on until ``enough`` is set.
    """

    def __init__(self, transports: Sequence[str], *, once: bool) -> None:
        self._transports: Final = transports
        self._once: Final = once
        names = [*(visit.name for visit in (*VISITS, *CALL_VISITS, *TCP_VISITS)), EXPOSED_NAME]
        self._table: Final = Table(names, write, colour=_on_a_terminal())
        self._rows = 0
        self._failed_rows: list[str] = []
        self._early_ends: list[str] = []
        self.staying = False
        self.enough: Final = asyncio.Event()

    async def run(self) -> int:
        try:
            async with AsyncExitStack() as stack:
                return await self._run(stack)
        except DidNotStart as error:
            for line in error.last_lines:
                write_error(f"  {line}")
            return report(error)

    async def _run(self, stack: AsyncExitStack) -> int:
        """Visit every tunnel, and leave to ``stack`` what shall stay."""
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="tunnel-demo-")))
        application = await stack.enter_async_context(running("sample application", "-m", demo_app.__name__))
        url = f"http://{await application.said(_LISTENING)}"
        calls = f"grpc://{await application.said(_TAKING_CALLS)}"
        write(f"sample application: {url} (pid {application.pid})")
        echo = await stack.enter_async_context(echoing())
        plan = Plan(directory, url, calls, stack.enter_context(refusing_port()), echo)
        tunnels = {}
        for transport in self._transports:
            async with AsyncExitStack() as scope:
                tunnel = await scope.enter_async_context(running_tunnel(transport, plan))
                await self._visit(transport, tunnel, application)
                if not self._once:
                    tunnels[transport] = tunnel
                    stack.push_async_callback(scope.pop_all().aclose)
        self._note_end(application)
        code = self._sum_up()
        if not self._once:
            await self._stay(tunnels)
        return code

    async def _visit(self, transport: str, tunnel: DemoTunnel, application: DemoProcess) -> None:
        where = ", ".join(f"{each.name.partition(' ')[0]} pid {each.pid}" for each in tunnel.processes)
        self._table.open(f"over {transport}: http://{tunnel.address} ({where or 'server and client in this process'})")
        failed_rows = []
        visits = [
            *((visit, tunnel.address) for visit in VISITS),
            *((visit, tunnel.calls) for visit in CALL_VISITS),
            *((visit, tunnel.tcp_address) for visit in TCP_VISITS),
            (exposed_visit(tunnel.server, tunnel.token), tunnel.address),
        ]
        for visit, address in visits:
            outcome = await pay(visit, address)
            self._table.add(outcome)
            self._rows += 1
            if outcome.failure is not None:
                failed_rows.append(f"over {transport}: {outcome.name}")
        if failed_rows and application.end is None:
            # Without the application there is nothing to wonder about.
            _show_logs(tunnel)
        self._failed_rows += failed_rows
        for process in tunnel.processes:
            self._note_end(process)

    def _note_end(self, process: DemoProcess) -> None:
        """Something that ended early makes the demo fail even if every row had passed by then."""
        if process.end is not None:
            self._early_ends.append(f"the {process.name} {process.end}")

    def _sum_up(self) -> int:
        write("")
        if self._failed_rows:
            write(f"{len(self._failed_rows)} of {self._rows} rows FAILED")
        else:
            write(f"all {self._rows} rows passed")
        for line in (*self._failed_rows, *self._early_ends):
            write(f"  {line}")
        return FAILED if self._failed_rows or self._early_ends else OK

    async def _stay(self, tunnels: Mapping[str, DemoTunnel]) -> None:
        write("")
        write("Send requests of your own, and end this with Ctrl-C:")
        for transport, tunnel in tunnels.items():
            write(f"  curl -i http://{tunnel.address}/    # over {transport}")
        for line in advice(tunnels):
            write(line)
        self.staying = True
        await self.enough.wait()


def _show_logs(tunnel: DemoTunnel) -> None:
    """Write the last that server and client said, for whoever wants to know more than the table tells."""
    for process in tunnel.processes:
        write_error(f"  the {process.name} said last:")
        for line in process.last_lines:
            write_error(f"    {line}")
    if tunnel.log:
        write_error("  server and client said last:")
        for line in tunnel.log:
            write_error(f"    {line}")


def _on_a_terminal() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ

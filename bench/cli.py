"""The command line, and one run from beginning to end."""

from __future__ import annotations

import argparse
import contextlib
import math
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.document import document
from bench.lanes import TITLES
from bench.lineup import Lineup, bring_up, renewed
from bench.loads import LOAD_NAMES, QUICK_LOADS, Load, make_loads
from bench.machine import describe_machine
from bench.plot import plot
from bench.processes import Failed, Processes
from bench.report import LoadReport, report
from bench.request_load import generator_name
from bench.rounds import measure_all
from bench.ssh_lane import privilege_separation_directory
from bench.table import table
from bench.upstreams import start_upstreams

__all__ = ["main"]

_ROUNDS, _SECONDS, _LARGE_MIB = 5, 2, 100
_BULK_MIB, _IDLE_SOCKETS = 1024, 10_000
_QUICK_BULK_MIB, _QUICK_IDLE_SOCKETS = 128, 1000
_QUICK_ROUNDS, _QUICK_SECONDS = 2, 0.5
_TERMINATED: Final = 143
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code: 0, 1 when a lane failed, 130 and 143 after a signal."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    # So that whoever ends this with SIGTERM leaves no process behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    _allow_many_connections()
    try:
        with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as directory, contextlib.ExitStack() as stack:
            stack.enter_context(privilege_separation_directory())
            processes = Processes(Path(directory))
            stack.callback(processes.stop_all)
            stack.callback(_ignore_signals)
            return _run(options, processes, given)
    except Failed as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(options: argparse.Namespace, processes: Processes, arguments: Sequence[str]) -> int:
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    seconds = options.seconds or (_QUICK_SECONDS if options.quick else _SECONDS)
    loads, names = _selected(options)
    upstreams = start_upstreams(processes, large_mib=options.large_mib)
    lineup = bring_up(names, upstreams, processes, python=options.python)
    measured = measure_all(
        loads,
        lineup.lanes,
        renew=lambda name: renewed(name, processes, python=options.python),
        rounds=rounds,
        seconds=seconds,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    reports = [report(each) for each in measured]
    about = {
        **describe_machine(options.python, arguments),
        "load": generator_name(),
        "upstream": upstreams.kind,
        "turns": f"{rounds} rounds of {seconds:g} s",
    }
    _show(reports, about, lineup, options)
    return 1 if lineup.failed or any(each.failed for each in reports) else 0


def _selected(options: argparse.Namespace) -> tuple[list[Load], list[str]]:
    """The loads and the names of the lanes that were asked for, without loads that fit none of them."""
    every = make_loads(
        large_mib=options.large_mib,
        bulk_mib=options.bulk_mib or (_QUICK_BULK_MIB if options.quick else _BULK_MIB),
        idle_sockets=options.idle_sockets or (_QUICK_IDLE_SOCKETS if options.quick else _IDLE_SOCKETS),
    )
    loads = [every[name] for name in every if name in options.only]
    loads = loads or [every[name] for name in (QUICK_LOADS if options.quick else LOAD_NAMES)]
    fitting = [name for name in TITLES if any(name in load.lanes for load in loads)]
    names = [name for name in fitting if name in options.only] or fitting
    return [load for load in loads if set(load.lanes) & set(names)], names


def _show(
    reports: Sequence[LoadReport], about: Mapping[str, object], lineup: Lineup, options: argparse.Namespace
) -> None:
    print("\n".join(f"{key}: {value}" for key, value in about.items()))
    for name, reason in lineup.not_found.items():
        print(f"{TITLES[name]}: not found ({reason})")
    for name, reason in lineup.failed.items():
        print(f"{TITLES[name]}: failed, {reason}")
    for each in reports:
        print(f"\n{table(each)}")
    if options.json is not None:
        options.json.write_text(document(reports, about=about, not_found=lineup.not_found, failed=lineup.failed))
    if options.svg is not None:
        options.svg.write_text(plot(reports, about=about))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the tunnel beside other ways to the same upstream.",
        epilog=f"loads: {', '.join(LOAD_NAMES)}. lanes: {', '.join(TITLES)}.",
    )
    parser.add_argument(
        "--only", type=_names, default=frozenset(), metavar="NAMES", help="some of the loads, or lanes, or both"
    )
    parser.add_argument("--rounds", type=_count, help=f"turns of each lane under each load ({_ROUNDS})")
    parser.add_argument("--seconds", type=_duration, help=f"length of a turn ({_SECONDS})")
    parser.add_argument(
        "--quick", action="store_true", help="fewer loads and shorter turns: an impression in about two minutes"
    )
    parser.add_argument(
        "--large-mib", type=_count, default=_LARGE_MIB, metavar="MIB", help=f"size of a large body ({_LARGE_MIB})"
    )
    parser.add_argument(
        "--bulk-mib", type=_count, metavar="MIB", help=f"size of what goes over one TCP connection ({_BULK_MIB})"
    )
    parser.add_argument(
        "--idle-sockets", type=_count, metavar="N", help=f"idle WebSockets, as the limits allow ({_IDLE_SOCKETS})"
    )
    parser.add_argument(
        "--python", default=sys.executable, metavar="PATH", help="interpreter of server and client (this one)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured to FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw it into FILE")
    return parser


def _names(value: str) -> frozenset[str]:
    names = frozenset(value.split(","))
    known = {*LOAD_NAMES, *TITLES}
    if unknown := names - known:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    return names


def _count(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, not {value!r}")
    return int(value)


def _duration(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, not {value!r}")
    return seconds


def _ignore_signals() -> None:
    """Let nobody interrupt the short time in which we end what we started."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _allow_many_connections() -> None:
    """Raise the limit on open files as far as we may, for this process and all that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

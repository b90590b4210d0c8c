"""Looks requests up among many rules: ``python -m bench.lookup_host RULES``.

Prints ``ready ADDRESS`` once the rules are compiled. From each connection there it reads a number of seconds, looks up
for as long, and answers one JSON object: ``done``, ``elapsed_s``, ``p50_ms`` and ``p99_ms``.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from typing import Final

from bench.samples import percentile
from tunnel.domain.envelopes import HttpRequest
from tunnel.domain.rules.engine import RulesEngine
from tunnel.domain.rules.rule import Rule

_SEED: Final = 5
_HEADS: Final = 1000
_PER_HOST: Final = 10
"""Rules that share a host, and differ in their path."""

_NS_PER_MS: Final = 1e6


def _rules(count: int) -> list[Rule]:
    return [
        Rule(host=f"h{number // _PER_HOST}.example.test", path_prefix=f"/api/v{number % _PER_HOST}")
        for number in range(count)
    ]


def _heads(rules: list[Rule]) -> list[HttpRequest]:
    """Requests that fall under rules drawn at random, and one in ten that falls under none."""
    chance = random.Random(_SEED)
    heads = []
    for number in range(_HEADS):
        rule = chance.choice(rules)
        path = "/elsewhere" if number % 10 == 0 else f"{rule.path_prefix}/item/{number}"
        heads.append(HttpRequest("GET", path=path.encode(), host=str(rule.host).encode()))
    return heads


def _look_up(engine: RulesEngine, heads: list[HttpRequest], seconds: float) -> dict[str, float]:
    clock, match, durations_ns = time.perf_counter_ns, engine.match, list[int]()
    since = clock()
    until = since + int(seconds * 1e9)
    while clock() < until:
        for head in heads:
            before = clock()
            match(head)
            durations_ns.append(clock() - before)
    return {
        "done": len(durations_ns),
        "elapsed_s": (clock() - since) / 1e9,
        "p50_ms": percentile(durations_ns, 50) / _NS_PER_MS,
        "p99_ms": percentile(durations_ns, 99) / _NS_PER_MS,
    }


def _serve(count: int) -> None:
    rules = _rules(count)
    engine, heads = RulesEngine(rules), _heads(rules)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(f"ready 127.0.0.1:{listening.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listening.accept()
            with connection, connection.makefile("rw") as lines:
                lines.write(json.dumps(_look_up(engine, heads, float(lines.readline()))) + "\n")


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

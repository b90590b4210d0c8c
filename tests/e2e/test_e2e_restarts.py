"""Clients that are restarted in order, one after the other, while visitors ask: none of them is told of it."""

import asyncio
import itertools
import signal
from collections import Counter

import pytest
from e2e_processes import Process, address_of
from e2e_topologies import INGRESS_LINE, SCHEMES, TOKEN, Plan, client_toml, server_toml
from e2e_visitor import Visitor, run
from support.ports import unused_port

VISITORS = 6
REQUESTS = 100
"""At least, for each restart."""

ASKED = (("POST", "/echo"), ("PUT", "/echo"), ("GET", "/inspect"))
"""A request that may be repeated, and one that may not; with a body and without."""


class Load:
    """Visitors that ask without a pause, until told to stop."""

    def __init__(self, ingress: tuple[str, int]) -> None:
        self.ingress = ingress
        self.outcomes: Counter[object] = Counter()
        self.stopped = False
        self._answered = asyncio.Condition()

    async def visit(self, number: int) -> None:
        asked = itertools.cycle(ASKED)
        for count in itertools.count():
            async with await Visitor.connect(self.ingress) as visitor:
                kept = True
                while kept:
                    if self.stopped:
                        return
                    method, path = next(asked)
                    body = f"{number}-{count}".encode() * 1000 if path == "/echo" else None
                    response = await visitor.request(method, path, body=body)
                    right = response.status == 200 and (body is None or response.body == body)
                    self.outcomes[200 if right else (method, response.status, response.body[:200])] += 1
                    async with self._answered:
                        self._answered.notify_all()
                    kept = response.header("connection") != "close"

    async def so_many(self, count: int) -> None:
        """Until that many more requests were answered."""
        target = self.outcomes.total() + count
        async with self._answered:
            await self._answered.wait_for(lambda: self.outcomes.total() >= target)


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
@pytest.mark.parametrize("restarts", [4, pytest.param(20, marks=pytest.mark.full)])
def test_no_request_fails_while_one_client_after_the_other_is_restarted(
    transport, restarts, upstream, tmp_path, spawn, measured
):
    plan = Plan(upstream, wait_for_client_s=5, transport_port=unused_port())
    (tmp_path / "server.toml").write_text(server_toml(plan, transport, ""))
    server = spawn("server", "-m", "tunnel", "server", "--config", str(tmp_path / "server.toml"))
    ingress = address_of(server.wait_for(INGRESS_LINE))
    url = f"{SCHEMES[transport]}://127.0.0.1:{plan.transport_port}"
    for name in ("one", "two"):
        text = client_toml(name, plan, group="web", token=TOKEN, server=url)
        (tmp_path / f"{name}.toml").write_text(text)

    def start(name: str) -> Process:
        client = spawn(name, "-m", "tunnel", "client", "--config", str(tmp_path / f"{name}.toml"))
        client.wait_for("ready client=")
        return client

    async def scenario() -> Load:
        clients = {name: start(name) for name in ("one", "two")}
        load = Load(ingress)
        async with asyncio.TaskGroup() as tasks:
            for number in range(VISITORS):
                tasks.create_task(load.visit(number))
            for name in itertools.islice(itertools.cycle(clients), restarts):
                await load.so_many(REQUESTS // 2)
                clients[name].signal(signal.SIGTERM)
                assert await asyncio.to_thread(clients[name].wait) == 0
                clients[name] = await asyncio.to_thread(start, name)
                await load.so_many(REQUESTS // 2)
            load.stopped = True
        return load

    outcomes = run(scenario(), deadline_s=60 + 30 * restarts).outcomes

    measured(f"{outcomes.total()} requests over {restarts} restarts")
    assert set(outcomes) == {200}, outcomes
    assert outcomes.total() >= REQUESTS * restarts

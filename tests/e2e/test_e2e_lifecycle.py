"""Processes come, go and come back; visitors see their own answer or a well-formed refusal; nothing needs a hand."""

import asyncio
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from e2e_topologies import answers, terminate
from e2e_visitor import Truncated, Visitor, assert_problem, exchange_state, fetch, problem_code, run
from support.ports import unused_port

VISITORS = 8
GOOD_STREAK = 100
RECOVERS_WITHIN_S = 15.0
LOST_CODES = {"peer_lost", "no_client", "refused", "superseded", "upstream_unreachable"}


@dataclass
class Load:
    """Visitors that ask without a pause, each for its own body, until told to stop."""

    ingress: tuple[str, int]
    outcomes: Counter = field(default_factory=Counter)
    streak: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    stopped: bool = False

    async def visit(self, number: int) -> None:
        count = 0
        while not self.stopped:
            async with await Visitor.connect(self.ingress) as visitor:
                kept = True
                while kept and not self.stopped:
                    count += 1
                    body = f"{number}-{count}".encode()
                    response = await visitor.request("PUT", "/echo", body=body)
                    outcome = self.judge(response, body)
                    self.outcomes[outcome] += 1
                    self.streak = self.streak + 1 if outcome == 200 else 0
                    # A refusal that overtakes the request's body says that it is the last on its connection.
                    kept = response.header("connection") != "close"
                    async with self.changed:
                        self.changed.notify_all()

    def judge(self, response, body: bytes):
        if response.status == 200:
            assert body == response.body
            return 200
        assert response.status in (502, 503)
        code = problem_code(response)
        if code == "no_client":
            assert response.header("retry-after")
        return response.status, code

    async def until(self, condition) -> None:
        async with asyncio.timeout(RECOVERS_WITHIN_S), self.changed:
            await self.changed.wait_for(condition)

    async def until_serving(self) -> None:
        self.streak = 0
        await self.until(lambda: self.streak >= GOOD_STREAK)


async def under_load(ingress, story) -> Counter:
    """Run `story(load)` while visitors visit; return what they were told."""
    load = Load(ingress)
    async with asyncio.TaskGroup() as tasks:
        for number in range(VISITORS):
            tasks.create_task(load.visit(number))
        await story(load)
        load.stopped = True
    return load.outcomes


@pytest.mark.usefixtures("requires_tunnel")
@pytest.mark.parametrize("gap", [True, False], ids=["after-a-gap", "at-once"])
def test_client_lost_and_restarted_under_load_recovers_by_itself(deploy, measured, gap):
    topology = deploy()

    async def story(load):
        await load.until_serving()
        await asyncio.to_thread(topology.lose_client)
        if gap:
            # Visitors may all be waiting for the lost client; a new one is told at once.
            while (await fetch(topology.ingress, "/small")).status == 200:
                pass
        await asyncio.to_thread(topology.start_client)
        await asyncio.to_thread(topology.wait_for_client)
        started = time.monotonic()
        await load.until_serving()
        measured(
            f"serving {time.monotonic() - started:.2f} s after the client was ready",
        )

    outcomes = run(under_load(topology.ingress, story))

    measured(str(dict(outcomes)))
    assert {code for _, code in outcomes.keys() - {200}} <= LOST_CODES


@pytest.mark.usefixtures("requires_tunnel")
def test_client_comes_back_by_itself_to_a_restarted_server(deploy):
    topology = deploy(ingress_port=unused_port(), transport_port=unused_port(), wait_for_client_s=RECOVERS_WITHIN_S)
    assert run(answers(topology.ingress))

    topology.lose_server()
    assert not run(answers(topology.ingress))
    topology.start_server()

    # This request waits until the client is back.
    assert run(answers(topology.ingress))


@pytest.mark.usefixtures("requires_tunnel")
def test_client_started_before_its_server_finds_it(deploy):
    topology = deploy(ingress_port=unused_port(), transport_port=unused_port())
    topology.lose_client()
    topology.lose_server()

    topology.start_client()
    if topology.name != "memory":
        see_one_attempt(topology.plan.transport_port)
    topology.start_server()
    topology.wait_for_client()

    assert run(answers(topology.ingress))


def see_one_attempt(port: int) -> None:
    """Take one connection on a port and close it, so that whoever dialled has met a failure."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(10)
        connection, _ = listener.accept()
        connection.close()


@pytest.mark.usefixtures("requires_tunnel")
def test_request_waits_for_a_client_that_is_about_to_arrive(deploy):
    topology = deploy(client=False, wait_for_client_s=10)

    async def scenario():
        async with asyncio.TaskGroup() as tasks:
            early = [tasks.create_task(fetch(topology.ingress, f"/inspect?{number}")) for number in range(10)]
            # Answered only after the server has taken the connections before it.
            assert_problem(await fetch(topology.ingress, "/", host="nobody.example.test"), 404, "route_not_found")
            assert not any(request.done() for request in early)
            await asyncio.to_thread(topology.start_client)
        return [request.result() for request in early]

    responses = run(scenario(), deadline_s=20)

    assert [response.status for response in responses] == [200] * 10
    assert [f"/inspect?{number}" for number in range(10)] == [response.json()["target"] for response in responses]


@pytest.mark.usefixtures("requires_tunnel")
def test_visitor_that_leaves_while_waiting_for_a_client_is_forgotten(deploy, upstream):
    topology = deploy(client=False, wait_for_client_s=10)
    exchange = f"impatient-visitor-{topology.name}"

    async def scenario():
        async with await Visitor.connect(topology.ingress) as visitor:
            await visitor.send_head("GET", f"/slow?id={exchange}")
            await fetch(topology.ingress, "/", host="nobody.example.test")
            await visitor.vanish()
            await fetch(topology.ingress, "/", host="nobody.example.test")
        await asyncio.to_thread(topology.start_client)
        await asyncio.to_thread(topology.wait_for_client)
        assert await answers(topology.ingress)
        return await exchange_state(upstream, exchange)

    assert run(scenario(), deadline_s=30)["started"] is None


@pytest.mark.usefixtures("requires_tunnel")
def test_terminated_server_lets_what_is_under_way_finish(deploy, upstream):
    topology = deploy()
    server = topology.processes.get("server") or topology.processes["host"]
    exchange = f"drained-{topology.name}"

    async def scenario():
        async with await Visitor.connect(topology.ingress) as visitor:
            await visitor.send_head("GET", f"/slow?id={exchange}")
            await exchange_state(upstream, exchange, until="started")
            terminate(server)
            await no_longer_listening(topology.ingress)
            await fetch(upstream, f"/release?id={exchange}", method="POST")
            return await visitor.response()

    response = run(scenario(), deadline_s=20)

    assert (response.status, response.body) == (200, b"slow")
    assert server.wait(deadline_s=15) == 0, server.output
    assert "Traceback" not in server.output


@pytest.mark.usefixtures("requires_processes")
def test_terminated_client_lets_what_is_under_way_finish(deploy, upstream):
    topology = deploy()
    client = topology.processes["client"]
    exchange = f"client-drained-{topology.name}"

    async def scenario():
        async with await Visitor.connect(topology.ingress) as visitor:
            await visitor.send_head("GET", f"/slow?id={exchange}")
            await exchange_state(upstream, exchange, until="started")
            terminate(client)
            await no_longer_served(topology.ingress)
            await fetch(upstream, f"/release?id={exchange}", method="POST")
            return await visitor.response()

    response = run(scenario(), deadline_s=20)

    assert (response.status, response.body) == (200, b"slow")
    assert client.wait(deadline_s=15) == 0, client.output
    assert "Traceback" not in client.output


async def no_longer_listening(address) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                visitor = await Visitor.connect(address)
            except (ConnectionRefusedError, ConnectionResetError):
                # Reset: it had been queued for the listener just as that closed.
                return
            await visitor.leave()


async def no_longer_served(address) -> None:
    async with asyncio.timeout(5):
        while await answers(address):
            pass


@pytest.mark.usefixtures("requires_processes")
def test_second_termination_stops_at_once(deploy, upstream):
    topology = deploy()
    server = topology.processes["server"]
    exchange = f"cut-{topology.name}"

    async def scenario():
        async with await Visitor.connect(topology.ingress) as visitor:
            await visitor.send_head("GET", f"/slow?id={exchange}")
            await exchange_state(upstream, exchange, until="started")
            terminate(server)
            await no_longer_listening(topology.ingress)
            terminate(server)
            try:
                response = await visitor.response()
            except (Truncated, ConnectionError):
                return None
            return response.status

    assert run(scenario(), deadline_s=20) in (None, 502, 503)
    server.wait(deadline_s=3)

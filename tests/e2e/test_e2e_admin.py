"""The admin ports of real servers and clients: probes, metrics, and that nothing is held when all is over."""

import asyncio
import hashlib
import json
import subprocess
import sys

import httpx
import pytest
from e2e_stats import ask, nothing_left, rest, stats
from e2e_topologies import TOKEN, terminate
from e2e_visitor import Visitor, fetch, run
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.usefixtures("requires_tunnel")

AT_ONCE = 10
ROUNDS = 5


async def batch(tunnel, visit) -> None:
    for number in range(ROUNDS):
        async with asyncio.TaskGroup() as visits:
            for each in range(AT_ONCE):
                visits.create_task(visit(tunnel, f"{tunnel.name}-{visit.__name__}-{number}-{each}"))
        # Visitors that leave do not wait for what they leave, and the next ones would be at once with that.
        await asyncio.to_thread(rest, tunnel)


async def completed(tunnel, name) -> None:
    assert (await fetch(tunnel.ingress, "/small")).status == 200


async def left_by_the_visitor(tunnel, name) -> None:
    visitor = await Visitor.connect(tunnel.ingress)
    await visitor.send_head("GET", f"/sse?id={name}&events=1")
    await visitor.head()
    await visitor.vanish()


async def given_up_before_an_answer(tunnel, name) -> None:
    visitor = await Visitor.connect(tunnel.ingress)
    await visitor.send_head("GET", f"/slow?id={name}")
    await visitor.vanish()


async def upload_cut_short(tunnel, name) -> None:
    visitor = await Visitor.connect(tunnel.ingress)
    await visitor.send_head("POST", "/echo", [("Content-Length", "1000000")])
    await visitor.send(b"x" * 100_000)
    await visitor.vanish()


async def refused_by_the_upstream(tunnel, name) -> None:
    assert (await fetch(tunnel.ingress, "/small", host="refused.example.test")).status == 502


async def too_late_by_the_upstream(tunnel, name) -> None:
    assert (await fetch(tunnel.ingress, f"/slow?id={name}", host="impatient.example.test")).status == 504


async def without_a_client(tunnel, name) -> None:
    assert (await fetch(tunnel.ingress, "/small", host="late.example.test")).status == 503


async def without_a_rule(tunnel, name) -> None:
    assert (await fetch(tunnel.ingress, "/small", host="nobody.example.test")).status == 404


@pytest.mark.parametrize(
    "visit",
    [
        completed,
        left_by_the_visitor,
        given_up_before_an_answer,
        upload_cut_short,
        refused_by_the_upstream,
        too_late_by_the_upstream,
        without_a_client,
        without_a_rule,
    ],
)
def test_nothing_is_held_when_all_is_over(tunnel, visit):
    with nothing_left(tunnel, at_once=AT_ONCE):
        run(batch(tunnel, visit))


def test_what_is_under_way_is_seen_as_a_leak(tunnel):
    async def scenario():
        async with await Visitor.connect(tunnel.ingress) as visitor:
            await visitor.send_head("GET", f"/sse?id=leak-{tunnel.name}&events=1")
            await visitor.head()
            return await asyncio.to_thread(stats, tunnel)

    rest(tunnel)
    held = run(scenario())
    assert (held["server"]["sessions"], held["client"]["sessions"], held["client"]["handlers"]) == (1, 1, 1)
    rest(tunnel)


@pytest.mark.parametrize("of", ["server", "client"])
def test_probes_and_pages_answer(tunnel, of):
    document = ask(tunnel, "/api/openapi.json", of=of).json()
    answers = {path: ask(tunnel, path, of=of) for path in document["paths"]}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
    status = answers["/api/status"].json()
    assert (status["kind"], status["ready"], status["tunnels"]) == (of, True, 1)
    families = {each.name for each in text_string_to_metric_families(answers["/metrics"].text)}
    assert {"tunnel_ready", "tunnel_sessions", "tunnel_round_trip_seconds", "process_cpu_seconds"} <= families


def test_no_secret_is_shown_by_any_page(tunnel):
    secrets = [TOKEN, hashlib.sha256(TOKEN.encode()).hexdigest()]
    for of in ("server", "client"):
        for path in ask(tunnel, "/api/openapi.json", of=of).json()["paths"]:
            answer = ask(tunnel, path, of=of)
            shown = answer.text + repr(answer.headers)
            assert [each for each in secrets if each in shown] == [], path


def test_status_prints_what_is_connected(tunnel):
    host, port = tunnel.admins["server"]
    command = [sys.executable, "-m", "tunnel", "status", "--admin", f"http://{host}:{port}"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "server, ready" in table
    assert "e2e/client" in table
    shown = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert [each["client_id"] for each in shown["clients"]] == ["client"]


@pytest.mark.usefixtures("requires_processes")
def test_readiness_falls_while_what_is_under_way_goes_on(deploy):
    topology = deploy()
    name = f"drain-{topology.name}"

    async def scenario():
        async with await Visitor.connect(topology.ingress) as visitor:
            await visitor.send_head("GET", f"/sse?id={name}&events=2")
            response = await visitor.head()
            body = visitor.body(response)
            await anext(body)
            terminate(topology.processes["server"])
            while (answer := await asyncio.to_thread(ask, topology, "/readyz")).status_code != 503:
                pass
            alive = await asyncio.to_thread(ask, topology, "/healthz")
            return answer.json(), alive.status_code

    readiness, alive = run(scenario())
    assert (readiness["ready"], readiness["reasons"][0], alive) == (False, "draining", 200)
    assert topology.processes["server"].wait() == 0
    with pytest.raises(httpx.TransportError):
        ask(topology, "/healthz")


def test_a_lost_client_is_gone_from_every_page(deploy):
    topology = deploy(heartbeat_s=0.5)
    topology.lose_client()
    topology.admins.pop("client")
    run(until_gone(topology))
    assert rest(topology)["server"]["tunnels"] == 0
    assert ask(topology, "/api/clients").json()["clients"] == []


async def until_gone(topology):
    while (await asyncio.to_thread(ask, topology, "/api/status")).json()["tunnels"]:  # noqa: ASYNC110
        await asyncio.sleep(0.05)

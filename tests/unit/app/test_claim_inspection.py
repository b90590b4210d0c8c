"""Claims as operators see them."""

from __future__ import annotations

from typing import Any

import pytest
from support.app_kit import Recorder, World, ask, group
from support.claims_kit import claiming, granting, says

from tunnel.app.server import Server
from tunnel.domain.rules.rule import Rule
from tunnel.ports.inspection import Explained
from tunnel.ports.telemetry import SessionEnded

pytestmark = pytest.mark.anyio

HOST = "demo.laptop.test"
RULES = (
    Rule(path_prefix="/", group="web"),
    Rule(host=HOST, path_prefix="/api", group="web"),
    Rule(host="*.laptop.test", path="/x", group="web"),
)


def granting_beside_rules(world: World, telemetry: Recorder | None = None) -> Server:
    return granting(world, telemetry, rules=RULES, groups={"web": group()})


async def explained(server: Server, path: str) -> Explained:
    return await server._inspection.explain(f"http://{HOST}{path}", method=None)


async def test_rules_are_listed_with_claims_in_the_order_in_which_they_count(world: World) -> None:
    async with (
        granting_beside_rules(world) as server,
        claiming(world, HOST) as one,
        claiming(world, HOST, "/api") as two,
        claiming(world, HOST, "/api/v1") as three,
    ):
        for each in (one, two, three):
            await each.ready()

        page = await server._inspection.rules(group=None, offset=0, limit=10)
        part = await server._inspection.rules(group=None, offset=2, limit=2)

        shown = [(each.key, each.rule.get("host"), each.rule.get("path_prefix")) for each in page.rules]
        assert shown == [
            ("claim", HOST, "/api/v1"),
            ("rules[1]", HOST, "/api"),
            ("claim", HOST, "/api"),
            ("claim", HOST, "/"),
            ("rules[2]", "*.laptop.test", None),
            ("rules[0]", None, "/"),
        ]
        assert page.rules[0].rule["group"] == f"claim:{HOST}/api/v1"
        assert (page.total, page.next_offset) == (6, None)
        assert (part.rules, part.next_offset) == (page.rules[2:4], 4)
    async with granting_beside_rules(world) as server:
        assert (await server._inspection.rules(group=None, offset=0, limit=10)).total == 3


async def test_explanation_of_a_claim_names_the_rule_that_it_outranks(world: World) -> None:
    async with granting_beside_rules(world) as server, claiming(world, HOST) as client:
        await client.ready()

        answer = await explained(server, "/x")

        assert (answer.group, answer.upstream, answer.reason) == (f"claim:{HOST}/", None, None)
        assert answer.rule == {"key": "claim", "host": HOST, "path_prefix": "/", "group": f"claim:{HOST}/"}
        assert (answer.near_misses[0].rule, answer.near_misses[0].reason) == (
            "rules[2]",
            f"outranked by the claim of {HOST}/",
        )


async def test_explanation_of_a_rule_names_the_claim_that_it_outranks(world: World) -> None:
    async with granting_beside_rules(world) as server, claiming(world, HOST, "/api") as client:
        await client.ready()

        answer = await explained(server, "/api/x")

        assert answer.group == "web"
        assert (answer.near_misses[0].rule, answer.near_misses[0].reason) == (
            "claim",
            f"outranked by rules[1]: {HOST}/api is no closer",
        )
        assert (await explained(server, "/elsewhere")).near_misses[0].rule != "claim"


async def test_explanation_without_any_rule_is_the_claim(world: World) -> None:
    async with granting(world) as server, claiming(world, HOST) as client:
        await client.ready()

        assert (await explained(server, "/")).group == f"claim:{HOST}/"
        assert (await explained(server, "/a/../b")).reason is not None


async def test_status_counts_claims_and_tells_the_client_its_group(world: World) -> None:
    async with granting_beside_rules(world) as server, claiming(world, HOST) as client:
        await client.ready()

        assert (await server._inspection.status()).claims == 1
        assert (await server._inspection.status()).groups == ("web",)
        assert (await client._inspection.status()).groups == (f"claim:{HOST}/",)
        page = await server._inspection.clients(offset=0, limit=10)
        assert [each.group for each in page.clients] == [f"claim:{HOST}/"]


async def test_labels_are_the_same_for_all_claims_and_the_log_names_each(world: World) -> None:
    telemetry = Recorder(wants_sessions=True)
    async with (
        granting_beside_rules(world, telemetry) as server,
        claiming(world, HOST, upstream=says(b"one")) as one,
        claiming(world, upstream=says(b"two")) as two,
    ):
        await one.ready()
        await two.ready()
        await ask(server, host=HOST)
        await ask(server, host=two.claim.host)

        logged = {(each.group, each.rule) for each in telemetry.of(SessionEnded)}
        assert logged == {(f"claim:{HOST}/", "claim"), (f"claim:{two.claim.host}/", "claim")}
        sessions: Any = server.container.counters().sessions()
        assert {(each.labels.group, each.labels.rule) for each in sessions} == {("claim:*", "claim")}
        loads = (await server._inspection.measure()).groups
        assert [(each.group, each.clients, each.tunnels) for each in loads] == [
            ("web", {}, {}),
            ("claim:*", {"healthy": 2}, {"attached": 2}),
        ]

"""Many conversations at once, each with its own."""

import asyncio

from e2e_visitor import fetch, run

VISITORS = 1000


def test_a_thousand_requests_are_under_way_at_once_and_each_gets_its_own_body(tunnel):
    # The upstream answers none of them before all have arrived.
    target = f"/barrier?key={tunnel.name}&n={VISITORS}"
    bodies = [f"body {number} ".encode() * 50 for number in range(VISITORS)]

    async def scenario():
        visits = (fetch(tunnel.ingress, target, method="POST", body=body) for body in bodies)
        return await asyncio.gather(*visits)

    responses = run(scenario())

    assert {200} == {response.status for response in responses}
    assert bodies == [response.body for response in responses]

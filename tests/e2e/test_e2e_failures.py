"""What the visitor is told when something fails: a problem document before the response, an aborted one after."""

import time

import pytest
from e2e_data import MIB
from e2e_visitor import Truncated, Visitor, assert_problem, exchange_state, fetch, run

LIMIT_BYTES = 100_000


@pytest.mark.usefixtures("requires_tunnel")
def test_host_without_a_rule_is_not_found(tunnel):
    assert_problem(run(fetch(tunnel.ingress, "/small", host="nobody.example.test")), 404, "route_not_found")


@pytest.mark.usefixtures("requires_tunnel")
def test_upstream_that_refuses_is_a_bad_gateway(tunnel):
    response = run(fetch(tunnel.ingress, "/small", host="refused.example.test"))

    assert_problem(response, 502, "upstream_unreachable")


@pytest.mark.usefixtures("requires_tunnel")
def test_upstream_without_a_first_byte_in_time_is_a_gateway_timeout(tunnel, upstream):
    exchange = f"impatient-{tunnel.name}"
    start = time.monotonic()

    response = run(fetch(tunnel.ingress, f"/slow?id={exchange}", host="impatient.example.test"))

    assert_problem(response, 504, "upstream_timeout")
    assert 0.3 <= time.monotonic() - start < 2
    run(exchange_state(upstream, exchange, until="cancelled", timeout_s=1))


@pytest.mark.usefixtures("requires_tunnel")
def test_response_that_takes_longer_than_its_first_byte_is_no_timeout(tunnel):
    async def scenario():
        async with await Visitor.connect(tunnel.ingress) as visitor, await Visitor.connect(tunnel.ingress) as other:
            await visitor.send_head("GET", f"/sse?id=patient-{tunnel.name}&events=1", host="impatient.example.test")
            response = await visitor.head()
            body = visitor.body(response)
            received = await anext(body)
            # A request that fails by the same limit shows that more than the limit has passed.
            assert (await other.get(f"/slow?id=limit-{tunnel.name}", host="impatient.example.test")).status == 504
            await other.request("POST", f"/sse/confirm?id=patient-{tunnel.name}&n=1")
            return received + b"".join([piece async for piece in body])

    assert run(scenario(), deadline_s=10) == b"id: 1\ndata: event 1\n\n"


@pytest.mark.usefixtures("requires_tunnel")
def test_group_without_a_client_is_unavailable(tunnel):
    response = run(fetch(tunnel.ingress, "/small", host="late.example.test"))

    assert_problem(response, 503, "no_client")
    assert int(response.header("retry-after")) >= 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("die_by", ["fin", "rst"])
def test_response_cut_short_is_aborted_and_never_ended_as_if_whole(tunnel, framing, die_by):
    target = f"/download?bytes={2 * MIB}&framing={framing}&die_after={MIB}&die_by={die_by}"

    with pytest.raises(Truncated):
        run(fetch(tunnel.ingress, target), deadline_s=10)


def test_response_cut_short_keeps_what_came_before(tunnel):
    target = f"/download?bytes={2 * MIB}&framing=chunked&die_after={MIB}&die_by=fin"

    async def scenario():
        received = 0
        async with await Visitor.connect(tunnel.ingress) as visitor:
            await visitor.send_head("GET", target)
            response = await visitor.head()
            try:
                async for piece in visitor.body(response):
                    received += len(piece)
            except Truncated:
                return response.status, received
        pytest.fail("the response ended as if it were whole")

    assert run(scenario(), deadline_s=10) == (200, MIB)


@pytest.mark.usefixtures("requires_tunnel")
def test_body_over_the_limit_is_too_large_whether_its_length_is_told_or_not(deploy):
    topology = deploy(max_body_bytes=LIMIT_BYTES)

    async def scenario():
        whole = await fetch(topology.ingress, "/echo", method="POST", body=bytes(LIMIT_BYTES))
        async with await Visitor.connect(topology.ingress) as visitor:
            await visitor.send_head("POST", "/echo", [("Content-Length", str(LIMIT_BYTES + 1))])
            declared = await visitor.response()
        async with await Visitor.connect(topology.ingress) as visitor:
            await visitor.send_head("POST", "/echo", [("Transfer-Encoding", "chunked")])
            await visitor.send(b"%x\r\n%b\r\n" % (LIMIT_BYTES + 1, bytes(LIMIT_BYTES + 1)))
            return whole, declared, await visitor.response()

    whole, declared, undeclared = run(scenario(), deadline_s=20)

    assert (whole.status, len(whole.body)) == (200, LIMIT_BYTES)
    assert_problem(declared, 413, "too_large")
    assert_problem(undeclared, 413, "too_large")

"""What enters at a client that finds no server: real sockets, every protocol, and circles that are refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc.aio
import pytest
from e2e_tcp import Upstream, dial
from e2e_visitor import Address, Visitor, assert_problem, exchange_state, fetch, run
from support.call_app import CallApp, script
from support.ports import unused_port
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

import tunnel
from tunnel.domain.configuration import decode_client_settings


def parsed(address: str) -> Address:
    host, _, port = address.rpartition(":")
    return host, int(port)


@contextlib.asynccontextmanager
async def client_without_server(**tables: Any) -> AsyncIterator[Mapping[str, Address]]:
    """A client whose server nobody runs; yields where its entries listen."""
    table = {
        "group": "web",
        "token": "t",
        "servers": [f"ws://127.0.0.1:{unused_port()}"],
        "entry": {"http": {"listen": "127.0.0.1:0"}},
    }
    async with tunnel.Client(decode_client_settings(table | tables)) as client:
        yield {name: parsed(address) for name, address in client.addresses.items()}


def allowing(*patterns: str) -> dict[str, Any]:
    return {"fallback": {"direct": True, "allow": list(patterns)}}


def authority(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def test_request_goes_to_the_host_it_names(upstream):
    async def scenario():
        async with client_without_server(**allowing("127.0.0.0/8")) as entries:
            answer = await fetch(entries["entry.http"], "/small", host=authority(upstream))
            assert (answer.status, answer.body) == (200, b"small")
            assert answer.all("tunnel-route") == ["direct"]
            seen = (await fetch(entries["entry.http"], "/inspect?a=1", host=authority(upstream))).json()
        fields = {name.lower(): value for name, value in seen["headers"]}
        assert seen["target"] == "/inspect?a=1"
        assert (fields["host"], fields["x-forwarded-for"]) == (authority(upstream), "127.0.0.1")

    run(scenario())


def test_request_of_a_proxys_form_goes_to_the_host_of_its_url(upstream):
    async def scenario():
        async with (
            client_without_server(**allowing("127.0.0.0/8")) as entries,
            await Visitor.connect(entries["entry.http"]) as visitor,
        ):
            answer = await visitor.request("GET", f"http://{authority(upstream)}/small", host="elsewhere.test")
            assert (answer.status, answer.body) == (200, b"small")

    run(scenario())


def test_host_that_is_not_allowed_is_told_to_come_back(upstream):
    async def scenario():
        other_port = unused_port()
        async with client_without_server(**allowing(f"127.0.0.1:{other_port}")) as entries:
            for host in (authority(upstream), "elsewhere.test"):
                answer = await fetch(entries["entry.http"], "/small", host=host)
                assert_problem(answer, 503, "no_client")
                assert answer.header("retry-after")

    run(scenario())


def test_name_that_resolves_to_what_is_not_allowed_is_not_dialled(upstream):
    async def scenario():
        # localhost might have resolved into the network that is allowed on this port.
        async with client_without_server(**allowing(f"192.0.2.0/24:{upstream[1]}")) as entries:
            answer = await fetch(entries["entry.http"], "/small", host=f"localhost:{upstream[1]}")
            assert_problem(answer, 503, "no_client")
            assert b"127.0.0.1" not in answer.body

    run(scenario())


def test_host_that_nobody_listens_at_is_unreachable():
    async def scenario():
        async with client_without_server(**allowing("127.0.0.0/8")) as entries:
            answer = await fetch(entries["entry.http"], "/small", host=f"127.0.0.1:{unused_port()}")
            assert_problem(answer, 502, "upstream_unreachable")

    run(scenario())


def test_entry_with_a_target_of_its_own_keeps_the_host_of_the_visitor(upstream):
    async def scenario():
        entry = {"http": {"listen": "127.0.0.1:0", "direct": f"http://{authority(upstream)}"}}
        async with client_without_server(entry=entry) as entries:
            seen = (await fetch(entries["entry.http"], "/inspect", host="billing.internal.test")).json()
        assert ["host", "billing.internal.test"] in [[name.lower(), value] for name, value in seen["headers"]]

    run(scenario())


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_way_back_into_the_entry_is_refused_by_whatever_name(listen, name):
    async def scenario():
        async with client_without_server(
            entry={"http": {"listen": listen}}, **allowing("*.test", "localhost", "0.0.0.0/0", "[::]/0")
        ) as entries:
            port = entries["entry.http"][1]
            answer = await fetch(("127.0.0.1", port), "/", host=f"{name}:{port}")
            assert_problem(answer, 508, "loop_detected")

    run(scenario())


def test_circle_over_the_entry_of_another_client_is_refused_when_it_closes():
    async def scenario():
        here, there = unused_port(), unused_port()

        def entry(port: int, other: int) -> dict[str, Any]:
            return {"http": {"listen": f"127.0.0.1:{port}", "direct": f"http://127.0.0.1:{other}"}}

        async with (
            client_without_server(entry=entry(here, there)),
            client_without_server(entry=entry(there, here)),
        ):
            for port in (here, there):
                answer = await fetch(("127.0.0.1", port), "/", host="a.test")
                assert_problem(answer, 508, "loop_detected")

    run(scenario())


def test_visitor_that_leaves_cancels_the_work_of_the_upstream(upstream):
    async def scenario():
        async with client_without_server(**allowing("127.0.0.0/8")) as entries:
            visitor = await Visitor.connect(entries["entry.http"])
            await visitor.send_head("GET", "/slow?id=fallback-left", host=authority(upstream))
            await exchange_state(upstream, "fallback-left", until="started")
            await visitor.vanish()
            await exchange_state(upstream, "fallback-left", until="cancelled")

    run(scenario())


def test_closing_the_client_closes_what_it_dialled_directly(upstream):
    async def scenario():
        async with client_without_server(**allowing("127.0.0.0/8")) as entries:
            visitor = await Visitor.connect(entries["entry.http"])
            await visitor.send_head("GET", "/slow?id=fallback-closed", host=authority(upstream))
            await exchange_state(upstream, "fallback-closed", until="started")
        await exchange_state(upstream, "fallback-closed", until="cancelled")
        await visitor.leave()

    run(scenario())


def test_websocket_goes_directly_and_its_handshake_says_so():
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def scenario():
        async with (
            serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server,
            client_without_server(**allowing("127.0.0.0/8")) as entries,
        ):
            there = server.sockets[0].getsockname()[:2]
            host, port = entries["entry.http"]
            async with connect(
                f"ws://{authority(there)}/chat", host=host, port=port, subprotocols=["chat"], proxy=None
            ) as chat:
                assert chat.response is not None
                assert chat.response.headers.get_all("tunnel-route") == ["direct"]
                assert chat.subprotocol == "chat"
                await chat.send(b"bytes")
                assert await chat.recv() == b"bytes"

    run(scenario())


def test_call_goes_directly_and_its_initial_metadata_say_so():
    async def scenario():
        app = CallApp()
        await app.start()
        entry = {"grpc": {"listen": "127.0.0.1:0", "direct": f"grpc://127.0.0.1:{app.port}"}}
        try:
            async with (
                client_without_server(entry=entry) as entries,
                grpc.aio.insecure_channel(authority(entries["entry.grpc"])) as channel,
            ):
                call = channel.stream_stream("/a.v1.S/Chat")(
                    iter((b"one", b"two")), metadata=(script(["initial", [["tunnel-route", "app"]]], ["echo"]),)
                )
                assert [message async for message in call] == [b"one", b"two"]
                initial = [value for key, value in await call.initial_metadata() if key == "tunnel-route"]
                assert initial == ["direct"]
                assert await call.code() is grpc.StatusCode.OK
        finally:
            await app.stop()

    run(scenario())


def test_call_that_would_come_back_is_refused():
    async def scenario():
        here, there = unused_port(), unused_port()

        def entry(port: int, other: int) -> dict[str, Any]:
            return {"grpc": {"listen": f"127.0.0.1:{port}", "direct": f"grpc://127.0.0.1:{other}"}}

        async with (
            client_without_server(entry=entry(here, there)),
            client_without_server(entry=entry(there, here)),
            grpc.aio.insecure_channel(f"127.0.0.1:{here}") as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/a.v1.S/Unary")(b"m")
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "the request has been here before"

    run(scenario())


def test_tcp_goes_directly_and_each_half_ends_by_itself():
    async def scenario():
        upstream = Upstream()
        entry = {
            "tcp": [{"listen": "127.0.0.1:0", "upstream": "ssh", "direct": f"tcp://{authority(upstream.address)}"}]
        }
        async with client_without_server(entry=entry) as entries:
            caller = await dial(entries["entry.tcp-ssh"])
            called = await upstream.accept()
            await called.say(b"SSH-2.0")
            assert await caller.take(7) == b"SSH-2.0"
            await caller.say(b"last words")
            caller.half_close()
            assert await called.rest() == b"last words"
            await called.say(b"answer")
            called.half_close()
            assert await caller.rest() == b"answer"
            caller.close()
            called.close()
        upstream.close()

    run(scenario())


def test_tcp_entry_whose_target_leads_back_to_it_lets_nobody_in():
    async def scenario():
        port = unused_port()
        # Written so that the configuration cannot know: by a name.
        entry = {"tcp": [{"listen": f"127.0.0.1:{port}", "upstream": "ssh", "direct": f"tcp://localhost:{port}"}]}
        async with client_without_server(entry=entry) as entries:
            caller = await dial(entries["entry.tcp-ssh"])
            assert await caller.was_reset()
            caller.close()

    run(scenario())


def test_reload_changes_where_conversations_may_go_and_lets_those_under_way_finish(upstream):
    async def scenario():
        def settings(*patterns: str, **fallback: Any) -> Any:
            return decode_client_settings(
                {
                    "group": "web",
                    "token": "t",
                    "servers": [f"ws://127.0.0.1:{server}"],
                    "entry": {"http": {"listen": f"127.0.0.1:{port}"}},
                    "fallback": {"direct": True, "allow": list(patterns), **fallback},
                }
            )

        server, port = unused_port(), unused_port()
        entry, host = ("127.0.0.1", port), authority(upstream)
        async with tunnel.Client(settings("127.0.0.0/8")) as client:
            slow = asyncio.create_task(fetch(entry, "/slow?id=fallback-reload", host=host))
            await exchange_state(upstream, "fallback-reload", until="started")
            await client.reload(settings("192.0.2.0/24"))
            assert_problem(await fetch(entry, "/small", host=host), 503, "no_client")
            await client.reload(settings("127.0.0.0/8", route_header=False))
            answer = await fetch(entry, "/small", host=host)
            assert (answer.status, answer.all("tunnel-route")) == (200, [])
            await fetch(upstream, "/release?id=fallback-reload", method="POST")
            assert (await slow).status == 200

    run(scenario())

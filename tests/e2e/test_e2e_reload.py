"""Settings change under load, by signal and by themselves: every request is answered, by the old or by the new."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest
from e2e_processes import Process
from e2e_topologies import SCHEMES
from e2e_visitor import Visitor, run
from support.ports import unused_port

VISITORS = 6
SEEN_WITHIN_S = 10.0


class Load:
    """Visitors that ask without a pause which Host the application saw, until told to stop."""

    def __init__(self, ingress: tuple[str, int]) -> None:
        self.ingress = ingress
        self.outcomes: Counter = Counter()
        self.latest: list[object] = []
        self.changed = asyncio.Condition()
        self.stopped = False

    async def visit(self) -> None:
        while not self.stopped:
            async with await Visitor.connect(self.ingress) as visitor:
                kept = True
                while kept and not self.stopped:
                    response = await visitor.get("/inspect")
                    kept = response.header("connection") != "close"
                    await self.note(response)

    async def note(self, response) -> None:
        headers = {name.lower(): value for name, value in response.json()["headers"]} if response.status == 200 else {}
        outcome = headers.get("host", response.status)
        self.outcomes[outcome] += 1
        async with self.changed:
            self.latest = [*self.latest[1 - 4 * VISITORS :], outcome]
            self.changed.notify_all()

    async def until_all_see(self, host: str) -> None:
        """Wait until nobody has seen anything else for a while."""
        async with asyncio.timeout(SEEN_WITHIN_S), self.changed:
            await self.changed.wait_for(lambda: len(self.latest) == 4 * VISITORS and set(self.latest) == {host})


async def under_load(ingress, story) -> Counter:
    load = Load(ingress)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(VISITORS):
            tasks.create_task(load.visit())
        await story(load)
        load.stopped = True
    return load.outcomes


async def reloaded(process: Process, path: Path, text: str, *, hang_up: bool, expecting: str) -> None:
    """Rewrite a process's settings, tell it if it is to be told, and wait for what it reports."""
    line = len(process.lines)
    await asyncio.to_thread(path.write_text, text)
    if hang_up:
        process.signal(signal.SIGHUP)
    await asyncio.to_thread(process.wait_for, expecting, after_line=line)


def with_host(settings: str, host: str) -> str:
    """Settings by which the application sees another Host."""
    table = "[groups.web.upstreams.app]\n"
    assert table in settings
    return settings.replace(table, f'{table}host_header = "{host}"\n')


@pytest.mark.usefixtures("requires_processes")
def test_server_is_reloaded_under_load(deploy):
    topology = deploy()
    server, path = topology.processes["server"], topology.directory / "server.toml"
    settings = path.read_text()

    async def story(load):
        await load.until_all_see("app.example.test")
        for version, host in enumerate(("two.test", "three.test"), start=2):
            report = rf"configuration_reloaded source=\S+server.toml version={version}"
            await reloaded(server, path, with_host(settings, host), hang_up=version == 2, expecting=report)
            await load.until_all_see(host)
        wrong = with_host(settings, "four.test").replace('group = "late"', 'group = "latter"')
        kept = r'configuration_kept source=\S+ version=3 reason="\S+server.toml: rules\[3\].group: unknown group'
        await reloaded(server, path, wrong, hang_up=False, expecting=kept)
        await load.until_all_see("three.test")

    outcomes = run(under_load(topology.ingress, story))

    assert set(outcomes) == {"app.example.test", "two.test", "three.test"}
    assert len(topology.processes["client"].matches("ready client=")) == 1


@pytest.mark.usefixtures("requires_processes")
def test_client_is_reloaded_under_load(deploy, upstream):
    topology = deploy()
    client, path = topology.processes["client"], topology.directory / "client.toml"
    settings = path.read_text()
    own = f'\n[upstreams.app]\ntargets = ["http://{upstream[0]}:{upstream[1]}"]\nhost_header = "HOST"\n'

    async def story(load):
        await load.until_all_see("app.example.test")
        for version, host in enumerate(("mine.test", "own.test"), start=2):
            report = rf"configuration_reloaded source=\S+client.toml version={version}"
            text = settings + own.replace("HOST", host)
            await reloaded(client, path, text, hang_up=version == 2, expecting=report)
            await load.until_all_see(host)
        assert len(client.matches("ready client=")) == 1
        # Another tunnel beside the first, which takes the group's upstream as the server has it.
        limited = settings.replace("[limits]\n", "[limits]\nmax_sessions = 500\n")
        report = r"configuration_reloaded source=\S+client.toml version=4"
        await reloaded(client, path, limited, hang_up=True, expecting=report)
        await load.until_all_see("app.example.test")
        assert len(client.matches("ready client=")) == 2
        kept = r"configuration_kept source=\S+ version=4 reason=.*unknown token"
        stranger = limited.replace("e2e-token", "some-token")
        await reloaded(client, path, stranger, hang_up=False, expecting=kept)
        await load.until_all_see("app.example.test")

    outcomes = run(under_load(topology.ingress, story))

    assert set(outcomes) == {"app.example.test", "mine.test", "own.test"}


@pytest.mark.full
@pytest.mark.usefixtures("requires_processes")
def test_listeners_move_under_load(deploy):
    topology = deploy(transport_port=unused_port(), wait_for_client_s=10)
    server, client = topology.processes["server"], topology.processes["client"]
    server_path, client_path = topology.directory / "server.toml", topology.directory / "client.toml"
    old, new = topology.plan.transport_port, unused_port()
    server_settings = server_path.read_text().replace("[limits]\n", "[limits]\ndrain_s = 1\n")
    scheme = SCHEMES[topology.name]

    async def story(load):
        await load.until_all_see("app.example.test")
        both = f'servers = ["{scheme}://127.0.0.1:{new}", "{scheme}://127.0.0.1:{old}"]'
        one = f'servers = ["{scheme}://127.0.0.1:{old}"]'
        text = client_path.read_text().replace(one, both)
        await reloaded(client, client_path, text, hang_up=True, expecting="configuration_reloaded")
        moved = server_settings.replace(f'"127.0.0.1:{old}"', f'"127.0.0.1:{new}"')
        expecting = rf"listening kind=transport name={topology.name} address=127.0.0.1:{new}"
        line = len(client.lines)
        await reloaded(server, server_path, moved, hang_up=True, expecting=expecting)
        # The links of the old address are dropped after drain_s, and the client comes back at the new one.
        await asyncio.to_thread(client.wait_for, rf"(ready|tunnel_resumed) .*{new}", after_line=line)
        load.latest.clear()
        await load.until_all_see("app.example.test")

    outcomes = run(under_load(topology.ingress, story))

    assert set(outcomes) == {"app.example.test"}


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.usefixtures("requires_processes")
def test_ingress_moves_and_answers_at_both_addresses_meanwhile(deploy):
    topology = deploy(ingress_port=unused_port())
    server, path = topology.processes["server"], topology.directory / "server.toml"
    old, new = topology.plan.ingress_port, unused_port()

    async def scenario():
        async with await Visitor.connect(("127.0.0.1", old)) as visitor:
            assert (await visitor.get("/small")).status == 200
            moved = path.read_text().replace(f'"127.0.0.1:{old}"', f'"127.0.0.1:{new}"')
            expecting = rf"listening kind=ingress name=http address=127.0.0.1:{new}"
            await reloaded(server, path, moved, hang_up=True, expecting=expecting)
            async with await Visitor.connect(("127.0.0.1", new)) as other:
                assert (await other.get("/small")).body == b"small"
            # Idle connections are closed, and nobody listens any more.
            async with asyncio.timeout(5):
                assert await visitor.reader.read() == b""
                while await listens(old):
                    pass

    run(scenario(), deadline_s=20)


@pytest.mark.usefixtures("requires_processes")
def test_token_file_is_followed(deploy, spawn, tmp_path):
    topology = deploy()
    settings = (topology.directory / "client.toml").read_text()
    token = settings.split('token = "')[1].split('"')[0]
    (tmp_path / "token").write_text(token)
    path = tmp_path / "other.toml"
    path.write_text(settings.replace(f'token = "{token}"', 'token_file = "token"').replace('"client"', '"other"'))
    client = spawn("other", "-m", "tunnel", "client", "--config", str(path))
    client.wait_for("ready client=other")

    (tmp_path / "token").write_text("nobody's")

    client.wait_for("configuration_kept .*unauthenticated")
    assert client.output.count("ready client=other") == 1

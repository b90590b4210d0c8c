"""A client the server does not want, and configuration that nobody can use, end at once and say why."""

import pytest
from e2e_topologies import TOKEN, Plan, answers, client_toml, server_toml
from e2e_visitor import assert_problem, fetch, run

WRONG_TOKEN = "wrong-secret-93d1f0"
REFUSED, BAD_CONFIGURATION = 3, 2


@pytest.mark.usefixtures("requires_processes")
@pytest.mark.parametrize(
    ("group", "token", "reason"), [("web", WRONG_TOKEN, "unauthenticated"), ("ops", TOKEN, "forbidden")]
)
def test_client_with_a_wrong_credential_ends_with_the_reason(tunnel, group, token, reason):
    server = tunnel.processes["server"]
    tunnel.start_client("intruder", group=group, token=token)
    client = tunnel.processes["intruder"]

    code = client.wait(deadline_s=10)

    assert code == REFUSED, client.output
    assert reason in client.output
    assert "Traceback" not in client.output
    assert client.matches("ready client=") == []
    assert token not in client.output + server.output
    tunnel.lose_client("intruder")
    assert run(answers(tunnel.ingress))


def test_client_with_a_wrong_token_fails_in_the_servers_own_process(tunnel):
    if tunnel.name != "memory":
        pytest.skip("is the case of both ends in one process")

    tunnel.start_client("intruder", token=WRONG_TOKEN)
    failed = tunnel.host.wait_for(r"failed name=intruder error=(.*)", deadline_s=10)

    assert "unauthenticated" in failed[1].lower()
    assert WRONG_TOKEN not in tunnel.host.output
    assert run(answers(tunnel.ingress))


@pytest.mark.usefixtures("requires_processes")
def test_refused_client_is_not_in_its_group(tunnel):
    tunnel.start_client("intruder", group="late", token=WRONG_TOKEN)
    tunnel.processes["intruder"].wait(deadline_s=10)

    assert_problem(run(fetch(tunnel.ingress, "/small", host="late.example.test")), 503, "no_client")
    tunnel.lose_client("intruder")


GOOD_SERVER = server_toml(Plan(("127.0.0.1", 9)), "websocket", "")
GOOD_CLIENT = client_toml("laptop", Plan(("127.0.0.1", 9)), group="web", token=TOKEN, server="ws://127.0.0.1:9")


@pytest.mark.parametrize(
    ("role", "text", "named"),
    [
        ("server", GOOD_SERVER.replace("[ingress.http]", "[ingress.http]\nlisen = 1"), "ingress.http"),
        ("server", GOOD_SERVER.replace("wait_for_client_s = 0", 'wait_for_client_s = "x"', 1), "wait_for_client_s"),
        ("server", GOOD_SERVER.replace('group = "late"', 'group = "typo"', 1), "typo"),
        ("server", GOOD_SERVER + "[[[", "server.toml"),
        ("server", None, "server.toml"),
        ("client", GOOD_CLIENT.replace("group", "grup"), "grup"),
        ("client", GOOD_CLIENT.replace("ws://", "carrier-pigeon://"), "servers"),
        ("client", GOOD_CLIENT.replace("heartbeat_s = 5", "heartbeat_s = -1"), "limits.heartbeat_s"),
    ],
    ids=["unknown-key", "wrong-type", "unknown-group", "syntax", "no-file", "client-key", "client-scheme", "range"],
)
def test_bad_configuration_is_one_line_that_names_file_and_key(tmp_path, spawn, role, text, named):
    path = tmp_path / f"{role}.toml"
    if text is not None:
        path.write_text(text)

    process = spawn(role, "-m", "tunnel", role, "--config", str(path))
    code = process.wait(deadline_s=10)

    assert (code, len(process.lines)) == (BAD_CONFIGURATION, 1), process.output
    assert str(path) in process.output
    assert named in process.output
    assert TOKEN not in process.output

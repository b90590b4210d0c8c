"""What a client makes of a pushed snapshot: its own upstreams in place, and each target under its author's word."""

from __future__ import annotations

import pytest

from tunnel.domain.configuration import ClientPolicy, ClientSettings, GroupSnapshot, UpstreamSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.rules.rule import Rule

DB = UpstreamSettings(targets=("http://db.internal.test:5000",))
SNAPSHOT = GroupSnapshot(
    rules=(Rule(path_prefix="/", upstream="app"), Rule(path_prefix="/db", upstream="db")),
    upstreams={
        "app": UpstreamSettings(targets=("http://127.0.0.1:3000", "http://127.0.0.1:3001"), connect_timeout_s=1),
        "db": UpstreamSettings(targets=("http://127.0.0.1:5000",)),
    },
)


def settings(**fields: object) -> ClientSettings:
    return ClientSettings(group="web", servers=("memory://edge",), token="t", **fields)  # type: ignore[arg-type]


def test_own_upstream_takes_the_place_of_the_pushed_one_whole() -> None:
    own = UpstreamSettings(targets=("http://127.0.0.1:9",))
    applied = ClientPolicy(["127.0.0.0/8"], {"app": own}).applied_to(SNAPSHOT)
    assert applied.upstreams["app"] is own
    assert applied.upstreams["db"] is SNAPSHOT.upstreams["db"]
    assert applied.rules == SNAPSHOT.rules


def test_own_upstream_that_nobody_sent_is_left_out_and_named() -> None:
    policy = ClientPolicy(["127.0.0.0/8"], {"other": DB, "another": DB, "app": DB})
    assert set(policy.applied_to(SNAPSHOT).upstreams) == {"app", "db"}
    assert policy.unused_by(SNAPSHOT) == ["another", "other"]


def test_own_targets_are_permitted_literally_and_pushed_ones_by_the_list() -> None:
    policy = ClientPolicy(["127.0.0.0/8"], {"db": DB})
    applied = policy.applied_to(SNAPSHOT)
    own, pushed = policy.of(applied.upstreams["db"]), policy.of(applied.upstreams["app"])
    assert own.permits("db.internal.test", 5000, "10.0.0.5")
    assert not own.permits("db.internal.test", 5001, "10.0.0.5")
    assert not own.permits("127.0.0.1", 3000, "127.0.0.1")
    assert pushed.permits("127.0.0.1", 3000, "127.0.0.1")
    assert not pushed.permits("db.internal.test", 5000, "10.0.0.5")


def test_pushed_target_gains_nothing_by_an_own_one_that_is_equal() -> None:
    pushed = GroupSnapshot(upstreams={"db": DB, "app": UpstreamSettings(targets=DB.targets)})
    policy = ClientPolicy(["*.example.test"], {"db": DB})
    with pytest.raises(ConfigurationError) as caught:
        policy.applied_to(pushed)
    assert caught.value.key_path == "upstreams.app.targets[0]"
    # Under networks a name is let pass until it is dialled; then it is judged by what it resolved to, as pushed.
    policy = ClientPolicy(["10.0.0.0/8"], {"db": DB})
    applied = policy.applied_to(pushed)
    assert policy.of(applied.upstreams["db"]).permits("db.internal.test", 5000, "192.0.2.1")
    assert not policy.of(applied.upstreams["app"]).permits("db.internal.test", 5000, "192.0.2.1")


@pytest.mark.parametrize(
    ("target", "host", "port", "address"),
    [
        ("http://10.0.0.7", "10.0.0.7", 80, "10.0.0.7"),
        ("https://[fd00::7]", "fd00::7", 443, "fd00::7"),
        ("http://DB.internal.test:81", "db.internal.test", 81, "192.0.2.1"),
    ],
)
def test_own_target_is_permitted_as_it_is_written(target: str, host: str, port: int, address: str) -> None:
    own = UpstreamSettings(targets=(target,))
    policy = settings(upstreams={"app": own}).policy()
    assert policy.of(own).permits(host, port, address)
    policy.union.check(target)


def test_own_socket_is_permitted() -> None:
    own = UpstreamSettings(targets=("unix:/run/app.sock",))
    policy = settings(upstreams={"app": own}).policy()
    policy.of(own).check("unix:/run/app.sock")
    with pytest.raises(ConfigurationError):
        policy.of(own).check("unix:/run/other.sock")


MISTAKES = [
    ({"app": UpstreamSettings(targets=())}, "upstreams.app.targets: expected at least one target"),
    (
        {"my app": UpstreamSettings(targets=("http://a", "http://10.1:80"))},
        'upstreams."my app".targets[1]: expected a host name or a whole IP address, got "http://10.1:80"',
    ),
    (
        {"app": UpstreamSettings(targets=("asgi:shop.main",))},
        'upstreams.app.targets[0]: expected a module and an attribute of it, such as "asgi:shop.main:app"',
    ),
    ({"": DB}, 'upstreams."": expected a name of 1 to 128 printable characters'),
]


@pytest.mark.parametrize(("upstreams", "message"), MISTAKES)
def test_mistake_names_its_key(upstreams: dict[str, UpstreamSettings], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(upstreams=upstreams)
    assert str(caught.value).startswith(message)

"""[fallback] and the direct keys of entries: what loads, and the exact line each mistake gives."""

from __future__ import annotations

import tomllib

import pytest

from tunnel.domain.configuration import ClientSettings, FallbackSettings, decode_client_settings
from tunnel.domain.configuration.fallback import direct_pattern
from tunnel.domain.errors import ConfigurationError

CLIENT = 'group = "web"\ntoken = "t"\nservers = ["grpc://127.0.0.1:7000"]\n'
HTTP = '[entry.http]\nlisten = "127.0.0.1:9080"\n'
GRPC = '[entry.grpc]\nlisten = "127.0.0.1:9081"\n'
TCP = '[[entry.tcp]]\nlisten = "127.0.0.1:9022"\nupstream = "bastion"\n'
OWN = "another address than the entry's own"
WHOLE = "a host name or a whole IP address"


def decode(text: str) -> ClientSettings:
    return decode_client_settings(tomllib.loads(CLIENT + text))


def mistake_in(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        decode(text)
    return str(caught.value)


def test_fallback_is_off_and_tells_the_route_unless_told_otherwise() -> None:
    assert decode("").fallback == FallbackSettings(direct=False, allow=(), route_header=True)


def test_complete_fallback_loads() -> None:
    settings = decode(
        f'{HTTP}{GRPC}direct = "grpc://10.0.0.9:50051"\n{TCP}direct = "tcp://10.0.0.8:22"\n'
        '[fallback]\ndirect = true\nallow = ["*.internal.test:80", "10.0.0.0/8"]\nroute_header = false\n'
    )
    assert settings.fallback == FallbackSettings(
        direct=True, allow=("*.internal.test:80", "10.0.0.0/8"), route_header=False
    )
    assert settings.entry.grpc is not None
    assert settings.entry.grpc.direct == "grpc://10.0.0.9:50051"
    assert [each.direct for each in settings.entry.tcp] == ["tcp://10.0.0.8:22"]


@pytest.mark.parametrize("direct", ["http://10.0.0.7", "https://billing.internal.test:8443", "unix:/run/app.sock"])
def test_http_entry_may_have_a_direct_target_of_its_own(direct: str) -> None:
    http = decode(f'{HTTP}direct = "{direct}"').entry.http
    assert http is not None
    assert http.direct == direct


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'{HTTP}direct = "tcp://10.0.0.7:80"', 'entry.http.direct: expected a target that begins with one of "http:"'),
        (f'{GRPC}direct = "http://10.0.0.7:80"', "entry.grpc.direct: expected a target that begins with one of"),
        (f'{TCP}direct = "http://10.0.0.7:80"', 'entry.tcp[0].direct: expected a target that begins with "tcp:"'),
        (f'{TCP}direct = "tcp://10.0.0.7"', "entry.tcp[0].direct: expected a host and a port"),
        (f'{HTTP}direct = "http://127.0.0.1:9080"', f"entry.http.direct: expected {OWN}"),
        (f'{GRPC}direct = "grpc://127.0.0.1:9081"', f"entry.grpc.direct: expected {OWN}"),
        (f'{TCP}direct = "tcp://127.0.0.1:9022"', f"entry.tcp[0].direct: expected {OWN}"),
        (
            f'{HTTP.replace("127.0.0.1", "0.0.0.0")}direct = "http://localhost:9080"',
            f"entry.http.direct: expected {OWN}",
        ),
        (f'{TCP}direct = "tcp://10.0.0.999:22"', f"entry.tcp[0].direct: expected {WHOLE}"),
        ('[fallback]\nallow = ["http://a.test"]', "fallback.allow[0]: expected a network"),
        ('[fallback]\nallow = ["a.test", "unix:/run/app.sock"]', "fallback.allow[1]: expected a host or a network"),
        ('[fallback]\nallow = ["a.test:0"]', "fallback.allow[0]: expected a port from 1 to 65535"),
        ("[fallback]\nafter_s = 3", 'fallback.after_s: unknown key; expected one of "allow", "direct", "route_header"'),
    ],
)
def test_mistake_names_the_key(text: str, expected: str) -> None:
    assert mistake_in(text).startswith(expected)


def test_direct_is_permitted_by_its_own_host_and_port() -> None:
    assert direct_pattern("grpc://10.0.0.9:50051") == "10.0.0.9:50051"
    assert direct_pattern("http://[::1]") == "[::1]:80"
    assert direct_pattern("unix:/run/app.sock") == "unix:/run/app.sock"


def test_direct_beside_an_address_that_is_none_is_no_further_mistake() -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode(HTTP.replace("127.0.0.1:9080", "nonsense") + 'direct = "http://10.0.0.7:80"\n')

    assert [each.key_path for each in caught.value.mistakes] == ["entry.http.listen"]

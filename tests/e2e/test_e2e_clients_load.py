"""Load generators find nothing to complain of."""

import re

from e2e_clients import program, run_program

CONNECTIONS = 50


def test_wrk_counts_no_error(site_tunnel, measured):
    path = program("wrk")
    url = f"http://{site_tunnel.ingress[0]}:{site_tunnel.ingress[1]}/small"

    ran = run_program(path, "--threads", "1", "--connections", str(CONNECTIONS), "--duration", "2s", url)

    told = ran.out.decode()
    requests = re.search(r"(\d+) requests in", told)
    assert ran.code == 0, ran.err
    assert requests is not None
    assert int(requests[1]) > CONNECTIONS
    assert "Socket errors" not in told
    assert "Non-2xx" not in told
    measured(f"{requests[1]} requests")


def test_ab_completes_what_it_asks(site_tunnel):
    """ApacheBench speaks HTTP/1.0, with and without connections that are kept."""
    path = program("ab")
    url = f"http://{site_tunnel.ingress[0]}:{site_tunnel.ingress[1]}/small"

    for keep in ((), ("-k",)):
        ran = run_program(path, "-q", *keep, "-n", "500", "-c", "20", url)

        told = dict(line.split(":", 1) for line in ran.out.decode().splitlines() if ":" in line)
        assert ran.code == 0, ran.err
        assert (told["Complete requests"].strip(), told["Failed requests"].strip()) == ("500", "0")
        assert "Non-2xx responses" not in told
        assert not keep or told["Keep-Alive requests"].strip() == "500"

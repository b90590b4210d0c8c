"""The contract kit: what every adapter of a port must do, to be run by whoever writes one.

Needs the extra ``hextunnel[testing]``. One package for each port holds its rules, the scenarios that show them, a
harness that makes adapters, and a thin class for pytest:

- ``tunnel.testing.transport``: links, listeners and transports.
- ``tunnel.testing.target``: upstreams, and whatever else answers conversations.
- ``tunnel.testing.ingress``: listeners that make conversations.
- ``tunnel.testing.middleware``: what stands between a rule and its target.
- ``tunnel.testing.authenticator``, ``.config_source``, ``.telemetry``, ``.clock``, ``.signal``, ``.access_log``,
  ``.admin``, ``.listener_tls``: the ports of that name.
- ``tunnel.testing.balancing``: strategies.

And what they share:

- ``tunnel.testing.contract``: rules, checks, and the error that names the rule that was broken.
- ``tunnel.testing.harness``, ``tunnel.testing.contract_tests``: what makes adapters for checks, and a test for each.
- ``tunnel.testing.event_loops``: on which event loop a check runs; virtual time.
- ``tunnel.testing.holdings``: tasks, threads and descriptors that something left behind.
- ``tunnel.testing.mutants``: adapters broken on purpose, and a table of which rule finds each.

For tests of applications behind a tunnel, and of whatever else takes a clock or a link:

- ``tunnel.testing.fixtures``: pytest fixtures; a server and a client in one process.
- ``tunnel.testing.faults``, ``faulty_network``, ``faulty_link``, ``faulty_transport``: links that break.
- ``tunnel.testing.manual_clock``, ``tunnel.testing.autojump``: time that passes when it is told to.
- ``tunnel.testing.strategies``: what Hypothesis draws of envelopes, rules, requests, settings and faults.

The rules are listed in docs/reference/contracts.md. Nothing here is loaded by ``import tunnel``, nor by pytest unless
a test asks for it.
"""

from importlib.util import find_spec

_missing = [name for name in ("hypothesis", "pytest", "trio") if find_spec(name) is None]
if _missing:
    raise ModuleNotFoundError(
        f"tunnel.testing needs {', '.join(_missing)}: install hextunnel[testing]", name=_missing[0]
    )
